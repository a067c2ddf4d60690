"""Robots, as Harbor names and lists them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, ClassVar, cast

from components.commands import run
from components.registry.api import Harbor, Who, where
from components.registry.errors import Refused
from components.registry.kinds import checks
from components.registry.kinds.base import UNKNOWN, Field, Kind, Session, Tree, rows


def find(harbor: Harbor, project: str, name: str, *, who: Who = "account") -> Tree | None:
    """The robot of a project, or of the system for "", by its short name."""
    conditions: Tree = {}
    if project:
        number = harbor.project_number(project)
        if number is None:
            return None
        conditions = {"Level": "project", "ProjectID": number}
    short = f"{project}+{name}" if project else name
    rows = harbor.listed("/robots", where({**conditions, "name": short}), who=who)
    return next((row for row in rows if _is_called(harbor, row, short)), None)


def _is_called(harbor: Harbor, stored: Tree, short: str) -> bool:
    """Whether a robot has that name, which begins with its project and a plus."""
    name = str(stored["name"])
    if name == harbor.prefix() + short:
        return True
    # Somebody may have changed the prefix, which renames every robot.
    return name.endswith(short) and name == harbor.ask_prefix() + short


def short_name(harbor: Harbor, stored: Tree) -> str:
    """The name without prefix and project."""
    full = str(stored["name"])
    return full.removeprefix(harbor.prefix()).rpartition("+")[2]


def flat(permissions: Any) -> frozenset[tuple[str, str, str]]:
    """Permissions of Harbor as kind, namespace, and resource:action: it keeps no order."""
    return frozenset(
        (block["kind"], block["namespace"], _right(right))
        for block in rows(permissions)
        for right in rows(block["access"])
    )


def _right(right: Tree) -> str:
    effect = right.get("effect") or "allow"
    return ":".join([right["resource"], right["action"], *([] if effect == "allow" else [effect])])


def blocks(rights: frozenset[tuple[str, str, str]]) -> list[Tree]:
    """Permissions as inputs, sorted."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for kind, namespace, right in sorted(rights):
        grouped.setdefault((kind, namespace), []).append(right)
    return [
        {"kind": kind, "namespace": namespace, "access": access}
        for (kind, namespace), access in grouped.items()
    ]


def declared(permissions: Any) -> Any:
    """Permissions as inputs, in the one form in which they can be compared."""
    if not isinstance(permissions, list):
        return permissions
    return blocks(
        frozenset(
            (block["kind"], block["namespace"], right)
            for block in rows(permissions)
            for right in rows(block["access"])
        )
    )


def sent(permissions: Any) -> list[Tree]:
    """Permissions as Harbor takes them."""
    return [
        {
            **block,
            "access": [
                dict(zip(("resource", "action"), right.split(":"), strict=True))
                for right in block["access"]
            ],
        }
        for block in declared(permissions)
    ]


def _are_permissions(value: Any) -> str | None:
    example = "has to be a list of {kind, namespace, access: ['repository:pull']}"
    if not isinstance(value, list) or not value:
        return f"{example}, with one block at least"
    for item in rows(value):
        block = cast("Tree", item) if isinstance(item, dict) else {}
        if block.keys() != {"kind", "namespace", "access"}:
            return example
        if block["kind"] not in ("project", "system"):
            return f"{example}: kind is project or system, not {block['kind']!r}"
        access = rows(block["access"])
        if not access or not all(isinstance(r, str) and r.count(":") == 1 for r in access):
            return f"{example}: access is a list of resource:action, not {access!r}"
    return None


