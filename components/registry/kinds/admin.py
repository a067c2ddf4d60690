"""The password of admin, which Harbor takes from its Secret only at its first start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from components.registry.errors import Refused
from components.registry.kinds import checks
from components.registry.kinds.base import Field, Kind, Session, Tree


class AdminPassword(Kind):
    """Output `works`: whether admin logs in with the password of its Secret.

    A run that is interrupted anywhere is finished by the next: the new password is tried first,
    then that of the Secret, then those before it, which the Secret keeps under `previous`.
    """

    name = "AdminPassword"
    noun = "password of"
    computed = ()
    fields: ClassVar = {"password": Field(required=True, secret=True, check=checks.password)}
    mended: ClassVar = {"works": True}

    def id_of(self, inputs: Tree) -> str:
        del inputs
        return "admin"

    def inputs_of(self, id_: str) -> Tree:
        if id_ != "admin":
            raise Refused(f"password of {id_}: only that of admin is managed")
        return {}

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del session, inputs, known
        return {"id": 1}

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del stored
        # After a write the login is proven, and the Secret may be a moment behind.
        harbor = session.harbor
        return {"works": "isProven" in known or harbor.accepts("admin", harbor.admin_password())}

    def written(self, session: Session, stored: Tree, inputs: Tree) -> Tree:
        del session, stored, inputs
        return {"isProven": True}

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        del stored, changed
        harbor, new = session.harbor, str(inputs["password"])
        if harbor.accepts("admin", new):
            return
        for old in harbor.admin_passwords():
            if old != new and harbor.accepts("admin", old):
                harbor.change_admin_password(old, new)
                break
        else:
            secret = harbor.logins.admin_secret
            raise Refused(
                "admin can log in neither with the password that is declared, nor with that of "
                f"Secret {secret}, nor with one before it: somebody changed it in Harbor. Log in "
                f"there and set it to the one of Secret {secret}, key HARBOR_ADMIN_PASSWORD"
            )
        if not harbor.accepts("admin", new):
            raise Refused("Harbor took the new password of admin, and does not let admin in by it")

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        """Nothing: admin keeps the password."""
        del session, stored, known
