"""What an interrupted run leaves in Helm's records, and how the next run gets past it.

Helm keeps a release as Secrets in its namespace. An operation that is killed leaves one of status
pending-install or pending-upgrade, and Helm then refuses every further operation ("another
operation is in progress", pulumi-kubernetes #2054). A run that is killed after Helm ended but
before the engine saved its state leaves a release that the engine does not know and would install
again ("cannot re-use a name").

The stack's lock keeps a second run of the same stack away, so such a record of this stack belongs
to a run that is dead. Removing the record removes none of the release's objects: Helm adopts them
again, as they carry its ownership annotations. Records of others are never touched.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import pulumi

from components import parsed
from components.harbor_inputs import GIVEN_SECRET_KEY, MINTED_SECRET_KEY, RELEASE
from components.kubernetes.client import ClusterClient, dig

RUNBOOK: Final = "docs/runbooks/adopt-a-release.md"
_LARGEST_RECORD: Final = 64 * 1024**2
"""Bytes. Kubernetes takes Secrets of 1 MiB, which gzip makes of a gigabyte, too."""


class ForeignRelease(Exception):
    """A release of this name exists that this stack did not make; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One of Helm's records of a release.

    `made_here`: its values are such as only this program writes, for whichever address.
    """

    path: str
    revision: int
    status: str
    chart_version: str | None
    external_url: str | None
    has_values: bool
    made_here: bool

    def is_ours(self, external_url: str) -> bool:
        return self.made_here and self.external_url == external_url


def guard(
    kube_context: str | None, namespace: str, external_url: str
) -> pulumi.ResourceHookBinding:
    """Hooks of the Release that remove what an interrupted run left, before a create or update."""

    def before_create(_: pulumi.ResourceHookArgs) -> None:
        forget_unknown_release(ClusterClient(kube_context), namespace, external_url)

    def before_update(_: pulumi.ResourceHookArgs) -> None:
        forget_pending_upgrade(ClusterClient(kube_context), namespace, external_url)

    return pulumi.ResourceHookBinding(
        before_create=[pulumi.ResourceHook("harbor-before-create", before_create)],
        before_update=[pulumi.ResourceHook("harbor-before-update", before_update)],
    )


def foreign_release(namespace: str) -> str:
    """The message about a release that this stack did not make."""
    return (
        f"Helm release {RELEASE} exists already in namespace {namespace} and was not made by this "
        "stack; nothing of it was touched. Its stored credentials are encrypted with a key that "
        "this stack does not have\n"
        f"  fix: adopt it with all that it holds, see {RUNBOOK}; for a new Harbor beside it "
        "set harbor.namespace to another one"
    )


def forget_unknown_release(client: ClusterClient, namespace: str, external_url: str) -> None:
    """Before a create: the engine knows no release, so a record of this stack was lost by it.

    Raises ForeignRelease when the release is not this stack's.
    """
    existing = records(client, namespace)
    if not all(record.is_ours(external_url) for record in existing):
        raise ForeignRelease(foreign_release(namespace))
    for record in existing:
        client.delete(record.path)


def forget_pending_upgrade(client: ClusterClient, namespace: str, external_url: str) -> None:
    """Before an update: a newest record of status pending-* belongs to a run that is dead."""
    existing = records(client, namespace)
    newest = existing[-1] if existing else None
    if newest and newest.status.startswith("pending-") and newest.is_ours(external_url):
        client.delete(newest.path)


def records(client: ClusterClient, namespace: str) -> list[Record]:
    """Helm's records of the release, oldest first."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    listed = client.get(f"{path}?labelSelector=owner%3Dhelm%2Cname%3D{RELEASE}")
    secrets: list[dict[str, Any]] = dig(listed, "items") or []
    return sorted((_record(path, secret) for secret in secrets), key=lambda record: record.revision)


def _record(path: str, secret: Mapping[str, Any]) -> Record:
    release = release_in(secret)
    values: dict[str, Any] = {}
    if isinstance(release.get("config"), dict):
        values = release["config"]
    revision = str(dig(secret, "metadata", "labels", "version"))
    return Record(
        path=f"{path}/{secret['metadata']['name']}",
        revision=int(revision) if revision.isdecimal() else 0,
        status=str(dig(secret, "metadata", "labels", "status") or "unknown"),
        chart_version=dig(release, "chart", "metadata", "version"),
        external_url=values.get("externalURL"),
        has_values=bool(values),
        # The address alone does not tell: somebody else's Harbor at the same address has another
        # secretKey, and an upgrade by this program would make what it encrypted unreadable.
        made_here=values.get("existingSecretSecretKey") in (MINTED_SECRET_KEY, GIVEN_SECRET_KEY),
    )


def release_in(secret: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a record says; nothing where somebody else's Secret has Helm's labels and no record."""
    try:
        # Kubernetes' base64 around Helm's own base64 around gzip around JSON.
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        unpacked = zlib.decompressobj(wbits=31).decompress(packed, _LARGEST_RECORD)
        release = parsed.json_of(unpacked)
    except (KeyError, TypeError, ValueError, zlib.error):
        return {}
    return cast("Mapping[str, Any]", release) if isinstance(release, dict) else {}
