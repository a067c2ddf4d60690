"""What every kind of storage is made of."""

from __future__ import annotations

from dataclasses import dataclass

from components.object_storage.settings import StorageSettings
from components.settings.loader import Secrets
from components.site import Site


@dataclass(frozen=True, kw_only=True)
class ObjectStorageArgs:
    """`owner` names the stack in the bucket's owner object. `secrets`: those the kind needs."""

    settings: StorageSettings
    secrets: Secrets
    owner: str
    site: Site
