"""What lies in a bucket: this program's own objects, and everybody else's data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from components import parsed
from components.object_storage.s3.client import read_object
from components.object_storage.s3.errors import NOT_OFFERED, error_code
from components.settings.schema.own_folder import OWN_FOLDER

OWN_PREFIX = f"{OWN_FOLDER}/"
"""Under it lies all that this program itself writes into a bucket; it never counts as data."""

OWNER_KEY = OWN_PREFIX + "owner.json"
"""Object that names the stack that keeps the bucket. Not a tag: some stores have none."""


_NO_SUCH_VERSION = frozenset({"InvalidArgument", "NoSuchVersion"})


@dataclass(frozen=True, kw_only=True)
class Owner:
    """`stack` keeps the bucket, or has a root directory in it. `claim` is random and marks one
    resource of that stack.

    A replacement may turn out to be the same bucket under another address. By `claim` the resource
    that it replaces sees that, and does not delete the bucket.
    """

    stack: str
    claim: str | None


def own_prefix(root: str) -> str:
    """Where this program's own objects lie for a root directory."""
    return f"{root.strip('/')}/{OWN_PREFIX}" if root.strip("/") else OWN_PREFIX


def owner_key(root: str) -> str:
    """Object that names the stack whose files lie under a root directory."""
    return f"{own_prefix(root)}owner.json"


def read_owner(client: Any, bucket: str, root: str = "") -> Owner | None:
    """The owner of the bucket, or of `root`; None without owner object. Raises ClientError."""
    key = owner_key(root)
    try:
        content: Any = parsed.json_of(read_object(client, bucket, key))
        return Owner(stack=str(content["owner"]), claim=content.get("claim"))
    except ClientError as error:
        if error_code(error) == "NoSuchKey":
            return None
        # Some stores answer 403 for a missing object. An owner object that exists and cannot be
        # read must not be taken for a missing one, or it would be overwritten.
        if error_code(error) == "AccessDenied" and not _lists(client, bucket, key):
            return None
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def write_owner(client: Any, bucket: str, owner: Owner, root: str = "") -> None:
    """Writes the owner object of the bucket, or of `root`, if it differs. Raises ClientError."""
    if read_owner(client, bucket, root) != owner:
        text = {"owner": owner.stack, "claim": owner.claim, "madeBy": "sovereign-harbor"}
        client.put_object(Bucket=bucket, Key=owner_key(root), Body=json.dumps(text).encode())


def holds_data(client: Any, bucket: str, roots: Iterable[str], *, under: str = "") -> bool:
    """Whether there is any object, object version, delete marker or unfinished upload of others.

    This program's own objects in the directories `roots` do not count. Looks only below the prefix
    `under`.
    """
    own = tuple(own_prefix(root) for root in roots)
    listings = [
        ("list_object_versions", ("Versions", "DeleteMarkers")),
        ("list_objects_v2", ("Contents",)),
        ("list_multipart_uploads", ("Uploads",)),
    ]
    return any(
        not entry["Key"].startswith(own)
        for operation, kinds in listings
        for entry in _listed(client, operation, kinds, Bucket=bucket, Prefix=under)
    )


def holds_blobs(client: Any, bucket: str, root: str) -> bool:
    """Whether the registry has files under a root directory."""
    prefix = f"{root.strip('/')}/docker/registry/".lstrip("/")
    return bool(client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents"))


def delete_own(client: Any, bucket: str, prefix: str = OWN_PREFIX) -> None:
    """Removes this program's own objects under `prefix`, with all their versions and markers."""
    kinds = ("Versions", "DeleteMarkers")
    where = {"Bucket": bucket, "Prefix": prefix}
    for entry in list(_listed(client, "list_object_versions", kinds, **where)):
        named = {"Key": entry["Key"], "VersionId": entry["VersionId"]}
        try:
            client.delete_object(Bucket=bucket, **named)
        except ClientError as error:
            # The SDK repeats a request whose answer was lost. Versity's gateway then refuses the
            # version, which is gone; S3 itself answers 204.
            left = _listed(
                client, "list_object_versions", kinds, Bucket=bucket, Prefix=named["Key"]
            )
            if error_code(error) not in _NO_SUCH_VERSION or any(
                named.items() <= other.items() for other in left
            ):
                raise
    # Objects that are left where a store does not list versions.
    for entry in list(_listed(client, "list_objects_v2", ("Contents",), **where)):
        client.delete_object(Bucket=bucket, Key=entry["Key"])


def _listed(client: Any, operation: str, kinds: tuple[str, ...], **where: str) -> Any:
    """Entries of all pages of a listing; nothing where the store does not offer it."""
    try:
        for page in client.get_paginator(operation).paginate(**where):
            for kind in kinds:
                yield from page.get(kind, [])
    except ClientError as error:
        # Every store lists objects: if it refuses, that is no missing feature.
        if operation == "list_objects_v2" or error_code(error) not in NOT_OFFERED:
            raise


def _lists(client: Any, bucket: str, key: str) -> bool:
    entries = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    return any(entry["Key"] == key for entry in entries)
