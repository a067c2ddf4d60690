"""Members of a project: groups and users, with a role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from components.registry.api import segment
from components.registry.errors import HarborError, Refused
from components.registry.kinds import checks
from components.registry.kinds.base import Field, Kind, Session, Tree

ROLES: Final = {"admin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}

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
        path, name = _path(inputs), str(inputs["name"])
        if session.harbor.project_number(str(inputs["project"])) is None:
            return None
        for row in session.harbor.listed(path, {"entityname": name}):
            if row["entity_name"] == name and row["entity_type"] == _ENTITIES[inputs["kind"]]:
                return {**row, "project": inputs["project"]}
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
        try:
            made = session.harbor.created(
                _path(inputs), body, lambda: self.find(session, inputs, {})
            )
        except HarborError as error:
            # Said of the person or group; a project that is missing is "project … not found".
            if error.status != 404 or str(inputs["name"]) not in error.message:
                raise
            why = (
                "Harbor knows a person only after the first login: let the person log in once"
                if inputs["kind"] == "user"
                else "Harbor makes a group by its name only while people log in by OpenID Connect: "
                "set registry.login, or leave the group out"
            )
            raise Refused(
                f"member {inputs['kind']} {inputs['name']} of project {inputs['project']}: {why} "
                f"({error})"
            ) from None
        return dict(made)

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        if "role" in changed:
            path = f"{_path(inputs)}/{stored['id']}"
            session.harbor.put(path, {"role_id": ROLES[inputs["role"]]})

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        session.harbor.delete(f"{_path(stored)}/{stored['id']}")


def _path(inputs: Tree) -> str:
    return f"/projects/{segment(str(inputs['project']))}/members"
