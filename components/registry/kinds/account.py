"""The program's own system robot, which does nearly all the rest.

Only admin can make it, since a robot gives no rights that it does not have itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from components.registry.errors import HarborError, Refused
from components.registry.kinds import checks, robots
from components.registry.kinds.base import Field, Kind, Session, Tree

_WITHHELD: Final = ("user", "preheat-instance", "preheat-policy")
"""Resources of which it gets no rights. With user:create and user:update a robot makes an admin."""

_DESCRIPTION: Final = "Sovereign Harbor: configures this registry"


class Account(Kind):
    """`revision` changes with the password in the account's Secret. Output `ready`: whether the
    robot is enabled, has every right that it needs and logs in with that password."""

    name = "Account"
    noun = "account"
    fields: ClassVar = {
        "name": Field(required=True, replaces=True, check=checks.harbor_name),
        "revision": Field(default="", local=True),
    }
    computed = ("harborId", "fullName")
    mended: ClassVar = {"ready": True}

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del known
        return robots.find(session.harbor, "", str(inputs["name"]), who="admin")

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del known
        rights = robots.flat(stored["permissions"])
        return {
            "name": robots.short_name(session.harbor, stored),
            "harborId": stored["id"],
            "fullName": stored["name"],
            "ready": not stored.get("disable")
            and robots.flat(self._rights(session)) <= rights
            and session.harbor.accepts(stored["name"], session.harbor.account_password()),
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        name = str(inputs["name"])
        body = {"name": name, "level": "system", "duration": -1, **self._described(session)}
        return dict(
            session.harbor.created(
                "/robots", body, lambda: self.find(session, inputs, {}), who="admin"
            )
        )

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        del inputs, changed
        harbor = session.harbor
        path = f"/robots/{stored['id']}"
        lacking = robots.flat(self._rights(session)) - robots.flat(stored["permissions"])
        if lacking or stored.get("disable") or stored.get("duration") != -1:
            described = {"name": stored["name"], "level": "system", "duration": -1}
            harbor.put(path, {**described, **self._described(session)}, who="admin")
        password = harbor.account_password()
        if not harbor.accepts(stored["name"], password):
            harbor.patch(path, {"secret": password}, who="admin")
            if not harbor.accepts(stored["name"], password):
                raise Refused(
                    f"account {stored['name']} cannot log in with the secret it was given"
                )
        # The client remembers a refused login for a while, also one of an account that was off.
        harbor.forget_login("account")

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        session.harbor.delete(f"/robots/{stored['id']}", who="admin")

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        """The one of a state that was lost is known by its description."""
        del session, shown, inputs
        is_own = stored.get("description") == _DESCRIPTION
        return "" if is_own else "somebody else made it, and its secret and rights would change"

    def expected(self, session: Session, inputs: Tree) -> Tree:
        return {"fullName": f"{session.harbor.prefix()}{inputs['name']}"}

    def _described(self, session: Session) -> Tree:
        return {
            "description": _DESCRIPTION,
            "disable": False,
            "permissions": self._rights(session),
        }

    def _rights(self, session: Session) -> list[Any]:
        """Every right that this Harbor knows, without the withheld."""
        known: Any = session.harbor.get("/permissions", who="admin")
        if not known:
            raise HarborError("GET /permissions", 404, "this Harbor does not name its rights")
        return [
            {
                "kind": kind,
                "namespace": namespace,
                "access": [
                    {"resource": right["resource"], "action": right["action"]}
                    for right in known[kind]
                    if right["resource"] not in _WITHHELD
                ],
            }
            for kind, namespace in (("system", "/"), ("project", "*"))
        ]
