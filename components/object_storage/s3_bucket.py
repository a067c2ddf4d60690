"""The bucket of an S3-compatible store, managed through its S3 API by a dynamic provider.

Why not a bridged provider: docs/decisions/0002-dynamic-provider-for-s3-buckets.md.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import sys
from typing import Any

import pulumi
from botocore.exceptions import ClientError
from pulumi.dynamic import (
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components.object_storage.location import location_of
from components.object_storage.s3_client import S3Credentials, configured_credentials, reached
from components.object_storage.s3_contents import (
    OWNER_KEY,
    Owner,
    delete_own,
    holds_blobs,
    holds_data,
    own_prefix,
    read_owner,
    write_owner,
)
from components.object_storage.s3_errors import BucketError, error_code
from components.object_storage.s3_features import (
    declared,
    foreign_rules,
    observed,
    put_features,
)

INTERRUPTED_CREATE_WINDOW = dt.timedelta(hours=1)
"""A bucket that is empty and younger than this is taken for our own, interrupted creation: between
CreateBucket and the owner object lies an instant in which the engine may be killed."""

IDENTITY = ("bucket", "endpoint", "region")
"""A change of these is another bucket."""

FEATURES = {"versioning": "versioning", "lifecycle": "lifecycle", "tags": "tagging"}
"""Output that tells a feature of the living bucket → the feature's name in `unsupported`."""

MOVE_BLOBS = "docs/runbooks/move-blobs.md"


