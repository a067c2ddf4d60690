"""What is declared about a bucket and kept so: versioning, lifecycle rules, tags."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from components.object_storage.s3.errors import NOT_OFFERED, error_code

EVERYTHING = {"Prefix": ""}


def put_features(client: Any, props: dict[str, Any]) -> list[str]:
    """Puts the declared features on the bucket; returns those the store does not offer.

    Raises ClientError for every other refusal.
    """
    unsupported: list[str] = []
    for feature, put in (
        ("versioning", _put_versioning),
        ("lifecycle", _put_lifecycle),
        ("tagging", _put_tags),
    ):
        try:
            put(client, props)
        except ClientError as error:
            if error_code(error) not in NOT_OFFERED:
                raise
            unsupported.append(feature)
    return unsupported


def declared(props: dict[str, Any]) -> dict[str, Any]:
    """The features as `props` want them, in the shape in which `observed` tells them."""
    return {
        "versioning": bool(props["versioning"]),
        "lifecycle": _described(_lifecycle_rules(props)),
        "tags": dict(props["tags"]),
    }


def observed(client: Any, bucket: str) -> dict[str, Any]:
    """The features as they are. Raises ClientError."""
    return {
        "versioning": _versioning(client, bucket) == "Enabled",
        "lifecycle": _described(_lifecycle(client, bucket)),
        "tags": _tags(client, bucket),
    }


def foreign_rules(client: Any, bucket: str) -> list[str]:
    """IDs of the lifecycle rules in force that are not this program's."""
    own = {_ABORT, _EXPIRE}
    return sorted({rule.get("ID", "?") for rule in _lifecycle(client, bucket)} - own)


_ABORT = "abort-incomplete-uploads"
_EXPIRE = "expire-noncurrent-versions"


def _lifecycle_rules(props: dict[str, Any]) -> list[dict[str, Any]]:
    # Numbers come back from the engine as floats, and S3 refuses 7.0.
    rules: list[dict[str, Any]] = [
        {
            # Harbor never aborts a broken upload; its parts are billed for ever (harbor #17651).
            "ID": _ABORT,
            "Status": "Enabled",
            "Filter": EVERYTHING,
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": int(props["abortDays"])},
        }
    ]
    if props["versioning"]:
        rules.append(
            {
                # Garbage collection only hides blobs in a versioned bucket; this frees the space.
                "ID": _EXPIRE,
                "Status": "Enabled",
                "Filter": EVERYTHING,
                "NoncurrentVersionExpiration": {"NoncurrentDays": int(props["noncurrentDays"])},
            }
        )
    return rules


def _described(rules: list[dict[str, Any]]) -> list[str]:
    """What the rules in force do, one text each: equal exactly when they do the same.

    All of them count, not only our own: a rule that somebody adds may expire the blobs.
    """
    return sorted(_does(rule) for rule in rules if rule.get("Status") == "Enabled")


def _does(rule: dict[str, Any]) -> str:
    act = {key: value for key, value in rule.items() if key not in ("ID", "Status", "Filter")}
    # Stores tell "everything" in four ways; Hetzner's is the old <Prefix/> without a <Filter>.
    where = rule.get("Filter") or {"Prefix": act.get("Prefix", "")}
    act.pop("Prefix", None)
    return json.dumps(act if where == EVERYTHING else {**act, "Filter": where}, sort_keys=True)


def _put_versioning(client: Any, props: dict[str, Any]) -> None:
    # Suspending what was never on would switch it to a third state.
    if props["versioning"] or _versioning(client, props["bucket"]) is not None:
        client.put_bucket_versioning(
            Bucket=props["bucket"],
            VersioningConfiguration={"Status": "Enabled" if props["versioning"] else "Suspended"},
        )


def _put_lifecycle(client: Any, props: dict[str, Any]) -> None:
    client.put_bucket_lifecycle_configuration(
        Bucket=props["bucket"], LifecycleConfiguration={"Rules": _lifecycle_rules(props)}
    )


def _put_tags(client: Any, props: dict[str, Any]) -> None:
    bucket, tags = props["bucket"], props["tags"]
    if tags:
        client.put_bucket_tagging(
            Bucket=bucket,
            Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]},
        )
    elif _tags(client, bucket):
        client.delete_bucket_tagging(Bucket=bucket)


def _versioning(client: Any, bucket: str) -> str | None:
    return _asked(lambda: client.get_bucket_versioning(Bucket=bucket)).get("Status")


def _lifecycle(client: Any, bucket: str) -> list[dict[str, Any]]:
    found = _asked(
        lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket),
        none=frozenset({"NoSuchLifecycleConfiguration"}),
    )
    return found.get("Rules", [])


def _tags(client: Any, bucket: str) -> dict[str, str]:
    found = _asked(
        lambda: client.get_bucket_tagging(Bucket=bucket),
        none=frozenset({"NoSuchTagSet", "NoSuchTagSetError"}),
    )
    return {tag["Key"]: tag["Value"] for tag in found.get("TagSet", [])}


def _asked(ask: Any, *, none: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The answer; empty where the store has none or does not offer the feature."""
    try:
        return ask()
    except ClientError as error:
        if error_code(error) in NOT_OFFERED | none:
            return {}
        raise
