"""The bucket of an S3-compatible store, managed through its S3 API by a dynamic provider.

Why not a bridged provider: docs/decisions/0002-dynamic-provider-for-s3-buckets.md.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any

import pulumi
from botocore.exceptions import ClientError
from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from components.commands import run, set_value
from components.object_storage.s3.contents import (
    Owner,
    delete_own,
    holds_data,
    own_prefix,
    read_owner,
)
from components.object_storage.s3.errors import BucketError, error_code
from components.object_storage.s3.features import (
    declared,
    foreign_rules,
    observed,
    put_features,
)
from components.object_storage.s3.provider import S3Provider, inputs_of, tell
from components.object_storage.s3.purpose import purpose_of
from components.object_storage.s3.sharing import (
    keeps_bucket,
    mark,
    marked_roots,
    may_share,
    refuse_an_empty_root,
    root_of,
    taken_already,
    where,
)

INTERRUPTED_CREATE_WINDOW = dt.timedelta(hours=1)
"""An empty bucket that is younger than this counts as this stack's own, of a creation that was
interrupted: the engine may be killed after CreateBucket and before the owner object is written."""

IDENTITY = ("bucket", "endpoint", "region")
"""Inputs that identify the bucket: a change of one of them is another bucket."""

FEATURES = {"versioning": "versioning", "lifecycle": "lifecycle", "tags": "tagging"}
"""Output that describes a feature of the bucket → the feature's name in `unsupported`."""


class S3BucketProvider(S3Provider):
    """Create, read, update, delete of one bucket.

    Outputs are the inputs and: `unsupported` (features that the store lacks), `lifecycle` (what
    the rules in force do), `keeps` (whether this stack keeps the bucket), `claimedBy` (the stack
    that the owner object names: the bucket's, or the root directory's) and `claim`.
    """

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return CheckResult({**news, "tags": news.get("tags") or {}}, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        expected = {
            **{key: _news.get(key) for key in ("pathStyle", "caBundle", "owner")},
            **_kept_features(declared(_news, _olds.get("unsupported") or []), _olds),
            "claimedBy": _news["owner"],
        }
        changes = any(_olds.get(key) != value for key, value in expected.items())
        changes |= root_of(_olds) != root_of(_news)
        return DiffResult(changes=bool(replaces) or changes, replaces=replaces, stables=["bucket"])

    def create(self, props: dict[str, Any]) -> CreateResult:
        with self._reached(props) as client:
            made = _make(client, props)
            keeper = read_owner(client, props["bucket"])
            is_new = keeper is None and (made or _just_made(client, props))
            is_ours = keeper is not None and keeper.stack == props["owner"]
            keeps = is_new or is_ours or bool(keeper is None and props["adopt"])
            if not (keeps or may_share(keeper, props)):
                raise taken_already(keeper, props)
            # The mark makes the bucket this stack's: an interrupted creation goes on from here.
            owner = Owner(stack=props["owner"], claim=secrets.token_hex(8))
            mark(client, props, owner, keeps=keeps, own={owner.stack})
            return CreateResult(
                id_=props["bucket"], outs=_outputs(client, props, owner, keeps=keeps)
            )

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        # A missing bucket stays in the state: without it the next `up` would make an empty one.
        afterwards = (
            "The state is left as it was. Check the key pair first. If the bucket is really gone, "
            f"restore it, or forget it with `{run('state delete <urn>')}` and `{run('up')}`."
        )
        with self._reached(props, afterwards) as client:
            marks = [read_owner(client, id_, root) for root in marked_roots(props)]
            named = [owner.stack if owner else None for owner in marks]
            claimed_by = next((name for name in named if name != props["owner"]), props["owner"])
            seen = _kept_features(observed(client, id_), props)
            return ReadResult(id_=id_, outs={**props, **seen, "claimedBy": claimed_by})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        with self._reached(_news) as client:
            keeper = read_owner(client, _id)
            # The mark has the old name where the stack was renamed; it is missing where somebody
            # deleted the owner object.
            own = {_olds["owner"], _news["owner"]}
            shares = bool(not keeps_bucket(_olds) and root_of(_news))
            keeps = not shares if keeper is None else keeper.stack in own
            if not (keeps or shares or may_share(keeper, _news)):
                raise taken_already(keeper, _news)
            refuse_an_empty_root(client, _olds, _news)
            owner = Owner(stack=_news["owner"], claim=_olds.get("claim"))
            mark(client, _news, owner, keeps=keeps, own=own)
            return UpdateResult(outs=_outputs(client, _news, owner, keeps=keeps))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        with self._reached(_props) as client:
            try:
                self._delete(client, _id, _props)
            except ClientError as error:
                # It may have been this call that deleted the bucket, its first answer being lost.
                if error_code(error) != "NoSuchBucket":
                    raise

    def _delete(self, client: Any, bucket: str, props: dict[str, Any]) -> None:
        keeps, root = keeps_bucket(props), root_of(props)
        keeper = read_owner(client, bucket, marked_roots(props)[0])
        if keeper not in (None, Owner(stack=props["owner"], claim=props.get("claim"))):
            tell(f"bucket {bucket} is kept by {keeper.stack} now; forgotten here, left as it is")
            return
        if holds_data(client, bucket, marked_roots(props), under="" if keeps else f"{root}/"):
            raise BucketError(
                f"bucket {bucket} at {where(props)} still holds objects, their versions or "
                "unfinished uploads, and is not deleted. Empty it yourself if its images are to "
                f"be lost, or leave it where it is: `{run('state delete <urn>')}` forgets it "
                "without touching it."
            )
        for marked in marked_roots(props):
            delete_own(client, bucket, own_prefix(marked))
        if keeps:
            client.delete_bucket(Bucket=bucket)


def _make(client: Any, props: dict[str, Any]) -> bool:
    """Makes the bucket unless it exists; whether this call made it. Raises BucketError."""
    bucket = props["bucket"]
    try:
        if _exists(client, bucket):
            return False
        _create_bucket(client, bucket, props["region"])
    except ClientError as error:
        # The answer to a first, successful try may have been lost on the way.
        if error_code(error) == "BucketAlreadyOwnedByYou":
            return False
        if error_code(error) in ("AccessDenied", "BucketAlreadyExists"):
            raise BucketError(
                f"bucket name {bucket} is taken at {where(props)}, or this key pair may not use "
                f"it ({error.operation_name} was answered {error_code(error)}). Bucket names are "
                "shared by all customers of a vendor: choose another with "
                f"`{set_value(f'{purpose_of(props).setting}.bucket', '<name>')}`."
            ) from None
        raise
    return True


def _exists(client: Any, bucket: str) -> bool:
    # Not HeadBucket: its answers have no body, and a store that does not know the key answers 404
    # as it does for a bucket that is not there.
    try:
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        if error_code(error) == "NoSuchBucket":
            return False
        raise
    return True


def _create_bucket(client: Any, bucket: str, region: str) -> None:
    if region == "us-east-1":  # S3 refuses its own default as a constraint
        client.create_bucket(Bucket=bucket)
        return
    try:
        client.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region}
        )
    except ClientError as error:
        # Some stores sign for a region by a name that they do not take as a constraint.
        if error_code(error) not in ("InvalidLocationConstraint", "MalformedXML"):
            raise
        client.create_bucket(Bucket=bucket)


