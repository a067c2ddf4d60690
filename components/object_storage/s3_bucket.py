"""The bucket of an S3-compatible store, managed through its S3 API by a dynamic provider.

Why not a bridged provider: docs/decisions/0002-dynamic-provider-for-s3-buckets.md.
"""

from __future__ import annotations

import datetime as dt
import json
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

from components.object_storage.location import BucketLocation
from components.object_storage.s3_client import S3Credentials, error_code, s3_client

OWNER_KEY = ".sovereign-harbor/owner.json"
"""Object that names the stack that made the bucket. Tags would do, but not every store has them."""

INTERRUPTED_CREATE_WINDOW = dt.timedelta(hours=1)
"""A bucket that is empty and younger than this is taken for our own, interrupted creation: between
CreateBucket and the owner object lies an instant in which the engine may be killed."""

NOT_OFFERED = frozenset({"NotImplemented", "XNotImplemented", "MethodNotAllowed", "501", "405"})
"""How stores say that they lack a feature."""

IDENTITY = ("bucket", "endpoint", "region")
"""A change of these is another bucket."""

FEATURES = ("versioning", "noncurrentDays", "abortDays", "tags")
"""What is kept as declared on a living bucket."""


class BucketError(Exception):
    """A bucket could not be made, read or deleted; the text says what to do."""


