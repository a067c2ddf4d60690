"""What the registry does with blobs, done with a probe object."""

from __future__ import annotations

import contextlib
import secrets
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from components.object_storage.s3.client import read_object
from components.object_storage.s3.contents import delete_own, own_prefix
from components.object_storage.s3.errors import NOT_OFFERED, BucketError, error_code


def probe(client: Any, bucket: str, root: str = "", *, afterwards: str = "") -> None:
    """Lists, puts, gets and deletes an object under `root`, and leaves nothing behind.

    Raises ClientError, or BucketError (which ends with `afterwards`) when the store gives back
    something else than was put.
    """
    key, content = f"{own_prefix(root)}probe-{secrets.token_hex(8)}", secrets.token_bytes(64)
    client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    try:
        client.put_object(Bucket=bucket, Key=key, Body=content)
        if read_object(client, bucket, key) != content:
            raise BucketError(
                f"bucket {bucket} gave back something else than was put. {afterwards}".rstrip()
            )
        client.delete_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError, BucketError):
        with contextlib.suppress(ClientError, BotoCoreError):
            delete_own(client, bucket, key)
        raise
    _forget_versions(client, bucket, key)


def _forget_versions(client: Any, bucket: str, key: str) -> None:
    """Removes what a versioned bucket keeps of the deleted probe.

    The registry needs no right to that; without it the bucket's lifecycle rules do it.
    """
    try:
        delete_own(client, bucket, key)
    except ClientError as error:
        if error_code(error) not in NOT_OFFERED | {"AccessDenied"}:
            raise
