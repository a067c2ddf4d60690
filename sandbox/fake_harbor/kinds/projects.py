"""Projects and their metadata."""

from __future__ import annotations

import re
from typing import Any

from sandbox.fake_harbor import access, adapters, answers, lists
from sandbox.fake_harbor.answers import OK, Answer, CoreDies
from sandbox.fake_harbor.fields import Body, ListOf, MapOf, Struct, body
from sandbox.fake_harbor.kinds import quotas, registries
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import NEVER, Row, World, now

_METADATA = Struct(
    "ProjectMetadata",
    dict.fromkeys(
        (
            "public",
            "enable_content_trust",
            "enable_content_trust_cosign",
            "prevent_vul",
            "severity",
            "auto_scan",
            "auto_sbom_generation",
            "reuse_sys_cve_allowlist",
            "retention_id",
            "proxy_speed_kb",
            "max_upstream_conn",
            "proxy_cache_local_on_not_found",
        ),
        "string",
    ),
)
ALLOWLIST = Struct(
    "CVEAllowlist",
    {
        "items": ListOf(Struct("CVEAllowlistItem", {"cve_id": "string"})),
        "expires_at": "int64",
    },
)
_BODY = body(
    "project",
    "ProjectReq",
    project_name="string",
    public="bool",
    metadata=_METADATA,
    cve_allowlist=ALLOWLIST,
    storage_limit="int64",
    registry_id="int64",
)
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_SEVERITIES = ("critical", "high", "medium", "low", "none")
_BOOLEAN = (
    "public",
    "enable_content_trust",
    "enable_content_trust_cosign",
    "prevent_vul",
    "auto_scan",
    "auto_sbom_generation",
    "reuse_sys_cve_allowlist",
)
_NUMERIC = ("proxy_speed_kb", "max_upstream_conn")
_OF_2_15 = "proxy_cache_local_on_not_found"


def by_name(world: World, name: str) -> Row | None:
    return next((p for p in world.table("projects").values() if p["name"] == name), None)


def needed(call: Call, resource: str, action: str) -> Row:
    """The project of the path, for somebody who may do this there. Raises Refused."""
    project = call.project()
    access.need_project(call.world, call.who, project, resource, action)
    if project is None:
        raise answers.not_found(f"project {call.parts['project']} not found")
    return project


def shown(call: Call, project: Row, *, detail: bool = True) -> Row:
    """The project as GET shows it."""
    world = call.world
    allowlist = project["allowlist"]
    metadata = dict(project["metadata"])
    if "severity" in metadata:
        metadata["severity"] = _severity(metadata["severity"])
    role = access.role_of(world, call.who, project)
    view: Row = {
        "creation_time": project["creation_time"],
        "current_user_role_ids": [role] if role else None,
        "cve_allowlist": {
            "creation_time": NEVER,
            "id": allowlist["id"],
            "items": allowlist["items"],
            "project_id": project["id"],
            "update_time": NEVER,
        },
        "metadata": metadata if detail else None,
        "name": project["name"],
        "owner_id": 1,
        "owner_name": project["owner"],
        "project_id": project["id"],
        "repo_count": len(project["repositories"]),
        "update_time": project["creation_time"],
    }
    if allowlist["expires_at"] is not None:
        view["cve_allowlist"]["expires_at"] = allowlist["expires_at"]
    if role:
        view["current_user_role_id"] = role
    if project["registry"]:
        view["registry_id"] = project["registry"]
    return view


def _severity(text: str) -> str:
    lowered = text.lower()
    if lowered == "negligible":
        return "none"
    return lowered if lowered in _SEVERITIES else "unknown"


