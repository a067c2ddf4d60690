"""Who asks, and what Harbor lets them do."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from email.message import Message
from typing import Any

from sandbox.fake_harbor import answers
from sandbox.fake_harbor.world import Row, World


@dataclass(frozen=True)
class Identity:
    """Who asks: nobody, a user or a robot. `refused`: a password was given, and it is wrong."""

    name: str = ""
    user: Row | None = None
    robot: Row | None = None
    refused: bool = False

    @property
    def known(self) -> bool:
        return self.user is not None or self.robot is not None

    @property
    def is_admin(self) -> bool:
        return self.user is not None and bool(self.user["sysadmin"])


NOBODY = Identity()


def identify(world: World, headers: Message) -> Identity:
    """Who asks, by basic auth. A wrong password makes nobody of them, as in Harbor."""
    method, _, encoded = headers.get("Authorization", "").partition(" ")
    if method.lower() != "basic":
        return NOBODY
    try:
        name, _, secret = base64.b64decode(encoded).decode().partition(":")
    except ValueError:
        return NOBODY
    user = next((u for u in world.table("users").values() if u["username"] == name), None)
    if user is not None and user["password"] == world.digest(secret):
        return Identity(name, user=user)
    for robot in world.table("robots").values():
        if full_name(world, robot) == name:
            if robot["secret"] == world.digest(secret) and is_usable(robot):
                return Identity(name, robot=robot)
            break
    return Identity(name, refused=True)


def full_name(world: World, robot: Row) -> str:
    """The name a robot logs in with; Harbor's prefix is never stored with it."""
    return world["configurations"]["robot_name_prefix"] + robot["name"]


def is_usable(robot: Row) -> bool:
    return not robot["disable"] and (robot["expires_at"] == -1 or robot["expires_at"] > time.time())


def may_in_system(who: Identity, resource: str, action: str) -> bool:
    if who.robot is not None:
        return any(
            block["kind"] == "system" and _grants(block, resource, action)
            for block in who.robot["permissions"]
        )
    return who.is_admin


def may_in_project(
    world: World, who: Identity, project: Row | None, resource: str, action: str
) -> bool:
    if who.robot is not None:
        return any(
            block["kind"] == "project" and _in_project(block, project, resource, action)
            for block in who.robot["permissions"]
        )
    if who.is_admin:
        return True
    return project is not None and role_of(world, who, project) == 1


def _in_project(block: Row, project: Row | None, resource: str, action: str) -> bool:
    if project is None:
        return False  # whatever the robot's rights (seen on v2.14.3)
    if block["namespace"] == "*":
        # On `*`, a right on the project is that right on everything below it (seen, facts 7.1).
        return _grants(block, resource, action) or _grants(block, "project", action)
    return block["namespace"] == project["name"] and _grants(block, resource, action)


def _grants(block: Row, resource: str, action: str) -> bool:
    return any(a["resource"] == resource and a["action"] == action for a in block["access"])


def role_of(world: World, who: Identity, project: Row) -> int | None:
    """The role of a user in a project, None for none."""
    if who.user is None:
        return None
    for member in world.table("members").values():
        if (
            member["project"] == project["id"]
            and member["type"] == "u"
            and member["entity"] == who.user["id"]
        ):
            return member["role"]
    return None


def need_login(who: Identity) -> None:
    if not who.known:
        raise answers.unauthorized()


def need_system(who: Identity, resource: str, action: str) -> None:
    """Raises Refused unless they may do this to the whole of Harbor."""
    need_login(who)
    if not may_in_system(who, resource, action):
        raise answers.forbidden(who.name)


def need_project(
    world: World, who: Identity, project: Row | None, resource: str, action: str
) -> None:
    """Raises Refused unless they may do this in the project; None is a missing project."""
    need_login(who)
    if not may_in_project(world, who, project, resource, action):
        raise answers.forbidden()


def within(own: list[Row], asked: list[dict[str, Any]]) -> bool:
    """Whether the rights that are asked for are all among a robot's own."""
    for block in asked:
        for access in block["access"]:
            if not any(
                mine["kind"] == block["kind"]
                and mine["namespace"] in ("*", block["namespace"])
                and _grants(mine, access["resource"], access["action"])
                for mine in own
            ):
                return False
    return True
