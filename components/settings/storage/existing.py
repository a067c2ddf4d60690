"""A bucket or container that somebody made, reached by the vendor's own driver. Pure.

Nothing is created or deleted at the vendor, and nobody but the registry uses it: there is no S3 API
that the estate's seam could tell others of (docs/decisions/0009).
"""

from abc import abstractmethod
from typing import Any, ClassVar

from components.settings.storage.base import StorageKind


class ExistingContainer(StorageKind):
    """What the kinds with a driver of their own have in common."""

    driver: ClassVar[str]
    """The registry's name of it, and the chart's."""
    key_in_secret: ClassVar[str]
    """Under which key the chart looks for the credential in a Secret."""

    redirect: bool = False
    """Send clients to the vendor for blobs. Off: clients only ever talk to the registry."""

    @property
    def redirects(self) -> bool:
        return self.redirect

    @property
    def identity(self) -> str | None:
        """The ServiceAccount that stands for a key; None where there is a key."""
        return None

    @property
    @abstractmethod
    def driver_options(self) -> dict[str, Any]:
        """The chart's values of the driver, the credential left out."""