@route("POST", "/projects", _BODY)
def create(call: Call) -> Answer:
    access.need_login(call.who)
    _need_creation(call)
    world, given = call.world, call.body
    name = given.get("project_name", "")
    if len(name) > 255:
        raise answers.invalid("project_name in body should be at most 255 chars long", levels=2)
    metadata: dict[str, str] = dict(given.get("metadata", {}))
    registry = _upstream(call)
    if not name:
        raise answers.bad_request(
            "Project name  is illegal in length. (greater than 255 or less than 1)"
        )
    if not _NAME.fullmatch(name):
        raise answers.bad_request(
            "project name is not in lower case or contains illegal characters"
        )
    if metadata.pop("retention_id", ""):
        raise answers.bad_request(
            "the retention_id in the request's payload when creating a project should be omitted, "
            "alternatively passing an empty string"
        )
    _check_numbers(call, metadata, registry)
    if "public" not in metadata:
        metadata["public"] = "true" if given.get("public") else "false"
    elif metadata["public"] not in ("true", "false"):
        raise answers.bad_request(
            f"metadata.public should only be 'true' or 'false', but got: '{metadata['public']}'"
        )
    limit = quotas.limit_of_new_project(world, given.get("storage_limit"))
    project_id = world.next_id("projects")
    if by_name(world, name) is not None:
        raise answers.conflict(f"The project named {name} already exists")
    moment = now()
    project: Row = {
        "id": project_id,
        "name": name,
        "owner": "admin" if call.who.robot is not None else call.who.name,
        "metadata": metadata,
        "registry": registry,
        "allowlist": {"id": world.next_id("allowlists"), "items": [], "expires_at": None},
        "repositories": [],
        "creation_time": moment,
        "update_time": moment,
    }
    world.table("projects")[project_id] = project
    owner = call.who.user["id"] if call.who.user is not None else 1
    world.insert("members", {"project": project_id, "type": "u", "entity": owner, "role": 1})
    if limit is not None:
        world.insert("quotas", {"project": project_id, "hard": limit, "used": 0})
    if registry is not None:
        _add_retention(call, project)
    wants_name = call.headers.get("X-Resource-Name-In-Location", "").lower() == "true"
    return answers.created(f"/projects/{name if wants_name else project_id}")


def _need_creation(call: Call) -> None:
    if call.who.robot is not None:
        access.need_system(call.who, "project", "create")
        return
    restriction = call.world["configurations"]["project_creation_restriction"]
    if restriction == "adminonly" and not call.who.is_admin:
        raise answers.forbidden("Only system admin can create project")


def _upstream(call: Call) -> int | None:
    registry_id = call.body.get("registry_id")
    if registry_id is None:
        return None
    if registry_id <= 0:
        raise answers.bad_request(
            f"bad request: {registry_id} is invalid value of registry_id, "
            "it should be geater than 0"
        )
    registry = call.world.table("registries").get(registry_id)
    if registry is None:
        raise answers.internal_error()
    if registry["type"] not in adapters.PROXY_CACHES:
        raise answers.bad_request(f"bad request: unsupported registry type {registry['type']}")
    return registry_id


def _check_numbers(call: Call, metadata: dict[str, str], registry: int | None) -> None:
    """What POST checks of a proxy cache, and drops of everything else."""
    if registry is None:
        for key in _NUMERIC:
            metadata.pop(key, None)
    else:
        metadata.pop("enable_content_trust", None)
        speed = metadata.get("proxy_speed_kb")
        if speed is not None and not _is_whole(speed):
            raise answers.bad_request(
                f"metadata.proxy_speed_kb should by an int32, but got: '{speed}', err: "
                f'strconv.ParseInt: parsing "{speed}": invalid syntax'
            )
        connections = metadata.get("max_upstream_conn")
        if connections is not None and not _is_whole(connections):
            raise answers.bad_request(
                f"metadata.max_upstream_conn should be an int, but got '{connections}', err: "
                f'strconv.ParseInt: parsing "{connections}": invalid syntax'
            )
    if not call.settings.is_2_15:
        metadata.pop(_OF_2_15, None)


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None


def _add_retention(call: Call, project: Row) -> None:
    """Harbor gives each proxy cache a retention of its own."""
    selector = {"kind": "doublestar", "pattern": "**"}
    policy = call.world.insert(
        "retentions",
        {
            "project": project["id"],
            "algorithm": "or",
            "rules": [
                {
                    "id": 1,
                    "priority": 1,
                    "action": "retain",
                    "template": "nDaysSinceLastPull",
                    "params": {"nDaysSinceLastPull": 7},
                    "tag_selectors": [{**selector, "decoration": "matches"}],
                    "scope_selectors": {"repository": [{**selector, "decoration": "repoMatches"}]},
                }
            ],
            "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 0 * * *"}},
        },
    )
    project["metadata"]["retention_id"] = str(policy["id"])


