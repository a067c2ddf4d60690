"""Health, what Harbor tells of itself, who asks, and the dictionary of rights."""

from __future__ import annotations

from sandbox.fake_harbor import access, answers, defaults
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import body
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row, now

_COMPONENTS = ("core", "database", "jobservice", "portal", "redis", "registry", "registryctl")


@route("GET", "/ping")
def ping(_: Call) -> Answer:
    return Answer(200, "Pong", {"Content-Type": "text/plain; charset=utf-8"})


@route("GET", "/health")
def health(call: Call) -> Answer:
    """Always 200: only the body tells of an outage."""
    down = set(call.settings.down)
    if "redis" in down:
        down.add("jobservice")
    components: list[Row] = [
        {"error": "connection refused", "name": name, "status": "unhealthy"}
        if name in down
        else {"name": name, "status": "healthy"}
        for name in (*_COMPONENTS, *(("trivy",) if call.settings.trivy else ()))
    ]
    return Answer(200, {"components": components, "status": "unhealthy" if down else "healthy"})


@route("GET", "/systeminfo")
def systeminfo(call: Call) -> Answer:
    kept = call.world["configurations"]
    view: Row = {
        "auth_mode": kept["auth_mode"],
        "banner_message": kept["banner_message"],
        "oidc_provider_name": kept["oidc_name"],
        "primary_auth_mode": kept["primary_auth_mode"],
        "self_registration": kept["self_registration"],
    }
    if call.who.known:
        address = call.settings.external_url
        view |= {
            "current_time": now(),
            "external_url": address,
            "harbor_version": f"v{call.settings.version}-fake",
            "has_ca_root": False,
            "notification_enable": kept["notification_enable"],
            "project_creation_restriction": kept["project_creation_restriction"],
            "read_only": kept["read_only"],
            "registry_storage_provider_name": "filesystem",
            "registry_url": address.partition("://")[2],
        }
    return Answer(200, view)


@route("GET", "/users/current")
def current_user(call: Call) -> Answer:
    access.need_login(call.who)
    if call.who.user is None:
        raise answers.precondition("get current user not available for security context: robot")
    user = call.who.user
    return Answer(
        200,
        {
            "admin_role_in_auth": False,
            "creation_time": user["creation_time"],
            "email": user["email"],
            "realname": user["realname"],
            "sysadmin_flag": user["sysadmin"],
            "update_time": user["update_time"],
            "user_id": user["id"],
            "username": user["username"],
        },
    )


@route("GET", "/permissions")
def permissions(call: Call) -> Answer:
    access.need_login(call.who)
    if not call.who.is_admin:
        raise answers.forbidden("forbidden: only admins(system and project) can access permissions")
    return Answer(
        200,
        {
            scope: [
                {"action": action, "resource": resource}
                for resource, actions in dictionary.items()
                for action in actions.split()
            ]
            for scope, dictionary in (
                ("project", defaults.PROJECT_RIGHTS),
                ("system", defaults.SYSTEM_RIGHTS),
            )
        },
    )


@route("POST", "/system/oidc/ping", body("endpoint", "OIDCPing", url="string", verify_cert="bool"))
def oidc_ping(call: Call) -> Answer:
    """Whether an issuer answers: those that the fake was told of, by their exact address."""
    access.need_system(call.who, "configuration", "update")
    if call.body.get("url") not in call.settings.issuers:
        raise answers.bad_request("failed to verify connection")
    return OK