class S3BucketProvider(ResourceProvider):
    """Create, read, update, delete of one bucket.

    The key pair is read from the stack's configuration in `configure`, never kept as an input: a
    rotated key changes nothing here, and destroy works with the key of the day.
    """

    serialize_as_secret_always = False
    _credentials: S3Credentials | None = None

    def configure(self, req: ConfigureRequest) -> None:
        from components.settings.environment import expand

        access, secret = req.config.get("s3AccessKey"), req.config.get("s3SecretKey")
        if access and secret:
            self._credentials = S3Credentials(access_key=expand(access), secret_key=expand(secret))

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return CheckResult({**news, "tags": news.get("tags") or {}}, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        unsupported = set(_olds.get("unsupported") or [])
        changed = [
            key
            for key in FEATURES
            if _feature_of(key) not in unsupported and _olds.get(key) != _news.get(key)
        ]
        changed += [k for k in ("pathStyle", "caBundle", "owner") if _olds.get(k) != _news.get(k)]
        return DiffResult(changes=bool(replaces or changed), replaces=replaces, stables=["bucket"])

    def create(self, props: dict[str, Any]) -> CreateResult:
        client = self._client(props)
        self._claim(client, props)
        return CreateResult(id_=props["bucket"], outs=self._apply(client, props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        client = self._client(props)
        try:
            client.head_bucket(Bucket=id_)
        except ClientError as error:
            # Dropping it from the state here would make the next `up` create a second truth.
            raise BucketError(
                f"bucket {id_} at {_where(props)} cannot be read ({_why(error)}); the state is "
                "left as it was. Check the key pair first. If the bucket is really gone, restore "
                "it, or forget it with `pulumi state delete` and run `pulumi up`."
            ) from None
        return ReadResult(id_=id_, outs={**props, **_observe(client, id_, props)})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        client = self._client(_news)
        _write_owner(client, _news)
        return UpdateResult(outs=self._apply(client, _news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        client = self._client(_props)
        try:
            if _holds_data(client, _id):
                raise BucketError(
                    f"bucket {_id} at {_where(_props)} still holds objects or their versions and "
                    "is not deleted. Empty it yourself if its images are to be lost, or leave it "
                    "where it is: `pulumi state delete` forgets it without touching it."
                )
            _delete_own_objects(client, _id)
            client.delete_bucket(Bucket=_id)
        except ClientError as error:
            if error_code(error) not in ("NoSuchBucket", "404"):
                raise BucketError(f"bucket {_id} was not deleted: {_why(error)}") from None

    def _client(self, props: dict[str, Any]) -> Any:
        if self._credentials is None:
            raise BucketError(
                "s3AccessKey and s3SecretKey are not set for this stack: "
                "`pulumi config set --secret s3AccessKey`, likewise s3SecretKey"
            )
        location = BucketLocation(
            bucket=props["bucket"],
            region=props["region"],
            endpoint=props.get("endpoint"),
            path_style=bool(props["pathStyle"]),
            ca_bundle=props.get("caBundle"),
        )
        return s3_client(location, self._credentials)

    def _claim(self, client: Any, props: dict[str, Any]) -> None:
        """Makes the bucket, or finds that an existing one may be used; raises BucketError."""
        bucket = props["bucket"]
        try:
            client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error_code(error) in ("404", "NoSuchBucket", "NotFound"):
                _create_bucket(client, props)
            elif error_code(error) in ("403", "AccessDenied", "Forbidden"):
                raise BucketError(
                    f"bucket name {bucket} is taken at {_where(props)}, and this key pair may not "
                    "use it. Bucket names are shared by all customers of a vendor: choose "
                    "another with `pulumi config set --path 'storage.bucket' <name>`."
                ) from None
            else:
                raise BucketError(f"bucket {bucket} at {_where(props)}: {_why(error)}") from None
        else:
            owner = _read_owner(client, bucket)
            if owner != props["owner"] and not (
                props["adopt"] or _just_made(client, bucket, owner)
            ):
                raise BucketError(
                    f"bucket {bucket} exists already at {_where(props)}"
                    + (f" and belongs to {owner}" if owner else " and was not made by this stack")
                    + ". To take it over as it is, with all that it holds: "
                    "`pulumi config set --path 'storage.adopt' true`."
                )
        _write_owner(client, props)

    def _apply(self, client: Any, props: dict[str, Any]) -> dict[str, Any]:
        """Puts the declared features on the bucket; returns the outputs."""
        bucket = props["bucket"]
        unsupported: list[str] = []
        wanted = {
            "versioning": lambda: client.put_bucket_versioning(
                Bucket=bucket,
                VersioningConfiguration={
                    "Status": "Enabled" if props["versioning"] else "Suspended"
                },
            ),
            "lifecycle": lambda: client.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": _lifecycle_rules(props)}
            ),
            "tagging": lambda: _put_tags(client, bucket, props["tags"]),
        }
        if not props["versioning"] and _versioning(client, bucket) is None:
            del wanted["versioning"]  # never on: suspending would switch it to a third state
        for feature, put in wanted.items():
            try:
                put()
            except ClientError as error:
                if error_code(error) not in NOT_OFFERED:
                    raise BucketError(f"{feature} of bucket {bucket}: {_why(error)}") from None
                unsupported.append(feature)
        outs = {key: value for key, value in props.items() if not key.startswith("__")}
        if unsupported:
            print(
                f"bucket {bucket}: {_where(props)} does not offer {', '.join(unsupported)}; "
                "the bucket works without",
                file=sys.stderr,
            )
        return {**outs, "unsupported": unsupported}


def _create_bucket(client: Any, props: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"Bucket": props["bucket"]}
    if props["region"] != "us-east-1":  # S3 refuses its own default as a constraint
        arguments["CreateBucketConfiguration"] = {"LocationConstraint": props["region"]}
    try:
        client.create_bucket(**arguments)
    except ClientError as error:
        # After a retried CreateBucket the first answer may have been lost on the way.
        if error_code(error) != "BucketAlreadyOwnedByYou":
            raise BucketError(
                f"bucket {props['bucket']} was not created at {_where(props)}: {_why(error)}"
            ) from None


def _lifecycle_rules(props: dict[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = [
        {
            # Harbor never aborts a broken upload; its parts are billed for ever (harbor #17651).
            "ID": "abort-incomplete-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": int(props["abortDays"])},
        }
    ]
    if props["versioning"]:
        rules.append(
            {
                # Garbage collection only hides blobs in a versioned bucket; this frees the space.
                "ID": "expire-noncurrent-versions",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": int(props["noncurrentDays"])},
            }
        )
    return rules


def _put_tags(client: Any, bucket: str, tags: dict[str, str]) -> None:
    if tags:
        client.put_bucket_tagging(
            Bucket=bucket,
            Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]},
        )
    elif _tags(client, bucket):
        client.delete_bucket_tagging(Bucket=bucket)


def _observe(client: Any, bucket: str, props: dict[str, Any]) -> dict[str, Any]:
    """The bucket's features as they are, in the shape of the outputs."""
    unsupported = set(props.get("unsupported") or [])
    seen: dict[str, Any] = {}
    if "versioning" not in unsupported:
        seen["versioning"] = _versioning(client, bucket) == "Enabled"
    if "tagging" not in unsupported:
        seen["tags"] = _tags(client, bucket)
    if "lifecycle" not in unsupported:
        rules = _lifecycle(client, bucket)
        abort = [r["AbortIncompleteMultipartUpload"] for r in rules if _has(r, "Abort")]
        expire = [r["NoncurrentVersionExpiration"] for r in rules if _has(r, "Noncurrent")]
        seen["abortDays"] = abort[0].get("DaysAfterInitiation") if abort else None
        if expire or seen.get("versioning", props["versioning"]):
            seen["noncurrentDays"] = expire[0].get("NoncurrentDays") if expire else None
    return seen


def _has(rule: dict[str, Any], what: str) -> bool:
    key = {
        "Abort": "AbortIncompleteMultipartUpload",
        "Noncurrent": "NoncurrentVersionExpiration",
    }[what]
    return rule.get("Status") == "Enabled" and key in rule


def _versioning(client: Any, bucket: str) -> str | None:
    return client.get_bucket_versioning(Bucket=bucket).get("Status")


def _tags(client: Any, bucket: str) -> dict[str, str]:
    try:
        found = client.get_bucket_tagging(Bucket=bucket)["TagSet"]
    except ClientError as error:
        if error_code(error) in ("NoSuchTagSet", "NoSuchTagSetError", *NOT_OFFERED):
            return {}
        raise
    return {tag["Key"]: tag["Value"] for tag in found}


def _lifecycle(client: Any, bucket: str) -> list[dict[str, Any]]:
    try:
        return client.get_bucket_lifecycle_configuration(Bucket=bucket).get("Rules", [])
    except ClientError as error:
        if error_code(error) == "NoSuchLifecycleConfiguration":
            return []
        raise


def _read_owner(client: Any, bucket: str) -> str | None:
    try:
        body = client.get_object(Bucket=bucket, Key=OWNER_KEY)["Body"].read()
        return str(json.loads(body)["owner"])
    except ClientError as error:
        # Some stores answer 403 for an object that is not there.
        if error_code(error) in ("NoSuchKey", "404", "403", "AccessDenied"):
            return None
        raise
    except (ValueError, KeyError):
        return None


def _write_owner(client: Any, props: dict[str, Any]) -> None:
    if _read_owner(client, props["bucket"]) != props["owner"]:
        body = json.dumps({"owner": props["owner"], "madeBy": "sovereign-harbor"}).encode()
        client.put_object(Bucket=props["bucket"], Key=OWNER_KEY, Body=body)


def _just_made(client: Any, bucket: str, owner: str | None) -> bool:
    if owner is not None or _holds_data(client, bucket):
        return False
    listed = client.list_buckets().get("Buckets", [])
    made = next((b["CreationDate"] for b in listed if b["Name"] == bucket), None)
    now = dt.datetime.now(dt.UTC)
    return made is not None and now - made < INTERRUPTED_CREATE_WINDOW


def _holds_data(client: Any, bucket: str) -> bool:
    """Whether there is any object, object version, delete marker or unfinished upload of others."""
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket)
    for page in pages:
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if any(entry["Key"] != OWNER_KEY for entry in entries):
            return True
    keys = client.list_objects_v2(Bucket=bucket, MaxKeys=2).get("Contents", [])
    if any(entry["Key"] != OWNER_KEY for entry in keys):
        return True
    return bool(client.list_multipart_uploads(Bucket=bucket).get("Uploads"))


def _delete_own_objects(client: Any, bucket: str) -> None:
    page = client.list_object_versions(Bucket=bucket, Prefix=OWNER_KEY)
    for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
        client.delete_object(Bucket=bucket, Key=OWNER_KEY, VersionId=entry["VersionId"])
    client.delete_object(Bucket=bucket, Key=OWNER_KEY)
    # A versioned bucket answers the plain delete with a marker, which counts as content.
    page = client.list_object_versions(Bucket=bucket, Prefix=OWNER_KEY)
    for entry in page.get("DeleteMarkers", []):
        client.delete_object(Bucket=bucket, Key=OWNER_KEY, VersionId=entry["VersionId"])


def _feature_of(key: str) -> str:
    return {"noncurrentDays": "lifecycle", "abortDays": "lifecycle", "tags": "tagging"}.get(
        key, key
    )


def _where(props: dict[str, Any]) -> str:
    return str(props.get("endpoint") or props["region"])


def _why(error: ClientError) -> str:
    told = error.response.get("Error", {})
    return f"{told.get('Code', '?')}: {told.get('Message') or 'no further word from the store'}"


class S3Bucket(Resource, module="storage", name="S3Bucket"):
    """A bucket as a resource; inputs and outputs in camelCase, `unsupported` is output only."""

    bucket: pulumi.Output[str]
    unsupported: pulumi.Output[list[str]]

    def __init__(
        self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(S3BucketProvider(), name, {**props, "unsupported": None}, opts)