@route("GET", "/projects")
def listed(call: Call) -> Answer:
    rows = [p for p in call.world.table("projects").values() if _is_visible(call, p)]
    query = call.query
    if "name" in query:
        rows = [p for p in rows if query["name"].lower() in p["name"].lower()]
    if "public" in query:
        wanted = query["public"].lower() == "true"
        rows = [p for p in rows if (p["metadata"].get("public") == "true") == wanted]
    if "owner" in query:
        rows = [p for p in rows if p["owner"] == query["owner"]]
    rows.sort(key=lambda p: p["name"])
    columns: lists.Columns = {
        "name": lambda p: p["name"],
        "project_id": lambda p: p["id"],
        "creation_time": lambda p: p["creation_time"],
        "public": lambda p: p["metadata"].get("public", "false"),
    }
    chosen = lists.choose(rows, query, columns)
    detail = query.get("with_detail", "true").lower() != "false"
    return lists.page(call.path, query, [shown(call, p, detail=detail) for p in chosen])


def _is_visible(call: Call, project: Row) -> bool:
    if project["metadata"].get("public") == "true" or call.who.is_admin:
        return True
    if call.who.robot is not None:
        return any(
            block["kind"] == "project" and block["namespace"] in ("*", project["name"])
            for block in call.who.robot["permissions"]
        )
    return access.role_of(call.world, call.who, project) is not None


@route("HEAD", "/projects")
def exists(call: Call) -> Answer:
    name = call.query.get("project_name")
    if not name:
        raise answers.invalid("project_name in query is required")
    project = by_name(call.world, name)
    if project is not None and project["metadata"].get("public") == "true":
        return OK
    access.need_login(call.who)
    if project is None:
        raise answers.not_found(f"project {name} not found")
    if not _is_visible(call, project):
        raise answers.forbidden()
    return OK


@route("GET", "/projects/{project}")
def get(call: Call) -> Answer:
    project = call.project()
    if project is None or project["metadata"].get("public") != "true":
        project = needed(call, "project", "read")
    return Answer(200, shown(call, project))


@route("PUT", "/projects/{project}", _BODY)
def update(call: Call) -> Answer:
    """Merges metadata without a check; name, quota, registry and the outer `public` are ignored."""
    project = needed(call, "project", "update")
    metadata = dict(call.body.get("metadata", {}))
    retention = metadata.pop("retention_id", "")
    if retention and retention != project["metadata"].get("retention_id"):
        raise answers.bad_request(
            "the retention_id in the request's payload when updating a project should be omitted, "
            "alternatively passing the one that has already been associated to this project"
        )
    if not call.settings.is_2_15:
        metadata.pop(_OF_2_15, None)
    allowlist = call.body.get("cve_allowlist")
    if allowlist is not None:
        project["allowlist"].update(checked_allowlist(allowlist))
    project["metadata"].update(metadata)
    return OK


def checked_allowlist(given: dict[str, Any]) -> dict[str, Any]:
    """Items and end of an allowlist; Harbor's database refuses duplicates and empty ids."""
    items = [{"cve_id": item.get("cve_id", "")} for item in given.get("items", [])]
    ids = [item["cve_id"] for item in items]
    if "" in ids or len(set(ids)) != len(ids):
        raise answers.internal_error()
    return {"items": items, "expires_at": given.get("expires_at")}


@route("DELETE", "/projects/{project}")
def delete(call: Call) -> Answer:
    project = needed(call, "project", "delete")
    if project["repositories"]:
        raise answers.precondition(f"precondition failed: {_FULL}")
    world = call.world
    retention = _retention_of(world, project)
    for table in ("quotas", "retentions", "immutable_rules", "webhooks", "members", "labels"):
        rows = world.table(table)
        for key in [key for key, row in rows.items() if row.get("project") == project["id"]]:
            del rows[key]
    robots = world.table("robots")
    for key, robot in list(robots.items()):
        if robot["project"] == project["id"]:
            del robots[key]
            continue
        robot["permissions"] = [
            block
            for block in robot["permissions"]
            if block["kind"] != "project" or block["namespace"] != project["name"]
        ]
    del world.table("projects")[project["id"]]
    if retention is not None and "settings" not in retention["trigger"]:
        # Seen three times of three: the answer is 200, then core panics outside the request.
        raise CoreDies(OK)
    return OK


