"""What is declared about a bucket and kept so: versioning, lifecycle rules, tags."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from botocore.exceptions import ClientError

from components.object_storage.lifecycle import (
    ABORT,
    EVERYTHING,
    EXPIRE,
    LifecycleRule,
    abort_uploads,
    expire_versions,
)
from components.object_storage.s3.errors import NOT_OFFERED, RULE_REFUSED, error_code


def put_features(client: Any, props: dict[str, Any]) -> list[str]:
    """Puts the declared features on the bucket; returns those the store does not offer.

    A lifecycle rule that the store does not take is among them, by its ID, while it takes others.
    Raises ClientError for every other refusal.
    """
    unsupported: list[str] = []
    for feature, put in (
        ("versioning", _put_versioning),
        ("lifecycle", _put_lifecycle),
        ("tagging", _put_tags),
    ):
        try:
            unsupported += put(client, props)
        except ClientError as error:
            if error_code(error) not in NOT_OFFERED:
                raise
            unsupported.append(feature)
    return unsupported


def declared(props: dict[str, Any], unsupported: Collection[str] = ()) -> dict[str, Any]:
    """The features as `props` declare them, in the shape in which `observed` returns them.

    `unsupported`: what `put_features` returned; lifecycle rules in it are left out.
    """
    return {
        "versioning": bool(props["versioning"]),
        "lifecycle": _effects(
            [rule for rule in _lifecycle_rules(props) if rule["ID"] not in unsupported]
        ),
        "tags": dict(props["tags"]),
    }


def observed(client: Any, bucket: str) -> dict[str, Any]:
    """The features as the bucket has them. Raises ClientError."""
    return {
        "versioning": _versioning(client, bucket) == "Enabled",
        "lifecycle": _effects(_lifecycle(client, bucket)),
        "tags": _tags(client, bucket),
    }


def foreign_rules(client: Any, bucket: str) -> list[str]:
    """IDs of the lifecycle rules in force that are not this program's."""
    return sorted({rule.get("ID", "?") for rule in _lifecycle(client, bucket)} - {ABORT, EXPIRE})


def _lifecycle_rules(props: dict[str, Any]) -> list[LifecycleRule]:
    # Numbers come back from the engine as floats, and S3 refuses 7.0.
    rules = [abort_uploads(int(props["abortDays"]))]
    if props["versioning"]:
        rules.append(expire_versions(int(props["noncurrentDays"])))
    return rules


def _effects(rules: list[LifecycleRule]) -> list[str]:
    """What the rules in force do, one text each: the same text exactly for the same effect.

    Rules of others count too: one that somebody adds may expire the blobs.
    """
    return sorted(_effect(rule) for rule in rules if rule.get("Status") == "Enabled")


def _effect(rule: LifecycleRule) -> str:
    action = {key: value for key, value in rule.items() if key not in ("ID", "Status", "Filter")}
    # Stores say "everything" in four ways; Hetzner's is the old <Prefix/> without a <Filter>.
    scope = rule.get("Filter") or {"Prefix": action.get("Prefix", "")}
    action.pop("Prefix", None)
    effect = action if scope == EVERYTHING else {**action, "Filter": scope}
    return json.dumps(effect, sort_keys=True, default=str)  # a rule may name a date


def _put_versioning(client: Any, props: dict[str, Any]) -> list[str]:
    # Versioning that was never on stays off: suspending it would be a third state.
    if props["versioning"] or _versioning(client, props["bucket"]) is not None:
        client.put_bucket_versioning(
            Bucket=props["bucket"],
            VersioningConfiguration={"Status": "Enabled" if props["versioning"] else "Suspended"},
        )
    return []


def _put_lifecycle(client: Any, props: dict[str, Any]) -> list[str]:
    """Puts the rules that the store takes; returns the IDs of the others.

    Raises ClientError where it takes none.
    """
    rules = _lifecycle_rules(props)

    def put(some: list[LifecycleRule]) -> ClientError | None:
        try:
            client.put_bucket_lifecycle_configuration(
                Bucket=props["bucket"], LifecycleConfiguration={"Rules": some}
            )
        except ClientError as error:
            if error_code(error) not in RULE_REFUSED:
                raise
            return error
        return None

    refusal = put(rules)
    if refusal is None:
        return []
    # The store refuses the document as a whole, so each rule is tried alone.
    taken = [rule for rule in rules if put([rule]) is None] if len(rules) > 1 else []
    if not taken or len(taken) == len(rules):
        raise refusal
    if (refusal_of_the_rest := put(taken)) is not None:
        raise refusal_of_the_rest
    return [rule["ID"] for rule in rules if rule not in taken]


def _put_tags(client: Any, props: dict[str, Any]) -> list[str]:
    bucket, tags = props["bucket"], props["tags"]
    if tags:
        client.put_bucket_tagging(
            Bucket=bucket,
            Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]},
        )
    elif _tags(client, bucket):
        client.delete_bucket_tagging(Bucket=bucket)
    return []


def _versioning(client: Any, bucket: str) -> str | None:
    return _asked(lambda: client.get_bucket_versioning(Bucket=bucket)).get("Status")


def _lifecycle(client: Any, bucket: str) -> list[LifecycleRule]:
    answer = _asked(
        lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket),
        none=frozenset({"NoSuchLifecycleConfiguration"}),
    )
    return answer.get("Rules", [])


def _tags(client: Any, bucket: str) -> dict[str, str]:
    answer = _asked(
        lambda: client.get_bucket_tagging(Bucket=bucket),
        none=frozenset({"NoSuchTagSet", "NoSuchTagSetError"}),
    )
    return {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", [])}


def _asked(ask: Any, *, none: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The answer; empty where the store has none or does not offer the feature."""
    try:
        return ask()
    except ClientError as error:
        if error_code(error) in NOT_OFFERED | none:
            return {}
        raise
