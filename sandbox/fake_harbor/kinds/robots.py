"""Robots: accounts of machines."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any

from sandbox.fake_harbor import access, answers, defaults, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import ListOf, Struct, body
from sandbox.fake_harbor.kinds import projects
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import WEAK, Row, is_strong, now, random_secret

_PERMISSIONS = ListOf(
    Struct(
        "RobotPermission",
        {
            "kind": "string",
            "namespace": "string",
            "access": ListOf(
                Struct("Access", {"resource": "string", "action": "string", "effect": "string"})
            ),
        },
    )
)
_POST = body(
    "robot",
    "RobotCreate",
    name="string",
    description="string",
    secret="string",
    level="string",
    disable="bool",
    duration="int64",
    permissions=_PERMISSIONS,
)
_PUT = body(
    "robot",
    "Robot",
    id="int64",
    name="string",
    description="string",
    secret="string",
    level="string",
    duration="int64",
    editable="bool",
    disable="bool",
    expires_at="int64",
    permissions=_PERMISSIONS,
)
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_IN_PROJECT = defaults.rights(defaults.PROJECT_RIGHTS)
_IN_SYSTEM = defaults.rights(defaults.SYSTEM_RIGHTS)
_DAY = 86400


def _shown(call: Call, robot: Row) -> Row:
    view: Row = {
        "creation_time": robot["creation_time"],
        "creator_ref": robot["creator_ref"],
        "creator_type": robot["creator_type"],
        "disable": robot["disable"],
        "duration": robot["duration"],
        "editable": True,
        "expires_at": robot["expires_at"],
        "id": robot["id"],
        "level": "project" if robot["project"] else "system",
        "name": access.full_name(call.world, robot),
        "permissions": robot["permissions"],
        "update_time": robot["update_time"],
    }
    if robot["description"]:
        view["description"] = robot["description"]
    return view


@route("POST", "/robots", _POST)
def create(call: Call) -> Answer:
    """`secret`, `disable` and `expires_at` of the body are ignored, as in Harbor."""
    given, world = call.body, call.world
    access.need_login(call.who)
    name = given.get("name", "")
    level = _level(given)
    _check_duration(given.get("duration", 0))
    _check_permissions(level, given.get("permissions", []))
    project = _owner(call, level, given["permissions"], "create")
    if not _NAME.fullmatch(name):
        raise answers.bad_request(
            f"bad request robot name is not in lower case or contains illegal characters: {name}"
        )
    stored = f"{project['name']}+{name}" if project else name
    if len(stored) > 255 or len(given.get("description", "")) > 1024:
        raise answers.internal_error()
    if call.who.robot is not None and not access.within(
        call.who.robot["permissions"], given["permissions"]
    ):
        raise answers.denied(
            "permission scope is invalid. It must be equal to or more restrictive than the "
            f"creator robot's permissions: {call.who.name}"
        )
    number = world.next_id("robots")
    owner = project["id"] if project else 0
    if any(r["name"] == stored for r in world.table("robots").values()):
        raise answers.conflict(f"robot account {owner}:{stored} already exists")
    secret, moment = random_secret(), now()
    duration = given["duration"]
    creator = call.who.robot if call.who.robot is not None else call.who.user
    assert creator is not None
    robot: Row = {
        "id": number,
        "name": stored,
        "project": owner,
        "description": given.get("description", ""),
        "disable": False,
        "duration": duration,
        "expires_at": -1 if duration == -1 else int(time.time()) + duration * _DAY,
        "permissions": _stored(given["permissions"]),
        "secret": world.digest(secret),
        "creator_type": "local" if call.who.robot is None else "robot",
        "creator_ref": creator["id"],
        "creation_time": moment,
        "update_time": moment,
    }
    world.table("robots")[number] = robot
    return answers.created(
        f"/robots/{number}",
        {
            "creation_time": moment,
            "expires_at": robot["expires_at"],
            "id": number,
            "name": access.full_name(world, robot),
            "secret": secret,
        },
    )


def _level(given: Any) -> str:
    level = given.get("level", "")
    if level not in ("system", "project"):
        raise answers.bad_request(f"bad request error level input: {level}")
    return level


def _check_duration(duration: int) -> None:
    if duration != -1 and duration <= 0:
        raise answers.bad_request(
            f"bad request error duration input: {duration}, "
            "duration must be either -1(Never) or a positive integer"
        )
    if duration >= 2**31:
        raise answers.bad_request(f"bad request error duration input: {duration}")


def _check_permissions(level: str, permissions: list[Row]) -> None:
    if not permissions:
        raise answers.bad_request("bad request empty permission")
    for block in permissions:
        if not block.get("access"):
            raise answers.bad_request("bad request empty access")
    if level == "project" and len(permissions) > 1:
        raise answers.bad_request("bad request permission")
    for block in permissions:
        kind = block.get("kind", "")
        if kind == "system" and block.get("namespace") != "/":
            raise answers.bad_request("bad request permission: unknown namespace")
        known = _IN_SYSTEM if kind == "system" else _IN_PROJECT
        for right in block["access"]:
            pair = (right.get("resource", ""), right.get("action", ""))
            if pair not in known or (level == "project" and kind != "project"):
                raise answers.bad_request(f"bad request permission: {pair[0]}:{pair[1]}")


def _owner(call: Call, level: str, permissions: list[Row], action: str) -> Row | None:
    """The project of a project robot, None for a system robot; raises Refused."""
    if level == "system":
        access.need_system(call.who, "robot", action)
        return None
    name = permissions[0].get("namespace", "")
    project = projects.by_name(call.world, name)
    if project is None:
        raise answers.not_found(f"project {name} not found")
    access.need_project(call.world, call.who, project, "robot", action)
    return project


def _stored(permissions: list[Row]) -> list[Row]:
    """Merged by namespace, in an order that is not the caller's, as Harbor's database gives it."""
    blocks: dict[tuple[str, str], list[Row]] = {}
    for block in permissions:
        rights = blocks.setdefault((block["kind"], block.get("namespace", "")), [])
        for right in block["access"]:
            if right not in rights:
                rights.append(dict(right))
    return [
        {
            "kind": kind,
            "namespace": namespace,
            "access": sorted(rights, key=lambda right: _place(right)),
        }
        for (kind, namespace), rights in sorted(
            blocks.items(), key=lambda item: item[0][0] != "system"
        )
    ]


def _place(right: Row) -> int:
    """The place of a right in the database: rights used first come first."""
    order = _ORDER.get((right["resource"], right["action"]))
    return len(_ORDER) if order is None else order


_ORDER = {
    pair: number
    for number, pair in enumerate(
        [("repository", "pull"), ("repository", "push"), ("tag", "create"), ("artifact", "read")]
    )
}


@route("GET", "/robots")
def listed(call: Call) -> Answer:
    access.need_login(call.who)
    conditions = lists.conditions(call.query)
    level, project_id = conditions.get("Level", "system"), conditions.get("ProjectID")
    if level not in ("system", "project"):
        raise answers.bad_request("bad request error level input")
    if level == "project":
        if project_id is None:
            raise answers.bad_request("must with project ID when to query project robots")
        number = int(project_id) if project_id.isdigit() else -1
        project = call.world.table("projects").get(number)
        access.need_project(call.world, call.who, project, "robot", "list")
        owner = number
    else:
        access.need_system(call.who, "robot", "list")
        owner = 0
    rows = [robot for robot in call.world.table("robots").values() if robot["project"] == owner]
    # Another spelling of these two keys is an unknown condition on a column, and nothing matches.
    misspelt = {"level", "projectid", "project_id"} & {
        key.lower() for key in conditions if key not in ("Level", "ProjectID")
    }
    if misspelt:
        rows = []
    columns: lists.Columns = {
        "name": lambda robot: robot["name"],
        "id": lambda robot: robot["id"],
        "disable": lambda robot: str(robot["disable"]).lower(),
    }
    chosen = lists.choose(rows, call.query, columns)
    return lists.page(call.path, call.query, [_shown(call, robot) for robot in chosen])


def _needed(call: Call, action: str) -> Row:
    access.need_login(call.who)
    number = call.number("id")
    robot = call.world.table("robots").get(number)
    if robot is None:
        raise answers.not_found(f"robot {number} not found")
    if robot["project"]:
        project = call.world.table("projects").get(robot["project"])
        access.need_project(call.world, call.who, project, "robot", action)
    else:
        access.need_system(call.who, "robot", action)
    return robot


@route("GET", "/robots/{id}")
def get(call: Call) -> Answer:
    return Answer(200, _shown(call, _needed(call, "read")))


@route("PUT", "/robots/{id}", _PUT)
def update(call: Call) -> Answer:
    """An absent `disable` enables the robot, an absent description empties it, as in Harbor."""
    robot = _needed(call, "update")
    given = call.body
    level = _level(given)
    permissions = given.get("permissions", [])
    own_level = "project" if robot["project"] else "system"
    if level != own_level or given.get("name", "") != access.full_name(call.world, robot):
        raise answers.bad_request("cannot update the level or name of robot")
    _check_permissions(level, permissions)
    if level == "project":
        project = projects.by_name(call.world, permissions[0].get("namespace", ""))
        if project is None:
            raise answers.not_found(f"project {permissions[0].get('namespace', '')} not found")
        if project["id"] != robot["project"]:
            raise answers.bad_request("cannot update the project id of robot")
    duration = given.get("duration", 0)
    if duration:
        _check_duration(duration)
    if duration and duration != robot["duration"]:
        robot["duration"] = duration
        begun = datetime.fromisoformat(robot["creation_time"]).timestamp()
        robot["expires_at"] = -1 if duration == -1 else int(begun) + duration * _DAY
    robot.update(
        description=given.get("description", ""),
        disable=given.get("disable", False),
        permissions=_stored(permissions),
        update_time=now(),
    )
    return OK


@route("PATCH", "/robots/{id}", body("robotSec", "RobotSec", secret="string"))
def refresh_secret(call: Call) -> Answer:
    robot = _needed(call, "update")
    secret = call.body.get("secret", "")
    if secret and not is_strong(secret):
        raise answers.bad_request(WEAK.replace("password or ", ""))
    made = secret or random_secret()
    robot.update(secret=call.world.digest(made), update_time=now())
    return Answer(200, {} if secret else {"secret": made})


@route("DELETE", "/robots/{id}")
def delete(call: Call) -> Answer:
    robot = _needed(call, "delete")
    del call.world.table("robots")[robot["id"]]
    return OK
