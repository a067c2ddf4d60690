"""A SealedSecret and its Secret, as the API server has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.sealing.digests import revision

REVISION_ANNOTATION: Final = "sovereign-harbor/revision"
"""Annotation of the Secret's template: the controller writes it together with the data."""


def sealed_path(namespace: str, name: str) -> str:
    return f"/apis/bitnami.com/v1alpha1/namespaces/{namespace}/sealedsecrets/{name}"


def external_path(namespace: str, name: str) -> str:
    return f"/apis/external-secrets.io/v1/namespaces/{namespace}/externalsecrets/{name}"


def secret_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def revision_of(secret: Any) -> str | None:
    """The revision that a Secret carries; None when it is missing or not of this program."""
    return _dig(secret, "metadata", "annotations", REVISION_ANNOTATION)


def maker_path(secret: Any, namespace: str, name: str) -> str | None:
    """The path of the SealedSecret or ExternalSecret that a Secret goes with; None of one that
    stays by itself. Both kinds have the name of their Secret."""
    owners: list[Mapping[str, Any]] = _dig(secret, "metadata", "ownerReferences") or []
    paths = {"SealedSecret": sealed_path, "ExternalSecret": external_path}
    kinds = [str(owner.get("kind")) for owner in owners]
    return next((paths[kind](namespace, name) for kind in kinds if kind in paths), None)


def sealed_owners(secret: Any) -> list[str | None]:
    """The uids of the SealedSecrets that a Secret goes with; none of one that stays by itself."""
    owners: list[Mapping[str, Any]] = _dig(secret, "metadata", "ownerReferences") or []
    return [owner.get("uid") for owner in owners if owner.get("kind") == "SealedSecret"]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """`sealed`, `secret`: the objects; None when missing."""

    sealed: Mapping[str, Any] | None
    secret: Mapping[str, Any] | None

    @property
    def has_status(self) -> bool:
        """Whether the controller says anything. With its flag --update-status=false it does not."""
        return bool(_dig(self.sealed, "status"))

    @property
    def is_observed(self) -> bool:
        """Whether the controller has looked at the SealedSecret as it is now.

        Until then the condition Synced is that of the SealedSecret before.
        """
        observed = _dig(self.sealed, "status", "observedGeneration")
        return observed is not None and observed == _dig(self.sealed, "metadata", "generation")

    @property
    def is_synced(self) -> bool:
        """Whether the controller opened the SealedSecret as it is now."""
        return self.is_observed and self._synced.get("status") == "True"

    @property
    def message(self) -> str:
        """What the controller says of the SealedSecret."""
        if self.sealed is None:
            return "the SealedSecret is gone"
        if not self.is_observed:
            return "the controller has not looked at it: is sealed-secrets running?"
        return str(self._synced.get("message") or f"Synced={self._synced.get('status')}")

    @property
    def is_of_this_one(self) -> bool:
        """Whether the Secret is not left from a SealedSecret of that name that is gone.

        Kubernetes removes what is left a moment later, and only then can it be made again.
        """
        uids = sealed_owners(self.secret)
        return not uids or _dig(self.sealed, "metadata", "uid") in uids

    def has(self, wanted: str) -> bool:
        """Whether the Secret carries that revision."""
        return revision_of(self.secret) == wanted

    def content(self, salt: str) -> str:
        """A salted digest of the Secret's data, with its revision."""
        data: dict[str, str] = _dig(self.secret, "data") or {}
        return f"{revision_of(self.secret)}/{revision(data, salt=bytes.fromhex(salt))}"

    @property
    def _synced(self) -> Mapping[str, Any]:
        conditions: list[Mapping[str, Any]] = _dig(self.sealed, "status", "conditions") or []
        for condition in conditions:
            if condition.get("type") == "Synced":
                return condition
        return {}


def _dig(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if tree else None
    return tree
