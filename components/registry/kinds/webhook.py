"""Webhooks of projects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from components.registry.api import where
from components.registry.errors import Refused
from components.registry.kinds import checks, in_project
from components.registry.kinds.base import (
    Field,
    Kind,
    Session,
    Tree,
    as_set,
    digest,
    digest_name,
    rows,
    secret_differs,
)

_PLACE: Final = "webhook/policies"

_KEPT: Final = "authorizationIsDeclared"


def _url(value: Any) -> str | None:
    # Harbor takes an address without a scheme.
    ok = isinstance(value, str) and urlsplit(value).scheme in ("http", "https")
    return None if ok else "has to be an address with http:// or https://"


def _format(value: Any) -> Any:
    return value or "Default"


def _events(value: Any) -> str | None:
    return checks.distinct(value) if value else "has to have one event at least"


class Webhook(Kind):
    """`authorization` is shown in clear by Harbor to whoever may read webhooks: outputs keep a
    digest of it, and `authorizationIsDeclared` whether Harbor has it so. `targets`: how many
    addresses it has; the web interface makes one."""

    name = "Webhook"
    noun = "webhook"
    inserts_secrets = True
    fields: ClassVar = {
        "project": Field(required=True, replaces=True, check=checks.harbor_name),
        "name": Field(required=True, replaces=True, check=checks.nonempty),
        "url": Field(required=True, check=_url),
        "kind": Field(default="http", check=checks.one_of("http", "slack")),
        "events": Field(required=True, normal=as_set, check=_events),
        "authorization": Field(default="", secret=True, check=checks.text),
        "format": Field(
            default="", normal=_format, check=checks.one_of("", "Default", "CloudEvents")
        ),
        "tlsVerify": Field(default=True, of_harbor=True, check=checks.boolean),
        "enabled": Field(default=True, of_harbor=True, check=checks.boolean),
        "description": Field(default="", of_harbor="", check=checks.text),
    }
    mended: ClassVar = {_KEPT: True, "targets": 1}

    def id_of(self, inputs: Tree) -> str:
        return f"{inputs['project']}/{inputs['name']}"

    def inputs_of(self, id_: str) -> Tree:
        project, slash, name = id_.partition("/")
        if not slash:
            raise Refused(f"webhook {id_}: the id is <project>/<name>")
        return {"project": project, "name": name}

    def problems(self, inputs: Tree) -> list[tuple[str, str]]:
        if inputs["kind"] == "slack" and inputs["format"]:
            return [("format", "webhook: Harbor refuses a format for slack")]
        return []

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del known
        project, name = str(inputs["project"]), str(inputs["name"])
        for row in in_project.listed(session, project, _PLACE, where({"name": name})):
            if row.get("name") == name:
                return {**row, "project": project}
        return None

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        targets: list[Tree] = rows(stored.get("targets"))
        target = targets[0] if targets else {}
        header = target.get("auth_header") or ""
        session.harbor.hide(header)
        digests = digest_name("authorization") in known
        is_declared = not secret_differs(known, "authorization", {"authorization": header})
        return {
            "project": stored["project"],
            "name": stored["name"],
            "url": target.get("address") or "",
            "kind": target.get("type") or "",
            "events": sorted(rows(stored.get("event_types"))),
            "format": target.get("payload_format") or "",
            "tlsVerify": not target.get("skip_cert_verify", False),
            "enabled": stored.get("enabled", False),
            "description": stored.get("description") or "",
            # Before there is a digest, the header is written in any case.
            _KEPT: is_declared or not digests,
            "targets": len(targets),
            "harborId": stored["id"],
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        session.harbor.hide(inputs["authorization"])
        path = in_project.path_of(inputs["project"], _PLACE)
        return dict(
            session.harbor.created(path, _body(inputs), lambda: self.find(session, inputs, {}))
        )

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        del changed
        path = in_project.path_of(inputs["project"], f"{_PLACE}/{stored['id']}")
        session.harbor.put(path, _body(inputs))

    def written(self, session: Session, stored: Tree, inputs: Tree) -> Tree:
        del session, stored
        return {digest_name("authorization"): digest(inputs["authorization"])}

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        session.harbor.delete(in_project.path_of(stored["project"], f"{_PLACE}/{stored['id']}"))

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        targets: list[Tree] = rows(stored.get("targets"))
        others = [super().foreign(session, stored, shown, inputs)]
        if len(targets) != 1:
            others.append(f"it has {len(targets)} addresses")
        elif (targets[0].get("auth_header") or "") not in ("", inputs["authorization"]):
            others.append("authorization is another one")
        return ", ".join(other for other in others if other)


def _body(inputs: Tree) -> Tree:
    """The whole webhook: PUT replaces everything, and without `enabled` it would be off."""
    target: Tree = {
        "type": inputs["kind"],
        "address": inputs["url"],
        "auth_header": inputs["authorization"],
        "skip_cert_verify": not inputs["tlsVerify"],
    }
    if inputs["format"]:
        target["payload_format"] = inputs["format"]
    return {
        "name": inputs["name"],
        "description": inputs["description"],
        "enabled": inputs["enabled"],
        "event_types": inputs["events"],
        "targets": [target],
    }
