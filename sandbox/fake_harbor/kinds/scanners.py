"""Scanners."""

from __future__ import annotations

import uuid

from sandbox.fake_harbor import access, answers, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import body
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row, World, now

_FIELDS = {
    "name": "string",
    "description": "string",
    "url": "string",
    "auth": "string",
    "access_credential": "string",
    "skip_certVerify": "bool",
    "use_internal_addr": "bool",
    "disabled": "bool",
}
_BODY = body("registration", "ScannerRegistrationReq", **_FIELDS)


def add(world: World, name: str, url: str, **more: object) -> Row:
    """Registers a scanner without asking whether it answers. The first one is the default."""
    number, moment = world.next_id("scanners"), now()
    rows = world.table("scanners")
    rows[number] = {
        "uuid": str(uuid.uuid4()),
        "name": name,
        "description": "",
        "url": url,
        "auth": "",
        "access_credential": "",
        "skip_certVerify": False,
        "use_internal_addr": False,
        "disabled": False,
        "is_default": not rows,
        **more,
        "create_time": moment,
        "update_time": moment,
    }
    return rows[number]


def _checked(call: Call, own: Row | None = None) -> Row:
    given = dict(call.body)
    for key in ("name", "url"):
        if not given.get(key):
            raise answers.invalid(f"registration.{key} in body is required", levels=2)
    if given.get("auth", "") not in ("", "Basic", "Bearer", "X-ScannerAdapter-API-Key"):
        raise answers.bad_request(f"auth type {given['auth']} is not supported")
    if not call.settings.reaches(given["url"]):
        raise answers.internal_error()
    for row in call.world.table("scanners").values():
        if row is not own and (row["name"] == given["name"] or row["url"] == given["url"]):
            raise answers.error(
                409,
                "UNKNOWN",
                "dao: create registration: registration name or url already exists",
            )
    return given


@route("POST", "/scanners", _BODY)
def create(call: Call) -> Answer:
    access.need_system(call.who, "scanner", "create")
    row = add(call.world, **_checked(call))
    return answers.created(f"/scanners/{row['uuid']}")


@route("GET", "/scanners")
def listed(call: Call) -> Answer:
    access.need_system(call.who, "scanner", "list")
    rows = list(call.world.table("scanners").values())
    columns: lists.Columns = {"name": lambda row: row["name"], "url": lambda row: row["url"]}
    return lists.page(call.path, call.query, lists.choose(rows, call.query, columns))


def _needed(call: Call, action: str) -> tuple[int, Row]:
    access.need_system(call.who, "scanner", action)
    for number, row in call.world.table("scanners").items():
        if row["uuid"] == call.parts["uuid"]:
            return number, row
    raise answers.not_found(f"scanner registration {call.parts['uuid']} not found")


_CAPABILITIES = {"support_sbom": True, "support_vulnerability": True}


@route("GET", "/scanners/{uuid}")
def get(call: Call) -> Answer:
    _, row = _needed(call, "read")
    return Answer(200, {**row, "capabilities": _CAPABILITIES})


@route("PUT", "/scanners/{uuid}", _BODY)
def update(call: Call) -> Answer:
    _, row = _needed(call, "update")
    given = _checked(call, row)
    if call.settings.is_2_15 and not given.get("access_credential"):
        given.pop("access_credential", None)
    row.update(given, update_time=now())
    return OK


@route("PATCH", "/scanners/{uuid}", body("payload", "IsDefault", is_default="bool"))
def set_default(call: Call) -> Answer:
    """`false` is ignored."""
    _, row = _needed(call, "update")
    if call.body.get("is_default"):
        for other in call.world.table("scanners").values():
            other["is_default"] = other is row
    return OK


@route("DELETE", "/scanners/{uuid}")
def delete(call: Call) -> Answer:
    """Answers with the scanner. Without the default one there is none."""
    number, row = _needed(call, "delete")
    del call.world.table("scanners")[number]
    return Answer(200, {**row, "capabilities": None})