def _just_made(client: Any, props: dict[str, Any]) -> bool:
    bucket = props["bucket"]
    if holds_data(client, bucket, ["", root_of(props)]):
        return False
    try:
        listed = client.list_buckets().get("Buckets", [])
    except ClientError as error:
        if error_code(error) == "AccessDenied":  # a key for this one bucket
            return False
        raise
    made = next((b["CreationDate"] for b in listed if b["Name"] == bucket), None)
    return made is not None and dt.datetime.now(dt.UTC) - made < INTERRUPTED_CREATE_WINDOW


def _outputs(client: Any, props: dict[str, Any], owner: Owner, *, keeps: bool) -> dict[str, Any]:
    """Puts the declared features on the bucket, if the stack keeps it; returns the outputs."""
    return {
        **inputs_of(props),
        **(_put(client, props) if keeps else _observed(client, props)),
        "keeps": keeps,
        "claimedBy": owner.stack,
        "claim": owner.claim,
    }


def _put(client: Any, props: dict[str, Any]) -> dict[str, Any]:
    bucket = props["bucket"]
    replaced = foreign_rules(client, bucket)
    unsupported = put_features(client, props)
    if replaced and "lifecycle" not in unsupported:
        tell(f"bucket {bucket}: its lifecycle rules {', '.join(replaced)} were replaced")
    if unsupported:
        tell(
            f"bucket {bucket}: {where(props)} does not offer {', '.join(unsupported)}; "
            "the bucket works without"
        )
    return {**declared(props, unsupported), "unsupported": unsupported}


def _observed(client: Any, props: dict[str, Any]) -> dict[str, Any]:
    features = observed(client, props["bucket"])
    different = [key for key, value in declared(props).items() if features[key] != value]
    if different:
        tell(
            f"bucket {props['bucket']} is shared, and the stack that keeps it decides on "
            f"{', '.join(different)}: not as declared here"
        )
    return {**features, "unsupported": []}


def _kept_features(features: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Those that this stack decides on: none of a bucket that another stack keeps."""
    unsupported: list[str] = state.get("unsupported") or []
    return {
        key: value
        for key, value in features.items()
        if keeps_bucket(state) and FEATURES[key] not in unsupported
    }


class S3Bucket(Resource, module="storage", name="S3Bucket"):
    """A bucket as a resource; inputs and outputs in camelCase, `unsupported` is output only."""

    bucket: pulumi.Output[str]
    unsupported: pulumi.Output[list[str]]

    def __init__(
        self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(S3BucketProvider(), name, {**props, "unsupported": None}, opts)
