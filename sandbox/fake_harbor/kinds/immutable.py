"""Immutable tag rules of projects, which Harbor does not check at all."""

from __future__ import annotations

import json

from sandbox.fake_harbor import answers, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import ListOf, MapOf, Struct, body
from sandbox.fake_harbor.kinds import projects
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row

_SELECTOR = Struct(
    "ImmutableSelector", {"kind": "string", "decoration": "string", "pattern": "string"}
)
_BODY = body(
    "ImmutableRule",
    "ImmutableRule",
    id="int64",
    priority="int64",
    disabled="bool",
    action="string",
    template="string",
    tag_selectors=ListOf(_SELECTOR),
    scope_selectors=MapOf(ListOf(_SELECTOR)),
)
_STORED = ("priority", "action", "template", "tag_selectors", "scope_selectors")


def _shown(rule: Row) -> Row:
    view: Row = {"id": rule["id"], "tag_selectors": rule.get("tag_selectors") or None}
    for key in ("disabled", "priority", "action", "template", "scope_selectors"):
        if rule.get(key):
            view[key] = rule[key]
    return view


def _own(call: Call, project: Row) -> list[Row]:
    rows = call.world.table("immutable_rules").values()
    return [row for row in rows if row["project"] == project["id"]]


def _text(rule: Row) -> str:
    """What Harbor's database keeps unique: the rule as it was sent, `disabled` and `id` included.

    A PUT carries its id, so that no new rule is equal to one that was changed.
    """
    sent = {key: rule.get(key) for key in (*_STORED, "disabled", "id")}
    return json.dumps(sent, sort_keys=True)


@route("GET", "/projects/{project}/immutabletagrules")
def listed(call: Call) -> Answer:
    project = projects.needed(call, "immutable-tag", "list")
    rows = lists.choose(_own(call, project), call.query, {"id": lambda row: row["id"]})
    return lists.page(call.path, call.query, [_shown(row) for row in rows])


@route("POST", "/projects/{project}/immutabletagrules", _BODY)
def create(call: Call) -> Answer:
    """`disabled` is ignored: the rule is in force."""
    project = projects.needed(call, "immutable-tag", "create")
    number = call.world.next_id("immutable_rules")
    if any(row["text"] == _text(dict(call.body)) for row in _own(call, project)):
        raise answers.conflict("immutable rule already exists")
    stored = {key: call.body[key] for key in _STORED if key in call.body}
    rule: Row = {
        "id": number,
        "project": project["id"],
        "disabled": False,
        "text": _text(dict(call.body)),
        **stored,
    }
    call.world.table("immutable_rules")[number] = rule
    return answers.created(f"/projects/{call.parts['project']}/immutabletagrules/{number}")


def _needed(call: Call, project: Row) -> Row:
    number = call.number("id")
    rule = call.world.table("immutable_rules").get(number)
    if rule is None or rule["project"] != project["id"]:
        raise answers.not_found(f"immutable tag rule {number} not found")
    return rule


@route("PUT", "/projects/{project}/immutabletagrules/{id}", _BODY)
def update(call: Call) -> Answer:
    """Where `disabled` differs from the stored one, only `disabled` is changed."""
    project = projects.needed(call, "immutable-tag", "update")
    if call.body.get("id") != call.number("id"):
        raise answers.bad_request(
            "bad request: the immutable_rule_id doesn't match the id in the payload body of "
            "ImmutableRule"
        )
    rule = _needed(call, project)
    disabled = call.body.get("disabled", False)
    if disabled != rule["disabled"]:
        rule["disabled"] = disabled
        return OK
    for key in _STORED:
        rule.pop(key, None)
        if key in call.body:
            rule[key] = call.body[key]
    rule["text"] = _text(dict(call.body))
    return OK


@route("DELETE", "/projects/{project}/immutabletagrules/{id}")
def delete(call: Call) -> Answer:
    project = projects.needed(call, "immutable-tag", "delete")
    del call.world.table("immutable_rules")[_needed(call, project)["id"]]
    return OK