class Robot(Kind):
    """A robot of the system or of a project. `prefix`: what its login begins with, Harbor's
    robot_name_prefix; with it a change of that reaches the output `fullName`, the login. Output
    `expiresAt`: seconds since 1970, -1 for never."""

    name = "Robot"
    noun = "robot"
    fields: ClassVar = {
        "name": Field(required=True, replaces=True, check=checks.harbor_name),
        "project": Field(default="", replaces=True, check=checks.text),
        "description": Field(default="", of_harbor="", check=checks.text),
        "days": Field(default=-1, check=checks.whole(-1, 100_000)),
        "enabled": Field(default=True, of_harbor=True, check=checks.boolean),
        "permissions": Field(required=True, normal=declared, check=_are_permissions),
        "secret": Field(secret=True, check=checks.password),
        "prefix": Field(check=checks.text),
    }
    computed = ("harborId", "fullName", "expiresAt", "duration")

    def id_of(self, inputs: Tree) -> str:
        project = inputs.get("project")
        return f"{project}+{inputs['name']}" if project else str(inputs["name"])

    def inputs_of(self, id_: str) -> Tree:
        project, _, name = id_.rpartition("+")
        return {"project": project, "name": name}

    def problems(self, inputs: Tree) -> list[tuple[str, str]]:
        refused: list[tuple[str, str]] = []
        if inputs["days"] == 0:
            refused.append(("days", "robot: days is -1 for never, or 1 and more; Harbor refuses 0"))
        project, blocks_ = inputs["project"], inputs["permissions"]
        if project and project is not UNKNOWN and blocks_ is not UNKNOWN:
            spaces = {(block["kind"], block["namespace"]) for block in blocks_}
            if spaces != {("project", project)}:
                refused.append(
                    ("permissions", f"robot: one of project {project} has rights in it alone")
                )
        return refused

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        if number := known.get("harborId"):
            stored = session.harbor.get(f"/robots/{number}")
            # After a restore of an older backup Harbor gives numbers again, to other robots.
            if stored is not None and _is_called(session.harbor, stored, self.id_of(inputs)):
                return stored
        return find(session.harbor, str(inputs.get("project") or ""), str(inputs["name"]))

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        prefix = session.harbor.prefix()
        short = self.id_of(known) if "name" in known else ""
        if short and str(stored["name"]).endswith(short):
            prefix = str(stored["name"]).removesuffix(short)
        project, _, name = str(stored["name"]).removeprefix(prefix).rpartition("+")
        # A renewal sets the days since the creation besides: those that were declared are kept.
        is_renewed = stored["duration"] == known.get("duration")
        return {
            "name": name,
            "project": project,
            "description": stored.get("description") or "",
            "days": known["days"] if is_renewed and "days" in known else stored["duration"],
            "enabled": not stored.get("disable", False),
            "permissions": blocks(flat(stored["permissions"])),
            "prefix": prefix,
            "harborId": stored["id"],
            "fullName": stored["name"],
            "expiresAt": stored["expires_at"],
            "duration": stored["duration"],
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        body = {
            "name": inputs["name"],
            "level": "project" if inputs["project"] else "system",
            "description": inputs["description"],
            "duration": inputs["days"],
            "permissions": sent(inputs["permissions"]),
        }
        made = session.harbor.created("/robots", body, lambda: self.find(session, inputs, {}))
        return dict(made)

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        if "prefix" in changed:
            raise Refused(
                f"robot {self.id_of(inputs)} logs in as {stored['name']}, not by the prefix "
                f"{inputs['prefix']}: somebody changed robot_name_prefix in Harbor. After "
                f"`{run('refresh')}` `up` sets it as `registry.system.robotPrefix` says"
            )
        path = f"/robots/{stored['id']}"
        # No robot has the right to change one of the system: Harbor's dictionary lacks
        # robot:update. Those of projects it may change by project:update.
        who: Who = "account" if stored["level"] == "project" else "admin"
        duration = stored["duration"]
        if "days" in changed or ("secret" in changed and inputs["days"] > 0):
            duration = renewed(inputs["days"], str(stored["creation_time"]))
        if set(changed) - {"secret"} or duration != stored["duration"]:
            # A PUT without `disable` enables the robot, one without a description empties it.
            session.harbor.put(
                path,
                {
                    "name": stored["name"],
                    "level": stored["level"],
                    "description": inputs["description"],
                    "duration": duration,
                    "disable": not inputs["enabled"],
                    "permissions": sent(inputs["permissions"]),
                },
                who=who,
            )
        if "secret" in changed:
            session.harbor.patch(path, {"secret": inputs["secret"]}, who=who)

    def written(self, session: Session, stored: Tree, inputs: Tree) -> Tree:
        del session
        return {"days": inputs["days"], "duration": stored["duration"]}

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        session.harbor.delete(f"/robots/{stored['id']}")

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        """A robot is taken if the program's own account made it: its secret is set anew."""
        del shown, inputs
        own = find(session.harbor, "", session.harbor.logins.account)
        is_own = (
            own is not None
            and stored.get("creator_type") == "robot"
            and stored.get("creator_ref") == own["id"]
        )
        return "" if is_own else "somebody else made it, and its secret would change"

    def expected(self, session: Session, inputs: Tree) -> Tree:
        return {"fullName": (inputs.get("prefix") or session.harbor.prefix()) + self.id_of(inputs)}

    def foreseen(self, session: Session, outputs: Tree, inputs: Tree) -> Tree:
        foreseen = super().foreseen(session, outputs, inputs)
        if {"days", "secret"} & set(self.diff(outputs, inputs).changed):
            # Harbor counts anew, which only the update itself can tell.
            foreseen = {k: foreseen[k] for k in foreseen if k not in ("expiresAt", "duration")}
        return {**foreseen, **(self.expected(session, inputs) if inputs.get("prefix") else {})}


def renewed(days: int, creation: str) -> int:
    """The duration by which a robot ends so many days from now. Pure but for the clock.

    Harbor counts it from the robot's creation, whenever it is set.
    """
    if days < 0:
        return days
    made = dt.datetime.fromisoformat(creation.replace("Z", "+00:00"))
    return days + max(0, (dt.datetime.now(dt.UTC) - made).days)