_FULL = "the project contains repositories, can not be deleted"


def _retention_of(world: World, project: Row) -> Row | None:
    rows = world.table("retentions").values()
    return next((row for row in rows if row["project"] == project["id"]), None)


@route("GET", "/projects/{project}/_deletable")
def deletable(call: Call) -> Answer:
    project = needed(call, "project", "delete")
    if project["repositories"]:
        return Answer(200, {"message": _FULL})
    return Answer(200, {"deletable": True})


@route("GET", "/projects/{project}/summary")
def summary(call: Call) -> Answer:
    project = needed(call, "project", "read")
    world = call.world
    members = [m for m in world.table("members").values() if m["project"] == project["id"]]
    view: Row = {"repo_count": len(project["repositories"])}
    for role, key in (
        (1, "project_admin_count"),
        (4, "maintainer_count"),
        (2, "developer_count"),
        (3, "guest_count"),
        (5, "limited_guest_count"),
    ):
        count = sum(1 for member in members if member["role"] == role)
        if count:
            view[key] = count
    quota = next((q for q in world.table("quotas").values() if q["project"] == project["id"]), None)
    if quota is not None:
        view["quota"] = {"hard": {"storage": quota["hard"]}, "used": {"storage": quota["used"]}}
    if project["registry"] is not None:
        registry = registries.shown(world.table("registries")[project["registry"]])
        view["registry"] = {key: registry[key] for key in registry if key != "credential"}
    return Answer(200, view)


# Metadata one by one ---------------------------------------------------------------------------


def _allowed_keys(call: Call) -> tuple[str, ...]:
    more = (_OF_2_15,) if call.settings.is_2_15 else ()
    return (*_BOOLEAN, "severity", *_NUMERIC, *more)


_PAIR = Body("metadata", MapOf("string"))


@route("GET", "/projects/{project}/metadatas")
def metadata_listed(call: Call) -> Answer:
    project = needed(call, "metadata", "list")
    return Answer(200, project["metadata"])


@route("POST", "/projects/{project}/metadatas", _PAIR)
def metadata_add(call: Call) -> Answer:
    project = needed(call, "metadata", "create")
    given = dict(call.body)
    if len(given) != 1:
        raise answers.bad_request("only allow one key/value pair")
    [(key, value)] = given.items()
    _check_pair(call, key, value)
    if key in project["metadata"]:
        raise answers.conflict(f"metadata {key} already exists for project {project['id']}")
    project["metadata"][key] = value
    return OK


@route("GET", "/projects/{project}/metadatas/{key}")
def metadata_get(call: Call) -> Answer:
    project = needed(call, "metadata", "read")
    key = call.parts["key"]
    return Answer(200, {key: project["metadata"][key]} if key in project["metadata"] else {})


@route("PUT", "/projects/{project}/metadatas/{key}", _PAIR)
def metadata_update(call: Call) -> Answer:
    project = needed(call, "metadata", "update")
    key = call.parts["key"]
    value = dict(call.body).get(key, "")
    _check_pair(call, key, value)
    project["metadata"][key] = value
    return OK


@route("DELETE", "/projects/{project}/metadatas/{key}")
def metadata_delete(call: Call) -> Answer:
    project = needed(call, "metadata", "delete")
    project["metadata"].pop(call.parts["key"], None)
    return OK


def _check_pair(call: Call, key: str, value: str) -> None:
    if key not in _allowed_keys(call):
        raise answers.bad_request(f"invalid key: {key}")
    problem = (
        (key in _BOOLEAN or key == _OF_2_15) and value.lower() not in ("true", "false", "0", "1")
    ) or (key in _NUMERIC and not _is_whole(value))
    if problem:
        raise answers.bad_request(f"invalid value: {value}")


@route("PUT", "/projects/{project}/scanner", body("payload", "ProjectScanner", uuid="string"))
def set_scanner(call: Call) -> Answer:
    """Writes the id unchecked, as Harbor does."""
    project = needed(call, "scanner", "create")
    project["metadata"]["projectScanner"] = call.body.get("uuid", "")
    return OK
