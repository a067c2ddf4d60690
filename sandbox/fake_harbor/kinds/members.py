"""Members of projects, and groups of users."""

from __future__ import annotations

from sandbox.fake_harbor import access, answers, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import Struct, body
from sandbox.fake_harbor.kinds import projects
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row

_ROLES = {1: "projectAdmin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limitedGuest"}
_LDAP, _HTTP, _OIDC = 1, 2, 3
_GROUP = {
    "id": "int64",
    "group_name": "string",
    "group_type": "int64",
    "ldap_group_dn": "string",
}
_BODY = body(
    "projectMember",
    "ProjectMember",
    role_id="int64",
    member_user=Struct("UserEntity", {"user_id": "int64", "username": "string"}),
    member_group=Struct("UserGroup", _GROUP),
)


def _entity(call: Call, member: Row) -> Row | None:
    table = "users" if member["type"] == "u" else "groups"
    return call.world.table(table).get(member["entity"])


def _name(call: Call, member: Row) -> str:
    entity = _entity(call, member)
    if entity is None:
        return ""
    return entity["username"] if member["type"] == "u" else entity["name"]


def _shown(call: Call, member: Row) -> Row:
    return {
        "entity_id": member["entity"],
        "entity_name": _name(call, member),
        "entity_type": member["type"],
        "id": member["id"],
        "project_id": member["project"],
        "role_id": member["role"],
        "role_name": _ROLES[member["role"]],
    }


def _own(call: Call, project: Row) -> list[Row]:
    rows = call.world.table("members").values()
    return [row for row in rows if row["project"] == project["id"]]


@route("GET", "/projects/{project}/members")
def listed(call: Call) -> Answer:
    """The total counts members of an unknown role and those that are filtered away, too."""
    project = projects.needed(call, "member", "list")
    own = sorted(_own(call, project), key=lambda row: _name(call, row))
    rows = [row for row in own if row["role"] in _ROLES]
    if "entityname" in call.query:
        rows = [row for row in rows if call.query["entityname"] in _name(call, row)]
    if "entity_type" in call.query:
        rows = [row for row in rows if row["type"] == call.query["entity_type"]]
    shown = [_shown(call, row) for row in rows]
    return lists.page(call.path, call.query, shown, total=len(own))


@route("POST", "/projects/{project}/members", _BODY)
def create(call: Call) -> Answer:
    project = projects.needed(call, "member", "create")
    kind, entity = _asked(call)
    if any((row["type"], row["entity"]) == (kind, entity) for row in _own(call, project)):
        raise answers.conflict("The project member specified already exist")
    role = call.body.get("role_id", 0)
    if role not in _ROLES:
        raise answers.bad_request("Failed to update project member, role is not in 1,2,3")
    row = {"project": project["id"], "type": kind, "entity": entity, "role": role}
    number = call.world.insert("members", row)["id"]
    return answers.created(f"/projects/{call.parts['project']}/members/{number}")


def _asked(call: Call) -> tuple[str, int]:
    """Whom the body means: `u` or `g`, and the id. An unseen group is made where OIDC rules."""
    user, group = call.body.get("member_user"), call.body.get("member_group")
    is_oidc = call.world["configurations"]["auth_mode"] == "oidc_auth"
    if user:
        for row in call.world.table("users").values():
            if row["id"] == user.get("user_id") or row["username"] == user.get("username"):
                return "u", row["id"]
        name = user.get("username") or user.get("user_id")
        problem = f"{name} not found: not supported" if is_oidc else f"user {name} is not found"
        raise answers.not_found(problem)
    if group:
        for row in call.world.table("groups").values():
            if row["id"] == group.get("id") or row["name"] == group.get("group_name"):
                return "g", row["id"]
        name = group.get("group_name", "")
        if not is_oidc or not name:
            raise answers.not_found(f"{name} not found: not supported")
        kind = group.get("group_type", _OIDC)
        return "g", call.world.insert("groups", {"name": name, "type": kind})["id"]
    raise answers.internal_error()


