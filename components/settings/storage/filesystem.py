"""The storage kind `filesystem`: a volume of the cluster instead of object storage. Pure."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from components.settings.schema.rules import STORAGE_CLASS, StorageSize
from components.settings.storage.base import BlobLocation, StorageKind


class FilesystemStorage(StorageKind):
    """No object storage: Harbor keeps blobs on a volume of the cluster."""

    also_called = ("pvc", "volume", "local", "disk", "nfs")
    sample: ClassVar[Mapping[str, str]] = {"size": "200Gi"}

    is_remote: ClassVar[bool] = False

    kind: Literal["filesystem"] = "filesystem"
    size: StorageSize
    """Size of the volume."""
    storage_class: Annotated[str, STORAGE_CLASS] | None = None
    """StorageClass of the volume; the cluster's default when unset."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """Whether pods of one node or of several can use the volume; its StorageClass must support
    that. Fixed once the volume exists."""

    @property
    def mounts_on_one_node(self) -> bool:
        return self.access_mode == "ReadWriteOnce"

    @property
    def blob_location(self) -> BlobLocation:
        return {"kind": self.kind}