class S3BucketProvider(ResourceProvider):
    """Create, read, update, delete of one bucket.

    The key pair is read from the stack's configuration in `configure`, never kept as an input: a
    rotated key changes nothing here, and destroy works with the key of the day.

    Several stacks may share a bucket. One keeps it: it alone decides on versioning, lifecycle
    rules and tags, and may delete it. The others use a root directory each and touch nothing else.

    Outputs are the inputs and: `unsupported` (features that the store lacks), `lifecycle` (what
    the rules in force do), `keeps` (whether this stack keeps the bucket), `claimedBy` (the stack
    that the owner object names: the bucket's, or the root directory's) and `claim`.
    """

    serialize_as_secret_always = False
    _credentials: S3Credentials | None = None

    def configure(self, req: ConfigureRequest) -> None:
        self._credentials = configured_credentials(req.config.get)

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return CheckResult({**news, "tags": news.get("tags") or {}}, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        wanted = {
            **{key: _news.get(key) for key in ("pathStyle", "caBundle", "owner")},
            **_kept_features(declared(_news), _olds),
            "claimedBy": _news["owner"],
        }
        changes = any(_olds.get(key) != value for key, value in wanted.items())
        changes |= _root(_olds) != _root(_news)
        return DiffResult(changes=bool(replaces) or changes, replaces=replaces, stables=["bucket"])

    def create(self, props: dict[str, Any]) -> CreateResult:
        with self._reached(props) as client:
            made = _make(client, props)
            keeper = read_owner(client, props["bucket"])
            is_new = keeper is None and (made or _just_made(client, props))
            keeps = is_new or _may_keep(keeper, props, {props["owner"]})
            if not (keeps or _may_share(keeper, props)):
                raise _taken_already(keeper, props)
            # From here on it is this stack's, and a creation that breaks off goes on from here.
            owner = Owner(stack=props["owner"], claim=secrets.token_hex(8))
            outs = _claimed(client, props, owner, keeps=keeps, own={owner.stack})
            return CreateResult(id_=props["bucket"], outs=outs)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        # Dropping a bucket from the state here would make the next `up` create a second truth.
        afterwards = (
            "The state is left as it was. Check the key pair first. If the bucket is really gone, "
            "restore it, or forget it with `pulumi state delete` and run `pulumi up`."
        )
        with self._reached(props, afterwards) as client:
            marks = [read_owner(client, id_, root) for root in _marked(props)]
            named = [mark.stack if mark else None for mark in marks]
            claimed_by = next((name for name in named if name != props["owner"]), props["owner"])
            seen = _kept_features(observed(client, id_), props)
            return ReadResult(id_=id_, outs={**props, **seen, "claimedBy": claimed_by})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        with self._reached(_news) as client:
            keeper = read_owner(client, _id)
            # `owner` of old: the stack was renamed. No owner at all: the object was deleted.
            own = {_olds["owner"], _news["owner"]}
            keeps = _keeps(_olds) if keeper is None else keeper.stack in own
            already_shares = not _keeps(_olds) and _root(_news)
            if not (keeper is None or keeps or already_shares or _may_share(keeper, _news)):
                raise _taken_already(keeper, _news)
            _refuse_an_empty_root(client, _olds, _news)
            owner = Owner(stack=_news["owner"], claim=_olds.get("claim"))
            return UpdateResult(outs=_claimed(client, _news, owner, keeps=keeps, own=own))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        with self._reached(_props) as client:
            try:
                self._delete(client, _id, _props)
            except ClientError as error:
                # Gone, perhaps by this very call: the answer to the first try may have been lost.
                if error_code(error) != "NoSuchBucket":
                    raise

    def _delete(self, client: Any, bucket: str, props: dict[str, Any]) -> None:
        keeps, root = _keeps(props), _root(props)
        found = read_owner(client, bucket, _marked(props)[0])
        if found not in (None, Owner(stack=props["owner"], claim=props.get("claim"))):
            _tell(f"bucket {bucket} is kept by {found.stack} now; forgotten here, left as it is")
            return
        if holds_data(client, bucket, _marked(props), under="" if keeps else f"{root}/"):
            raise BucketError(
                f"bucket {bucket} at {_where(props)} still holds objects, their versions or "
                "unfinished uploads, and is not deleted. Empty it yourself if its images are to "
                "be lost, or leave it where it is: `pulumi state delete` forgets it without "
                "touching it."
            )
        for marked in _marked(props):
            delete_own(client, bucket, own_prefix(marked))
        if keeps:
            client.delete_bucket(Bucket=bucket)

    def _reached(
        self, props: dict[str, Any], afterwards: str = ""
    ) -> contextlib.AbstractContextManager[Any]:
        return reached(location_of(props), self._credentials, afterwards)


def _make(client: Any, props: dict[str, Any]) -> bool:
    """Makes the bucket unless it is there; whether it was this call. Raises BucketError."""
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
                f"bucket name {bucket} is taken at {_where(props)}, or this key pair may not use "
                f"it ({error.operation_name} was answered {error_code(error)}). Bucket names are "
                "shared by all customers of a vendor: choose another with "
                "`pulumi config set --path 'storage.bucket' <name>`."
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
    if holds_data(client, bucket, ["", _root(props)]):
        return False
    try:
        listed = client.list_buckets().get("Buckets", [])
    except ClientError as error:
        if error_code(error) == "AccessDenied":  # a key for this one bucket
            return False
        raise
    made = next((b["CreationDate"] for b in listed if b["Name"] == bucket), None)
    return made is not None and dt.datetime.now(dt.UTC) - made < INTERRUPTED_CREATE_WINDOW


def _may_keep(keeper: Owner | None, props: dict[str, Any], own: set[str]) -> bool:
    return bool(props["adopt"]) if keeper is None else keeper.stack in own


def _may_share(keeper: Owner | None, props: dict[str, Any]) -> bool:
    return bool(keeper and props["adopt"] and _root(props))


def _taken_already(keeper: Owner | None, props: dict[str, Any]) -> BucketError:
    bucket, where = props["bucket"], _where(props)
    adopt = "`pulumi config set --path 'storage.adopt' true`"
    if keeper is None:
        return BucketError(
            f"bucket {bucket} exists already at {where} and was not made by this stack. To take "
            f"it over as it is, with all that it holds: {adopt}."
        )
    return BucketError(
        f"bucket {bucket} exists already at {where} and belongs to {keeper.stack}. To share it, "
        f"use a directory of its own in it: {adopt} and `pulumi config set --path "
        "'storage.rootDirectory' <name>`. If that stack is gone for good, remove its mark, the "
        f"object {OWNER_KEY} (`aws s3api delete-object`), and adopt the bucket."
    )


def _claimed(
    client: Any, props: dict[str, Any], owner: Owner, *, keeps: bool, own: set[str]
) -> dict[str, Any]:
    """Says whose the bucket and the root directory are; returns the outputs. Raises BucketError."""
    bucket, root = props["bucket"], _root(props)
    if root:
        found = read_owner(client, bucket, root)
        if found is not None and found.stack not in own:
            raise BucketError(
                f"directory {root} of bucket {bucket} belongs to {found.stack}; choose another: "
                "`pulumi config set --path 'storage.rootDirectory' <name>`"
            )
    for marked in _marked({**props, "keeps": keeps}):
        write_owner(client, bucket, owner, marked)
    return _kept(client, props, owner) if keeps else _shared(client, props, owner)


def _refuse_an_empty_root(client: Any, olds: dict[str, Any], news: dict[str, Any]) -> None:
    """A move that was agreed to (blob_place.py), but not made: Harbor would find no blob."""
    before, after, bucket = _root(olds), _root(news), news["bucket"]
    if before == after:
        return
    if holds_blobs(client, bucket, before) and not holds_blobs(client, bucket, after):
        raise BucketError(
            f"bucket {bucket} holds the registry's files in {before or 'its root'} and none in "
            f"{after or 'its root'}: copy them first, see {MOVE_BLOBS}"
        )


def _kept(client: Any, props: dict[str, Any], owner: Owner) -> dict[str, Any]:
    """Puts the declared features on the bucket; returns the outputs."""
    bucket = props["bucket"]
    replaced = foreign_rules(client, bucket)
    unsupported = put_features(client, props)
    if replaced and "lifecycle" not in unsupported:
        _tell(f"bucket {bucket}: its lifecycle rules {', '.join(replaced)} were replaced")
    if unsupported:
        _tell(
            f"bucket {bucket}: {_where(props)} does not offer {', '.join(unsupported)}; "
            "the bucket works without"
        )
    return _outputs(props, owner, declared(props), unsupported, keeps=True)


def _shared(client: Any, props: dict[str, Any], owner: Owner) -> dict[str, Any]:
    """Leaves the features to the stack that keeps the bucket; returns the outputs."""
    found = observed(client, props["bucket"])
    different = [key for key, value in declared(props).items() if found[key] != value]
    if different:
        _tell(
            f"bucket {props['bucket']} is shared, and the stack that keeps it decides on "
            f"{', '.join(different)}: not as declared here"
        )
    return _outputs(props, owner, found, [], keeps=False)


def _outputs(
    props: dict[str, Any],
    owner: Owner,
    features: dict[str, Any],
    unsupported: list[str],
    *,
    keeps: bool,
) -> dict[str, Any]:
    return {
        **{key: value for key, value in props.items() if not key.startswith("__")},
        **features,
        "unsupported": unsupported,
        "keeps": keeps,
        "claimedBy": owner.stack,
        "claim": owner.claim,
    }


def _kept_features(features: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Those that this stack answers for: none of a bucket that another one keeps."""
    unsupported: list[str] = state.get("unsupported") or []
    return {
        key: value
        for key, value in features.items()
        if _keeps(state) and FEATURES[key] not in unsupported
    }


def _keeps(state: dict[str, Any]) -> bool:
    return state.get("keeps") is not False  # sharing is newer than some states


def _marked(state: dict[str, Any]) -> list[str]:
    """The directories, "" for the bucket itself, that name this stack as their owner."""
    return [*([""] if _keeps(state) else []), *filter(None, [_root(state)])]


def _root(props: dict[str, Any]) -> str:
    return (props.get("rootDirectory") or "").strip("/")


def _where(props: dict[str, Any]) -> str:
    return str(props.get("endpoint") or props["region"])


def _tell(words: str) -> None:
    print(words, file=sys.stderr)  # the engine shows it beside the resource


class S3Bucket(Resource, module="storage", name="S3Bucket"):
    """A bucket as a resource; inputs and outputs in camelCase, `unsupported` is output only."""

    bucket: pulumi.Output[str]
    unsupported: pulumi.Output[list[str]]

    def __init__(
        self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(S3BucketProvider(), name, {**props, "unsupported": None}, opts)
