"""Members of a project: groups and users, with a role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from components.registry.errors import HarborError, Refused
from components.registry.kinds import checks, in_project
from components.registry.kinds.base import Field, Kind, Session, Tree

ROLES: Final = {"admin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}

_PLACE: Final = "members"

_ENTITIES: Final = {"group": "g", "user": "u"}


class Member(Kind):
    """`groupType` is Harbor's: 3 for OIDC, 1 for LDAP. A group that Harbor does not know is made;
    it stays when the membership goes, as it may be a member elsewhere."""

    name = "Member"
    noun = "member"
    fields: ClassVar = {
        "project": Field(required=True, replaces=True, check=checks.harbor_name),
        "kind": Field(required=True, replaces=True, check=checks.one_of(*_ENTITIES)),
        "name": Field(required=True, replaces=True, check=checks.nonempty),
        "groupType": Field(default=3, local=True, check=checks.whole(1, 3)),
        "role": Field(required=True, check=checks.one_of(*ROLES)),
    }

    def id_of(self, inputs: Tree) -> str:
        return f"{inputs['project']}/{inputs['kind']}/{inputs['name']}"

    def inputs_of(self, id_: str) -> Tree:
        parts = id_.split("/", 2)
        if len(parts) < 3 or parts[1] not in _ENTITIES:
            raise Refused(
                f"member {id_}: the id is <project>/group/<name> or <project>/user/<name>"
            )
        return dict(zip(("project", "kind", "name"), parts, strict=True))

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del known
        project, name = str(inputs["project"]), str(inputs["name"])
        for row in in_project.listed(session, project, _PLACE, {"entityname": name}):
            if row["entity_name"] == name and row["entity_type"] == _ENTITIES[inputs["kind"]]:
                return {**row, "project": project}
        return None

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del session, known
        roles = {number: role for role, number in ROLES.items()}
        kinds = {letter: kind for kind, letter in _ENTITIES.items()}
        return {
            "project": stored["project"],
            "kind": kinds[stored["entity_type"]],
            "name": stored["entity_name"],
            "role": roles.get(stored["role_id"], f"number {stored['role_id']}"),
            "harborId": stored["id"],
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        who: Tree = (
            {"member_user": {"username": inputs["name"]}}
            if inputs["kind"] == "user"
            else {"member_group": {"group_name": inputs["name"], "group_type": inputs["groupType"]}}
        )
        body = {"role_id": ROLES[inputs["role"]], **who}
        path = in_project.path_of(inputs["project"], _PLACE)
        try:
            return dict(session.harbor.created(path, body, lambda: self.find(session, inputs, {})))
        except HarborError as error:
            if error.status == 404 and error.message in _unknown(inputs["name"]):
                raise Refused(_way_out(inputs, error)) from None
            raise

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        if "role" in changed:
            path = in_project.path_of(inputs["project"], f"{_PLACE}/{stored['id']}")
            session.harbor.put(path, {"role_id": ROLES[inputs["role"]]})

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        session.harbor.delete(in_project.path_of(stored["project"], f"{_PLACE}/{stored['id']}"))


def _unknown(name: str) -> tuple[str, str]:
    """What Harbor says of a group or a user that it does not know."""
    return f"{name} not found: not supported", f"user {name} is not found"


def _way_out(inputs: Tree, error: HarborError) -> str:
    name = inputs["name"]
    member = f"member of project {inputs['project']}: Harbor does not know the"
    if inputs["kind"] == "user":
        return (
            f"{member} user {name} ({error}). With `registry.login` a person has to log in once "
            "before; without it, an administrator makes the user in Harbor"
        )
    return (
        f"{member} group {name}, and makes none, as it has no login that could name one "
        f"({error}). `registry.login` declares a login; `members.users` needs none"
    )
