"""Arguments of the component ObjectStorage, which every kind of storage gets."""

from __future__ import annotations

from dataclasses import dataclass

from components.context import Context
from components.settings.storage.section import StorageSettings
from components.stack_config import Secrets


@dataclass(frozen=True, kw_only=True)
class ObjectStorageArgs:
    """`owner`: the stack, as the bucket's owner object names it. `secrets`: those that the kind of
    storage needs, by config key."""

    settings: StorageSettings
    secrets: Secrets
    owner: str
    context: Context
