"""Several stacks in one bucket: who keeps it, and which directory is whose.

One stack keeps the bucket: it alone decides on versioning, lifecycle rules, tags and the lockdown,
and may delete it. The others have a root directory each and touch nothing else. Marks say so: an
owner object for the bucket, and one in each root directory.
"""

from __future__ import annotations

from typing import Any

from components.commands import set_value
from components.object_storage.s3.contents import (
    OWNER_KEY,
    Owner,
    holds_blobs,
    read_owner,
    write_owner,
)
from components.object_storage.s3.errors import BucketError
from components.object_storage.s3.purpose import BACKUPS, purpose_of

MOVE_BLOBS = "docs/runbooks/move-blobs.md"


def root_of(props: dict[str, Any]) -> str:
    """The root directory as the registry reads it, without slashes around it."""
    return (props.get("rootDirectory") or "").strip("/")


def keeps_bucket(state: dict[str, Any]) -> bool:
    """Whether the stack keeps the bucket. States of versions without sharing do not say it: yes."""
    return state.get("keeps") is not False


def marked_roots(state: dict[str, Any]) -> list[str]:
    """The directories, "" for the bucket itself, whose marks name this stack."""
    return [*([""] if keeps_bucket(state) else []), *filter(None, [root_of(state)])]


def may_share(keeper: Owner | None, props: dict[str, Any]) -> bool:
    """Whether the stack may have a directory in a bucket that `keeper` keeps."""
    return bool(keeper and props["adopt"] and root_of(props))


def taken_already(keeper: Owner | None, props: dict[str, Any]) -> BucketError:
    """Why the bucket is neither made nor adopted, and what to do."""
    bucket, store = props["bucket"], where(props)
    if purpose_of(props) == BACKUPS:
        belongs = "was not made by this stack" if keeper is None else f"belongs to {keeper.stack}"
        return BucketError(
            f"bucket {bucket} exists already at {store} and {belongs}. Choose another: "
            f"`{set_value('backup.destination.bucket', '<name>')}`; or, if it is there for these "
            f"backups and holds no images: `{set_value('backup.create', 'false')}`"
        )
    adopt = f"`{set_value('storage.adopt', 'true')}`"
    if keeper is None:
        return BucketError(
            f"bucket {bucket} exists already at {store} and was not made by this stack. To "
            f"adopt it as it is, with all that it holds: {adopt}."
        )
    return BucketError(
        f"bucket {bucket} exists already at {store} and belongs to {keeper.stack}. To share it, "
        f"use a directory of its own in it: {adopt} and "
        f"`{set_value('storage.rootDirectory', '<name>')}`. If that stack is gone for good, remove "
        f"its mark, the object {OWNER_KEY} (`aws s3api delete-object`), and adopt the bucket."
    )


def mark(client: Any, props: dict[str, Any], owner: Owner, *, keeps: bool, own: set[str]) -> None:
    """Writes the owner objects of the bucket, if the stack keeps it, and of the root directory.

    `own`: the names of this stack. Raises ClientError, and BucketError when the root directory is
    somebody else's.
    """
    bucket, root = props["bucket"], root_of(props)
    if root:
        user = read_owner(client, bucket, root)
        if user is not None and user.stack not in own:
            raise BucketError(
                f"directory {root} of bucket {bucket} belongs to {user.stack}; choose another: "
                f"`{set_value('storage.rootDirectory', '<name>')}`"
            )
    for marked in marked_roots({**props, "keeps": keeps}):
        write_owner(client, bucket, owner, marked)


def refuse_an_empty_root(client: Any, olds: dict[str, Any], news: dict[str, Any]) -> None:
    """Refuses a move that the config says was made (blob_place.py), if the new directory is empty.

    Harbor would find no blob. Raises ClientError and BucketError.
    """
    before, after, bucket = root_of(olds), root_of(news), news["bucket"]
    if before == after:
        return
    if holds_blobs(client, bucket, before) and not holds_blobs(client, bucket, after):
        raise BucketError(
            f"bucket {bucket} holds the registry's files in {before or 'its root'} and none in "
            f"{after or 'its root'}: copy them first, see {MOVE_BLOBS}"
        )


def where(props: dict[str, Any]) -> str:
    """The store, for messages."""
    return str(props.get("endpoint") or props["region"])
