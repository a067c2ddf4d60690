"""Every kind of storage, and the smallest config of each."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import TypeAdapter

from components.settings.storage.base import StorageKind
from components.settings.storage.section import StorageSettings
from tests.support import builders

KINDS: tuple[type[StorageKind], ...] = get_args(get_args(StorageSettings)[0])
"""Members of the union StorageSettings."""

_MINIMAL: dict[str, dict[str, Any]] = {
    "hetzner": {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"},
    "s3": builders.BUCKET,
    "aws": builders.AWS,
    "gcs": builders.KEYED_GCS,
    "azure": builders.AZURE,
    "filesystem": builders.FILESYSTEM,
}


def minimal(kind: type[StorageKind]) -> dict[str, Any]:
    """Config of that kind. KeyError for a kind that is missing above."""
    return _MINIMAL[kind.model_fields["kind"].default]


def storage_of(kind: type[StorageKind], **changes: Any) -> StorageKind:
    adapter: TypeAdapter[Any] = TypeAdapter(StorageSettings)
    return adapter.validate_python({**minimal(kind), **changes})
