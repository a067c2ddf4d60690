"""The bucket's blobs against the registry's manifests: what no image refers to. Pure.

A blob is an orphan when no manifest that the registry has leads to it. The registry has a manifest
while a link below `_manifests/revisions` names it, which Harbor's garbage collection removes. The
links of layers do not count: garbage collection leaves them behind.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, cast

from components import parsed

_BLOB: Final = re.compile(r"docker/registry/v2/blobs/(sha256)/[0-9a-f]{2}/([0-9a-f]{64})/data")
_REVISION: Final = re.compile(
    r"docker/registry/v2/repositories/(.+)/_manifests/revisions/(sha256)/([0-9a-f]{64})/link"
)
_UPLOAD: Final = re.compile(r"docker/registry/v2/repositories/(.+)/_uploads/[^/]+/.+")
YOUNG: Final = dt.timedelta(days=1)
"""A younger blob may be of a push that has not ended: its manifest comes last."""
LARGEST_MANIFEST: Final = 4 * 1024**2
"""Bytes. The registry takes no larger one (distribution v2.8.3,
registry/handlers/manifests.go, maxManifestBodySize)."""


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A blob in the bucket. `key`: of its object; `written` in UTC."""

    digest: str
    key: str
    size: int
    written: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What lies in the bucket. `bytes`, `objects`: with old versions.

    `blobs`: by digest. `manifests`: digests of the registry's, and a repository that has it.
    `uploads`: repositories with an upload that has begun, and when its newest part was written.
    """

    blobs: Mapping[str, Blob]
    manifests: Mapping[str, str]
    uploads: Mapping[str, dt.datetime]
    bytes: int
    objects: int


def contents(rows: Iterable[Mapping[str, Any]], root: str) -> Contents:
    """What a listing of versions shows: Key, Size, LastModified, IsLatest of each object.

    `root`: the registry's root directory, "" for the bucket's own.
    """
    blobs: dict[str, Blob] = {}
    uploads: dict[str, dt.datetime] = {}
    manifests: dict[str, str] = {}
    size = count = 0
    prefix = f"{root.strip('/')}/" if root.strip("/") else ""
    for row in rows:
        size, count = size + int(row.get("Size") or 0), count + 1
        key = str(row["Key"])
        if not row.get("IsLatest", True) or not key.startswith(prefix) or "Size" not in row:
            continue
        written: dt.datetime = row["LastModified"]
        if blob := _BLOB.fullmatch(key.removeprefix(prefix)):
            digest = f"{blob[1]}:{blob[2]}"
            blobs[digest] = Blob(digest=digest, key=key, size=int(row["Size"]), written=written)
        elif revision := _REVISION.fullmatch(key.removeprefix(prefix)):
            manifests[f"{revision[2]}:{revision[3]}"] = revision[1]
        elif upload := _UPLOAD.fullmatch(key.removeprefix(prefix)):
            uploads[upload[1]] = max(written, uploads.get(upload[1], written))
    return Contents(blobs=blobs, manifests=manifests, uploads=uploads, bytes=size, objects=count)


class Unreadable(Exception):
    """A manifest in the bucket cannot be read, so nobody knows what it refers to."""


def referred(heads: Iterable[str], manifest: Callable[[str], bytes | None]) -> Set[str]:
    """All digests to which these images lead, their own among them.

    `heads`: digests of manifests and indexes. `manifest`: the content of one; None where the bucket
    does not have it, as of an image of another platform that a cache never fetched. Raises
    Unreadable.
    """
    found: set[str] = set()
    waiting = [*heads]
    while waiting:
        digest = waiting.pop()
        if digest in found:
            continue
        found.add(digest)
        content = manifest(digest)
        if content is not None:
            children, leaves = references(content, digest)
            found.update(leaves)
            waiting += children
    return found


def references(content: bytes, digest: str) -> tuple[list[str], list[str]]:
    """The manifests and the blobs that a manifest names. Raises Unreadable."""
    try:
        told: Any = parsed.json_of(content)
        children = _digests(told.get("manifests"))
        leaves = _digests(told.get("layers")) + _digests([told.get("config")])
        # Schema 1, which Harbor still stores.
        leaves += [str(row["blobSum"]) for row in told.get("fsLayers") or []]
        # Of a signature or a list of parts: the image that it is about.
        subject = _digests([told.get("subject")])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Unreadable(f"manifest {digest} in the bucket cannot be read") from None
    return children + subject, leaves


def _digests(rows: Any) -> list[str]:
    listed = cast("list[dict[str, Any] | None]", rows or [])
    return [str(row["digest"]) for row in listed if row is not None]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What was found. `orphans`: the largest first; `young`: left out of them, as too new.

    `missing`: repository@digest of manifests that the registry has and the bucket does not: images
    that cannot be pulled.
    """

    contents: Contents
    orphans: tuple[Blob, ...]
    young: int
    missing: tuple[str, ...]

    @property
    def orphan_bytes(self) -> int:
        return sum(blob.size for blob in self.orphans)


def truth(inventory: Contents, needed: Set[str], now: dt.datetime) -> Truth:
    """The bucket's blobs that are not `needed`, as `referred` has them."""
    unneeded = [blob for digest, blob in inventory.blobs.items() if digest not in needed]
    old = [blob for blob in unneeded if now - blob.written > YOUNG]
    missing = inventory.manifests.keys() - inventory.blobs.keys()
    return Truth(
        contents=inventory,
        orphans=tuple(sorted(old, key=lambda blob: (-blob.size, blob.digest))),
        young=len(unneeded) - len(old),
        missing=tuple(sorted(f"{inventory.manifests[digest]}@{digest}" for digest in missing)),
    )


@dataclass(frozen=True, kw_only=True)
class Price:
    """Of a terabyte (10¹² bytes) for a month."""

    amount: float
    currency: str

    def of(self, count: int) -> str:
        """What that many bytes cost a month, for people."""
        return f"{count / 1e12 * self.amount:.2f} {self.currency}"


def price_of(text: str) -> Price:
    """A price as people write it: `4.99 EUR`. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,4})?) ?([A-Za-z]{3})", text.strip())
    if match is None:
        raise ValueError(f"PRICE={text}: a number and a currency, for a TB and month: 4.99 EUR")
    return Price(amount=float(match[1]), currency=match[2].upper())
