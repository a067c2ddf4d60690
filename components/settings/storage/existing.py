"""A bucket or container that exists already, reached by the vendor's own driver. Pure.

The program creates and deletes nothing at the vendor. Only the registry uses the bucket: without an
S3 API the estate's seam cannot announce it to others (docs/decisions/0009).
"""

from abc import abstractmethod
from typing import Any, ClassVar

from components.settings.storage.base import StorageKind


class ExistingContainer(StorageKind):
    """Settings of the kinds with a driver of their own."""

    driver: ClassVar[str]
    """Name of the driver in the registry and in Harbor's chart."""
    key_in_secret: ClassVar[str]
    """Key of the Secret under which the chart looks for the credential."""

    redirect: bool = False
    """Redirect clients to the vendor for blobs. Otherwise clients only talk to the registry."""

    @property
    def redirects(self) -> bool:
        return self.redirect

    @property
    def identity(self) -> str | None:
        """Name of the ServiceAccount that replaces a key; None where there is a key."""
        return None

    @property
    @abstractmethod
    def driver_options(self) -> dict[str, Any]:
        """The chart's values for the driver, without the credential."""
