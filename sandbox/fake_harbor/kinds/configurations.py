"""Harbor's configuration."""

from __future__ import annotations

from typing import Any

from sandbox.fake_harbor import access, answers, defaults
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import Body, Struct
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row

_SECRETS = ("oidc_client_secret", "ldap_search_password")
_TYPES = {bool: "bool", int: "int64", str: "string"}
_BODY = Body(
    "configurations",
    Struct(
        "Configurations",
        {
            **{key: _TYPES[type(value)] for key, value in defaults.CONFIGURATIONS.items()},
            **dict.fromkeys(_SECRETS, "string"),
        },
    ),
)
_POSITIVE = ("robot_token_duration", "session_timeout", "token_expiration")
_NEVER_EMPTY = ("ldap_base_dn", "ldap_uid", "ldap_url")
_MODES = ("db_auth", "ldap_auth", "uaa_auth", "http_auth", "oidc_auth")


def _users_exist(call: Call) -> bool:
    return len(call.world.table("users")) > 1


@route("GET", "/configurations")
def get(call: Call) -> Answer:
    """Every item with whether it may be changed; passwords never."""
    access.need_system(call.who, "configuration", "read")
    locked = call.settings.config_overwritten
    view: Row = {
        key: {
            "editable": not locked and not (key == "auth_mode" and _users_exist(call)),
            "value": value,
        }
        for key, value in call.world["configurations"].items()
    }
    return Answer(200, {**view, "scan_all_policy": {}})


@route("PUT", "/configurations", _BODY)
def update(call: Call) -> Answer:
    """Merges. One bad value keeps all others away, but the audit endpoint is stored even so."""
    access.need_system(call.who, "configuration", "update")
    if call.settings.config_overwritten:
        raise answers.forbidden(
            "current config is init by env variable: CONFIG_OVERWRITE_JSON, it cannot be updated"
        )
    kept = call.world["configurations"]
    given = dict(call.body)
    for key in sorted(given):
        _check(call, key, given[key])
    if given.get("skip_audit_log_database") and not given.get(
        "audit_log_forward_endpoint", kept["audit_log_forward_endpoint"]
    ):
        raise answers.bad_request(
            "bad request: the audit log forward endpoint should be configured first"
        )
    secrets = {key: given.pop(key) for key in _SECRETS if key in given}
    endpoint = given.get("audit_log_forward_endpoint", "")
    if endpoint and not call.settings.reaches(endpoint):
        kept["audit_log_forward_endpoint"] = endpoint
        raise answers.bad_request(
            f"bad request: could not connect to the audit endpoint: {endpoint}"
        )
    kept.update(given)
    for key, secret in secrets.items():
        call.world["secrets"][key] = call.world.digest(secret)
    return OK


def _check(call: Call, key: str, value: Any) -> None:
    prefix = f"bad request: item name {key}: "
    if key in _NEVER_EMPTY and value == "":
        raise answers.bad_request(f"{prefix}the configure value can not be empty")
    if key in _POSITIVE and not 0 < value <= 9999999999:
        raise answers.bad_request(f"the {key} value must be positive")
    if key == "storage_per_project" and value != -1 and value <= 0:
        raise answers.bad_request(f"{prefix}invalid storage_per_project value: {value}")
    if key == "project_creation_restriction" and value not in ("everyone", "adminonly"):
        raise answers.bad_request(
            f"{prefix}invalid project_creation_restriction, should be adminonly or everyone"
        )
    if key == "auth_mode":
        if value not in _MODES:
            raise answers.bad_request(
                f"{prefix}invalid auth_mode, shoud be one of {', '.join(_MODES)}"
            )
        if value != call.world["configurations"]["auth_mode"] and _users_exist(call):
            raise answers.bad_request(
                "the auth mode cannot be modified as new users have been inserted into database"
            )
