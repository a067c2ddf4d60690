"""Quotas of projects."""

from __future__ import annotations

from sandbox.fake_harbor import access, answers, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import body
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import NEVER, Row, World, now

_MOST = 1024 * 2**40


def check(value: int) -> None:
    """Raises Refused where Harbor refuses the limit."""
    if value != -1 and value <= 0:
        raise answers.bad_request(f"invalid non-positive value for quota limit, value={value}")
    if value > _MOST:
        raise answers.bad_request(
            f"bad request: exceeded 1024TB, which is {_MOST} Bytes, value={value}"
        )


def limit_of_new_project(world: World, given: int | None) -> int | None:
    """The limit in bytes, -1 for none; None where Harbor keeps no quotas. Raises Refused."""
    configurations = world["configurations"]
    if not configurations["quota_per_project_enable"]:
        return None
    limit: int = given or configurations["storage_per_project"]
    if limit != -1 and limit <= 0:
        raise answers.bad_request(
            f"bad request: invalid non-positive value for quota limit, value={limit}"
        )
    check(limit)
    return limit


def _shown(world: World, quota: Row, *, alone: bool) -> Row:
    project = world.table("projects")[quota["project"]]
    return {
        "creation_time": quota["creation_time"],
        "hard": {"storage": quota["hard"]},
        "id": quota["id"],
        "ref": {"id": project["id"], "name": project["name"], "owner_name": ""},
        "update_time": NEVER if alone else quota["update_time"],
        "used": {"storage": quota["used"]},
    }


@route("GET", "/quotas")
def listed(call: Call) -> Answer:
    access.need_system(call.who, "quota", "list")
    rows = list(call.world.table("quotas").values())
    reference = call.query.get("reference_id")
    if reference:
        rows = [row for row in rows if str(row["project"]) == reference]
    return lists.page(call.path, call.query, [_shown(call.world, row, alone=False) for row in rows])


def _needed(call: Call, action: str) -> Row:
    access.need_system(call.who, "quota", action)
    number = call.number("id")
    quota = call.world.table("quotas").get(number)
    if quota is None:
        raise answers.not_found(f"quota {number} not found")
    return quota


@route("GET", "/quotas/{id}")
def get(call: Call) -> Answer:
    return Answer(200, _shown(call.world, _needed(call, "read"), alone=True))


@route("PUT", "/quotas/{id}", body("hard", "QuotaUpdateReq", hard="any"))
def update(call: Call) -> Answer:
    quota = _needed(call, "update")
    hard = call.body.get("hard")
    if not isinstance(hard, dict) or not hard:
        raise answers.bad_request("hard required in body")
    for resource in hard:
        if resource != "storage":
            raise answers.bad_request(f"resource {resource} not support")
    check(hard["storage"])
    quota.update(hard=hard["storage"], update_time=now())
    return OK
