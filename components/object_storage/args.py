"""What every kind of storage is made of."""

from __future__ import annotations

from dataclasses import dataclass

from components.context import Context
from components.settings.storage.section import StorageSettings
from components.stack_config import Secrets


@dataclass(frozen=True, kw_only=True)
class ObjectStorageArgs:
    """`owner` names the stack in the bucket's owner object. `secrets`: those the kind needs."""

    settings: StorageSettings
    secrets: Secrets
    owner: str
    context: Context
