"""Where the registry's blobs live: one value that every consumer of the bucket reads."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class BucketLocation:
    """A bucket as its consumers see it, whatever the vendor.

    `endpoint` is a URL without path (`https://fsn1.example.com`), or None where the vendor's own
    SDK derives it from the region. Holds no credential.
    """

    bucket: str
    region: str
    endpoint: str | None
    path_style: bool = True
    root_directory: str = ""
    """Prefix inside the bucket, empty for its root. Never changed without moving data."""
    ca_bundle: str | None = None
    """PEM of a private CA that signed the endpoint's certificate."""
    driver_options: dict[str, str] = field(default_factory=dict[str, str])
    """Further keys of the registry's s3 driver, e.g. chunksize. Strings: a Helm number becomes a
    float, and the driver refuses `5.24288e+06`."""

    @property
    def uses_tls(self) -> bool:
        return self.endpoint is None or self.endpoint.startswith("https://")
