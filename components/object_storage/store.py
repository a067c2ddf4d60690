"""Store: what the component ObjectStorage learns from each kind of storage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pulumi

from components.harbor_inputs import RemoteStorage, VolumeStorage
from components.object_storage.location import BucketLocation

HARBOR_SECRET: Final = "harbor-objectstorage-credentials"
"""The Secret with the registry's credentials, in Harbor's namespace."""


def _nothing() -> pulumi.Output[BucketLocation | None]:
    return pulumi.Output.from_input(None)


def _no_credentials() -> pulumi.Output[str]:
    return pulumi.Output.from_input("none")


@dataclass(frozen=True, kw_only=True)
class Store:
    """The outputs of the same names of ObjectStorage.

    Defaults are those of a kind without S3 bucket and without credentials."""

    storage: pulumi.Output[RemoteStorage | VolumeStorage]
    location: pulumi.Output[BucketLocation | None] = field(default_factory=_nothing)
    revision: pulumi.Output[str] = field(default_factory=_no_credentials)
