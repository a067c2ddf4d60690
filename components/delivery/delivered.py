"""ExternalSecret, PushSecret and Secret, as the API server has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.delivery.objects import OWNER_KEY
from components.sealing.digests import revision
from components.sealing.opened import external_path, revision_of

_LONGEST: Final = 600

__all__ = ["Delivered", "external_path", "push_path", "ready", "reason"]


def push_path(namespace: str, name: str) -> str:
    return f"/apis/external-secrets.io/v1alpha1/namespaces/{namespace}/pushsecrets/{name}"


def ready(found: Any) -> Mapping[str, Any]:
    """The condition Ready of an object; empty where the operator wrote none."""
    conditions: list[Mapping[str, Any]] = _dig(found, "status", "conditions") or []
    empty: Mapping[str, Any] = {}
    return next((each for each in conditions if each.get("type") == "Ready"), empty)


def is_ready(found: Any) -> bool:
    return ready(found).get("status") == "True"


def is_refused(found: Any) -> bool:
    return ready(found).get("status") == "False"


def is_observed(found: Any) -> bool:
    """Whether the operator has last carried out the object as it is now.

    Its syncedResourceVersion is the generation, '-' and a digest of labels and annotations; what it
    could not carry out keeps the one before.
    """
    synced: str = _dig(found, "status", "syncedResourceVersion") or ""
    return synced.partition("-")[0] == str(_dig(found, "metadata", "generation"))


def reason(events: Any, found: Any) -> str:
    """What the operator says of an object: the last warning, and else its condition.

    The condition of an ExternalSecret says only that something failed; the event says what.
    """
    condition = ready(found)
    said = condition.get("message") or "nothing: is the External Secrets Operator running?"
    listed: list[Mapping[str, Any]] = _dig(events, "items") or []
    warnings = [each for each in listed if each.get("type") == "Warning"]
    if condition.get("status") == "False" and warnings:
        last = max(warnings, key=_moment)
        message = last.get("message") or last.get("note")
        said = f"{said}: {message}" if message and message != said else said
    line = " ".join(str(said).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _moment(event: Mapping[str, Any]) -> str:
    named = event.get("lastTimestamp") or event.get("eventTime")
    return str(named or _dig(event, "metadata", "creationTimestamp") or "")


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """`external`, `push`, `source`, `secret`: the objects; None when missing. The second and the
    third only where the program made the value."""

    external: Any
    secret: Any
    push: Any = None
    source: Any = None

    @property
    def is_synced(self) -> bool:
        """Whether the operator made the Secret from the ExternalSecret as it is now."""
        return is_ready(self.external) and is_observed(self.external) and bool(self.secret)

    @property
    def is_of_this_one(self) -> bool:
        """Whether the Secret is not left from an ExternalSecret of that name that is gone."""
        owners: list[Mapping[str, Any]] = _dig(self.secret, "metadata", "ownerReferences") or []
        uids = [each.get("uid") for each in owners if each.get("kind") == "ExternalSecret"]
        return not uids or _dig(self.external, "metadata", "uid") in uids

    @property
    def came_back(self) -> bool:
        """Whether the Secret has what the program gave into the store."""
        given: Mapping[str, str] = _dig(self.source, "data") or {}
        here: Mapping[str, str] = _dig(self.secret, "data") or {}
        return bool(given) and here == {k: v for k, v in given.items() if k != OWNER_KEY}

    def has(self, named: str | None) -> bool:
        """Whether the Secret carries that revision; any does where none is named."""
        return named is None or revision_of(self.secret) == named

    def content(self, salt: str) -> str:
        """A salted digest of the Secret's data."""
        data: dict[str, str] = _dig(self.secret, "data") or {}
        return revision(data, salt=bytes.fromhex(salt))


def _dig(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if tree else None
    return tree
