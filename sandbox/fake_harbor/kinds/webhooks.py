"""Webhooks of projects."""

from __future__ import annotations

from urllib.parse import urlsplit

from sandbox.fake_harbor import answers, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import ListOf, Struct, body
from sandbox.fake_harbor.kinds import projects
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row, now

EVENTS = (
    "PUSH_ARTIFACT",
    "PULL_ARTIFACT",
    "DELETE_ARTIFACT",
    "QUOTA_EXCEED",
    "QUOTA_WARNING",
    "SCANNING_FAILED",
    "SCANNING_STOPPED",
    "SCANNING_COMPLETED",
    "REPLICATION",
    "TAG_RETENTION",
)
_FORMATS = ("Default", "CloudEvents")
_BODY = body(
    "policy",
    "WebhookPolicy",
    name="string",
    description="string",
    event_types=ListOf("string"),
    enabled="bool",
    targets=ListOf(
        Struct(
            "WebhookTargetObject",
            {
                "type": "string",
                "address": "string",
                "auth_header": "string",
                "skip_cert_verify": "bool",
                "payload_format": "string",
            },
        )
    ),
)


def _checked(call: Call) -> Row:
    given = call.body
    name, events, targets = (given.get(k) for k in ("name", "event_types", "targets"))
    if not events:
        raise answers.bad_request("empty event type")
    for event in events:
        if event not in EVENTS:
            raise answers.bad_request(f"unsupported event type {event}")
    if not targets:
        raise answers.bad_request(f"empty notification target with policy {name or ''}")
    return {
        "name": name or "",
        "description": given.get("description", ""),
        "event_types": events,
        "enabled": given.get("enabled", False),
        "targets": [_target(target, name or "") for target in targets],
    }


def _target(given: Row, name: str) -> Row:
    kind, address = given.get("type", ""), given.get("address", "")
    payload = given.get("payload_format", "")
    if not address:
        raise answers.bad_request("empty URL")
    scheme = urlsplit(address).scheme if "://" in address else "http"
    if scheme not in ("http", "https"):
        raise answers.bad_request(f"invalid scheme: {scheme}")
    if kind not in ("http", "slack"):
        raise answers.bad_request(f"unsupported target type {kind} with policy {name}")
    if kind == "slack" and payload:
        raise answers.bad_request("set payload format is not allowed for slack")
    if payload and payload not in _FORMATS:
        raise answers.bad_request(f"unsupported payload format type: {payload}")
    kept: Row = {"type": kind, "address": address}
    if kind == "http":
        kept["payload_format"] = payload or "Default"
    for key in ("auth_header", "skip_cert_verify"):
        if given.get(key):
            kept[key] = given[key]
    return kept


def _shown(policy: Row) -> Row:
    view: Row = {
        "creation_time": policy["creation_time"],
        "enabled": policy["enabled"],
        "event_types": policy["event_types"],
        "id": policy["id"],
        "project_id": policy["project"],
        "targets": policy["targets"],
        "update_time": policy["update_time"],
    }
    for key in ("name", "description"):
        if policy[key]:
            view[key] = policy[key]
    return view


def _own(call: Call, project: Row) -> list[Row]:
    rows = call.world.table("webhooks").values()
    return [row for row in rows if row["project"] == project["id"]]


@route("GET", "/projects/{project}/webhook/events")
def events(call: Call) -> Answer:
    projects.needed(call, "notification-policy", "read")
    return Answer(
        200,
        {
            "event_type": list(EVENTS),
            "notify_type": ["http", "slack"],
            "payload_formats": [{"formats": list(_FORMATS), "notify_type": "http"}],
        },
    )


@route("GET", "/projects/{project}/webhook/policies")
def listed(call: Call) -> Answer:
    project = projects.needed(call, "notification-policy", "list")
    columns: lists.Columns = {"name": lambda row: row["name"], "id": lambda row: row["id"]}
    rows = lists.choose(_own(call, project), call.query, columns)
    return lists.page(call.path, call.query, [_shown(row) for row in rows])


@route("POST", "/projects/{project}/webhook/policies", _BODY)
def create(call: Call) -> Answer:
    project = projects.needed(call, "notification-policy", "create")
    policy = _checked(call)
    number = call.world.next_id("webhooks")
    _refuse_double(call, project, policy["name"], number)
    moment = now()
    times = {"creation_time": moment, "update_time": moment}
    row: Row = {"id": number, "project": project["id"], **policy, **times}
    call.world.table("webhooks")[number] = row
    return answers.created(f"/projects/{call.parts['project']}/webhook/policies/{number}")


def _refuse_double(call: Call, project: Row, name: str, number: int) -> None:
    if any(row["name"] == name and row["id"] != number for row in _own(call, project)):
        raise answers.conflict(f"notification policy named {name} already exists")


def _needed(call: Call, action: str) -> Row:
    project = projects.needed(call, "notification-policy", action)
    number = call.number("id")
    policy = call.world.table("webhooks").get(number)
    if policy is None or policy["project"] != project["id"]:
        raise answers.not_found(f"notification policy {number} not found")
    return policy


@route("GET", "/projects/{project}/webhook/policies/{id}")
def get(call: Call) -> Answer:
    return Answer(200, _shown(_needed(call, "read")))


@route("PUT", "/projects/{project}/webhook/policies/{id}", _BODY)
def update(call: Call) -> Answer:
    """Replaces everything."""
    policy = _needed(call, "update")
    changed = _checked(call)
    project = call.world.table("projects")[policy["project"]]
    _refuse_double(call, project, changed["name"], policy["id"])
    policy.update(changed, update_time=now())
    return OK


@route("DELETE", "/projects/{project}/webhook/policies/{id}")
def delete(call: Call) -> Answer:
    del call.world.table("webhooks")[_needed(call, "delete")["id"]]
    return OK
