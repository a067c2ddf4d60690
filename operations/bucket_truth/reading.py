"""Reads the bucket with the registry's own key pair, which is in Harbor's namespace."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, cast

from botocore.exceptions import ClientError

from components.kubernetes.client import ClusterClient, secret_value
from components.object_storage.location import BucketLocation, bucket_location
from components.object_storage.s3.client import S3Credentials, reached, read_object
from components.object_storage.s3.errors import NOT_OFFERED, error_code
from components.object_storage.store import HARBOR_SECRET
from components.settings.model import Settings
from components.settings.storage.base import BucketSettings
from operations.bucket_truth.inventory import (
    LARGEST_MANIFEST,
    Contents,
    Truth,
    Unreadable,
    contents,
    referred,
    truth,
)

_AT_ONCE: Final = 16
"""Manifests read at a time, far below any vendor's limit of requests."""


class NoBucket(Exception):
    """There is no bucket that can be read; the text says why."""


def location_of(settings: Settings) -> BucketLocation:
    """Where the images are. Raises NoBucket for storage that does not speak S3."""
    storage = settings.storage
    if not isinstance(storage, BucketSettings):
        raise NoBucket(f"storage of kind {storage.kind} is no bucket that speaks S3")
    return bucket_location(storage)


def key_pair(client: ClusterClient, namespace: str) -> S3Credentials:
    """The registry's. Raises NoBucket and ClusterUnreachable."""
    access_key, secret_key = (
        secret_value(client, namespace=namespace, name=HARBOR_SECRET, key=key)
        for key in ("REGISTRY_STORAGE_S3_ACCESSKEY", "REGISTRY_STORAGE_S3_SECRETKEY")
    )
    if not access_key or not secret_key:
        raise NoBucket(f"Secret {namespace}/{HARBOR_SECRET} has no key pair of the registry's")
    return S3Credentials(access_key=access_key, secret_key=secret_key)


@contextmanager
def bucket_of(location: BucketLocation, credentials: S3Credentials) -> Iterator[Any]:
    """An S3 client, within which the SDK's errors become a BucketError."""
    with reached(location, credentials) as client:
        yield client


def inventoried(client: Any, location: BucketLocation, now: dt.datetime) -> Truth:
    """What lies in the bucket against what its manifests lead to. Raises Unreadable."""
    found = contents(_rows(client, location.bucket), location.root_directory)
    return truth(found, _needed(client, location.bucket, found), now)


def _rows(client: Any, bucket: str) -> Iterator[Mapping[str, Any]]:
    """Every object of the bucket, with its versions where the store has them."""
    try:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            yield from page.get("Versions", [])
            yield from page.get("DeleteMarkers", [])
    except ClientError as error:
        if error_code(error) not in NOT_OFFERED:
            raise
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            yield from page.get("Contents", [])


def _needed(client: Any, bucket: str, found: Contents) -> frozenset[str]:
    """The digests to which the registry's manifests lead."""

    def manifest(digest: str) -> bytes | None:
        blob = found.blobs.get(digest)
        if blob is None:
            return None
        if blob.size > LARGEST_MANIFEST:
            raise Unreadable(f"manifest {digest} has {blob.size} bytes, so it is none")
        return read_object(client, bucket, blob.key)

    # The registry's own manifests first, side by side; what they name besides, one by one.
    known = [digest for digest in found.manifests if digest in found.blobs]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        read = dict(zip(known, pool.map(manifest, known), strict=True))
    needed = referred(found.manifests, lambda digest: read.get(digest) or manifest(digest))
    return frozenset(cast("set[str]", needed))
