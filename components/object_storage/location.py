"""Where a bucket is and how it is reached: one value for everything that uses the bucket. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.settings.storage.base import BucketSettings


@dataclass(frozen=True, kw_only=True)
class BucketLocation:
    """A bucket as those that use it see it, whatever the vendor.

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


def bucket_location(settings: BucketSettings) -> BucketLocation:
    """The location of the bucket that the settings declare."""
    return BucketLocation(
        bucket=settings.bucket,
        region=settings.region,
        endpoint=settings.endpoint_url,
        path_style=settings.is_path_style,
        root_directory=settings.root_directory,
        ca_bundle=settings.trusted_ca,
        driver_options=settings.driver_options,
    )


def location_props(location: BucketLocation) -> dict[str, Any]:
    """The properties by which a resource reaches the bucket; `location_of` reads them again.

    The root directory is not among them: only some resources keep it.
    """
    return {
        "bucket": location.bucket,
        "region": location.region,
        "endpoint": location.endpoint,
        "pathStyle": location.path_style,
        "caBundle": location.ca_bundle,
    }


def location_of(props: Mapping[str, Any]) -> BucketLocation:
    """The location that the properties of a resource describe."""
    return BucketLocation(
        bucket=props["bucket"],
        region=props["region"],
        endpoint=props.get("endpoint"),
        path_style=bool(props["pathStyle"]),
        root_directory=props.get("rootDirectory") or "",
        ca_bundle=props.get("caBundle"),
    )


def s3_driver(location: BucketLocation, secret_name: str | None) -> Mapping[str, Any]:
    """The chart's values of the registry's s3 driver.

    `secret_name` holds the two REGISTRY_STORAGE_S3_* keys; None: keyless.
    """
    s3: dict[str, Any] = {
        "bucket": location.bucket,
        "region": location.region,
        "v4auth": True,
        "secure": location.uses_tls,
        **location.driver_options,
    }
    if location.endpoint is not None:
        s3["regionendpoint"] = location.endpoint  # also makes the driver use path-style
    if location.root_directory:
        s3["rootdirectory"] = location.root_directory
    if secret_name is not None:
        # Read by the registry and the registryctl container: without keys the latter's garbage
        # collection forgets blobs in the database and leaves them in the bucket
        # (harbor-helm #1545).
        s3["existingSecret"] = secret_name
    return s3
