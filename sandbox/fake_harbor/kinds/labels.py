"""Labels, of the whole of Harbor and of projects."""

from __future__ import annotations

from sandbox.fake_harbor import access, answers, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import body
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row, now

_BODY = body(
    "label",
    "Label",
    name="string",
    description="string",
    color="string",
    scope="string",
    project_id="int64",
)


def _shown(label: Row) -> Row:
    view: Row = {
        "creation_time": label["creation_time"],
        "id": label["id"],
        "scope": label["scope"],
        "update_time": label["update_time"],
    }
    for key in ("name", "description", "color"):
        if label[key]:
            view[key] = label[key]
    if label["project"]:
        view["project_id"] = label["project"]
    return view


def _need(call: Call, scope: str, project_id: int, action: str) -> None:
    if scope == "g":
        # A robot has no right to list these, and Harbor lets every login do it.
        if action == "list":
            access.need_login(call.who)
        else:
            access.need_system(call.who, "label", action)
        return
    project = call.world.table("projects").get(project_id)
    access.need_project(call.world, call.who, project, "label", action)


@route("POST", "/labels", _BODY)
def create(call: Call) -> Answer:
    given = call.body
    scope, project_id = given.get("scope", ""), given.get("project_id", 0)
    access.need_login(call.who)
    if scope not in ("g", "p"):
        raise answers.bad_request("unsupported label scope")
    _need(call, scope, project_id, "create")
    label: Row = {
        "name": given.get("name", ""),
        "description": given.get("description", ""),
        "color": given.get("color", ""),
        "scope": scope,
        "project": project_id if scope == "p" else 0,
    }
    _check_lengths(label)
    number = call.world.next_id("labels")
    _refuse_double(call, label, number)
    moment = now()
    times = {"creation_time": moment, "update_time": moment}
    call.world.table("labels")[number] = {"id": number, **label, **times}
    return answers.created(f"/labels/{number}")


def _check_lengths(label: Row) -> None:
    if len(label["name"]) > 128 or len(label["color"]) > 16:
        raise answers.internal_error()


def _refuse_double(call: Call, label: Row, number: int) -> None:
    for row in call.world.table("labels").values():
        same = all(row[key] == label[key] for key in ("name", "scope", "project"))
        if same and row["id"] != number:
            raise answers.conflict(f"label {label['name']} already exists")


@route("GET", "/labels")
def listed(call: Call) -> Answer:
    query = call.query
    scope = query.get("scope", "")
    if scope not in ("g", "p"):
        raise answers.bad_request(f"invalid scope: {scope}")
    project_id = int(query.get("project_id") or 0)
    if scope == "p" and not project_id:
        raise answers.bad_request("invalid project_id: 0")
    _need(call, scope, project_id, "list")
    rows = [
        row
        for row in call.world.table("labels").values()
        if row["scope"] == scope and (scope == "g" or row["project"] == project_id)
    ]
    if "name" in query:
        rows = [row for row in rows if query["name"].lower() in row["name"].lower()]
    columns: lists.Columns = {"name": lambda row: row["name"], "id": lambda row: row["id"]}
    return lists.page(call.path, query, [_shown(row) for row in lists.choose(rows, query, columns)])


def _needed(call: Call, action: str) -> Row:
    access.need_login(call.who)
    number = call.number("id")
    label = call.world.table("labels").get(number)
    if label is None:
        raise answers.not_found(f"label {number} not found")
    _need(call, label["scope"], label["project"], action)
    return label


@route("GET", "/labels/{id}")
def get(call: Call) -> Answer:
    return Answer(200, _shown(_needed(call, "read")))


@route("PUT", "/labels/{id}", _BODY)
def update(call: Call) -> Answer:
    """Replaces name, color and description; scope and project stay."""
    label = _needed(call, "update")
    changed = {key: call.body.get(key, "") for key in ("name", "description", "color")}
    if not changed["name"]:
        raise answers.bad_request("cannot be empty")
    _check_lengths(changed)
    _refuse_double(call, {**label, **changed}, label["id"])
    label.update(changed, update_time=now())
    return OK


@route("DELETE", "/labels/{id}")
def delete(call: Call) -> Answer:
    del call.world.table("labels")[_needed(call, "delete")["id"]]
    return OK
