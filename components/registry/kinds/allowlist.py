"""The CVE allowlist of all projects that have none of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from components.registry.errors import Refused
from components.registry.kinds import checks
from components.registry.kinds.base import Field, Kind, Session, Tree, as_set, rows

_PATH = "/system/CVEAllowlist"


def _expires(value: Any) -> str | None:
    # Harbor takes 0 for 1970: the list would count for nothing at once.
    whole = isinstance(value, int) and not isinstance(value, bool)
    ok = whole and (value == -1 or value > 0)
    return None if ok else "has to be -1 for never, or seconds since 1970"


class CveAllowlist(Kind):
    """It always exists, empty at first. `expires`: seconds since 1970, -1 for never. Only admin may
    write it."""

    name = "CveAllowlist"
    noun = "CVE allowlist"
    computed = ()
    fields: ClassVar = {
        "items": Field(default=[], of_harbor=[], normal=as_set, check=checks.distinct),
        "expires": Field(default=-1, of_harbor=-1, check=_expires),
    }

    def id_of(self, inputs: Tree) -> str:
        del inputs
        return "system"

    def inputs_of(self, id_: str) -> Tree:
        if id_ != "system":
            raise Refused(f"CVE allowlist {id_}: the id is system; a project's is a field of it")
        return {}

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del inputs, known
        return session.harbor.get(_PATH) or {}

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del session, known
        return {
            "items": sorted(item["cve_id"] for item in rows(stored.get("items"))),
            "expires": stored.get("expires_at", -1),
        }

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        del stored, changed
        _put(session, inputs)

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del stored, known
        _put(session, {"items": [], "expires": -1})


def _put(session: Session, inputs: Tree) -> None:
    body: Tree = {"items": [{"cve_id": cve} for cve in inputs["items"]]}
    if inputs["expires"] != -1:
        body["expires_at"] = inputs["expires"]
    session.harbor.put(_PATH, body, who="admin")