def _member(call: Call, project: Row) -> Row | None:
    member = call.world.table("members").get(call.number("id"))
    return member if member is not None and member["project"] == project["id"] else None


@route("GET", "/projects/{project}/members/{id}")
def get(call: Call) -> Answer:
    project = projects.needed(call, "member", "read")
    member = _member(call, project)
    if member is None or member["role"] not in _ROLES:
        raise answers.not_found(
            f"the project member is not found, project id {project['id']}, "
            f"member id {call.parts['id']}"
        )
    return Answer(200, _shown(call, member))


@route("PUT", "/projects/{project}/members/{id}", body("role", "RoleRequest", role_id="int64"))
def update(call: Call) -> Answer:
    """Stores any role, and answers 200 for a member that is not there, too."""
    project = projects.needed(call, "member", "update")
    member = _member(call, project)
    if member is not None:
        member["role"] = call.body.get("role_id", 0)
    return OK


@route("DELETE", "/projects/{project}/members/{id}")
def delete(call: Call) -> Answer:
    project = projects.needed(call, "member", "delete")
    member = _member(call, project)
    if member is not None:
        del call.world.table("members")[member["id"]]
    return OK


# Groups ----------------------------------------------------------------------------------------

_GROUP_BODY = body("usergroup", "UserGroup", **_GROUP)


def _group_shown(group: Row) -> Row:
    return {"group_name": group["name"], "group_type": group["type"], "id": group["id"]}


@route("GET", "/usergroups")
def groups_listed(call: Call) -> Answer:
    access.need_system(call.who, "user-group", "list")
    rows = list(call.world.table("groups").values())
    name = call.query.get("group_name") or call.query.get("groupname")
    if name:
        rows = [row for row in rows if name.lower() in row["name"].lower()]
    return lists.page(call.path, call.query, [_group_shown(row) for row in rows])


@route("POST", "/usergroups", _GROUP_BODY)
def group_create(call: Call) -> Answer:
    access.need_system(call.who, "user-group", "create")
    name, kind = call.body.get("group_name", ""), call.body.get("group_type", 0)
    if not name:
        raise answers.Refused(Answer(400))
    if kind == _LDAP:
        raise answers.bad_request("the LDAP group DN is not found")
    if kind == 0 or len(name) > 255:
        raise answers.internal_error()
    for row in call.world.table("groups").values():
        if row["name"] == name:
            if row["type"] != kind or kind == _HTTP:
                raise answers.internal_error()
            raise answers.conflict(
                f"duplicate user group, group name:{name}, group type: {kind}, ldap group DN: "
            )
    number = call.world.insert("groups", {"name": name, "type": kind})["id"]
    return answers.created(f"/usergroups/{number}")


def _group(call: Call, action: str) -> Row:
    access.need_system(call.who, "user-group", action)
    number = call.number("id")
    group = call.world.table("groups").get(number)
    if group is None:
        raise answers.not_found(f"user group with id {number} not found")
    return group


@route("GET", "/usergroups/{id}")
def group_get(call: Call) -> Answer:
    """Without the id, as Harbor answers."""
    group = _group(call, "read")
    return Answer(200, {"group_name": group["name"], "group_type": group["type"]})


@route("PUT", "/usergroups/{id}", _GROUP_BODY)
def group_update(call: Call) -> Answer:
    group = _group(call, "update")
    if not call.body.get("group_name"):
        raise answers.Refused(Answer(400))
    group["name"] = call.body["group_name"]
    return OK


@route("DELETE", "/usergroups/{id}")
def group_delete(call: Call) -> Answer:
    """Its memberships go with it."""
    group = _group(call, "delete")
    members = call.world.table("members")
    for key in [k for k, m in members.items() if (m["type"], m["entity"]) == ("g", group["id"])]:
        del members[key]
    del call.world.table("groups")[group["id"]]
    return OK
