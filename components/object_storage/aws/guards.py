"""The guards of a bucket of kind aws: it is private, encrypted, versioned, tidied, TLS only."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pulumi
import pulumi_aws as aws

from components.object_storage.aws.policy import tls_only_policy
from components.object_storage.lifecycle import abort_uploads, expire_versions
from components.settings.storage.aws import AwsStorage

_WORD = re.compile(r"(?<!^)(?=[A-Z][a-z])")
"""Between two words of a name in CamelCase."""


def guards(
    name: str, bucket: aws.s3.Bucket, settings: AwsStorage, options: pulumi.ResourceOptions
) -> list[pulumi.CustomResource]:
    """All that is declared about the bucket beside its name and tags."""
    private = aws.s3.BucketPublicAccessBlock(
        f"{name}-public-access-block",
        bucket=bucket.bucket,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=options,
    )
    owned = aws.s3.BucketOwnershipControls(
        f"{name}-ownership",
        bucket=bucket.bucket,
        rule={"object_ownership": "BucketOwnerEnforced"},
        opts=options,
    )
    encrypted = aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-encryption",
        bucket=bucket.bucket,
        rules=[_encryption(settings)],
        opts=options,
    )
    versioned = aws.s3.BucketVersioning(
        f"{name}-versioning",
        bucket=bucket.bucket,
        versioning_configuration={
            "status": "Enabled" if settings.versioning.enabled else "Suspended"
        },
        opts=options,
    )
    tidied = aws.s3.BucketLifecycleConfiguration(
        f"{name}-lifecycle",
        bucket=bucket.bucket,
        rules=_lifecycle(settings),
        opts=_following(versioned, options),
    )
    # S3 refuses a policy while it changes whether public ones are blocked.
    tls_only = aws.s3.BucketPolicy(
        f"{name}-policy",
        bucket=bucket.bucket,
        policy=json.dumps(tls_only_policy(settings)),
        opts=_following(private, options),
    )
    return [private, owned, encrypted, versioned, tidied, tls_only]


def _following(before: pulumi.Resource, options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[before]))


def _encryption(
    settings: AwsStorage,
) -> aws.s3.BucketServerSideEncryptionConfigurationRuleArgsDict:
    if settings.kms_key_arn is None:
        return {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    return {
        "apply_server_side_encryption_by_default": {
            "sse_algorithm": "aws:kms",
            "kms_master_key_id": settings.kms_key_arn,
        },
        # One request to KMS for many blobs.
        "bucket_key_enabled": True,
    }


def _lifecycle(settings: AwsStorage) -> Any:
    # Also while versioning is suspended: versions from before are still there.
    expire = expire_versions(settings.versioning.noncurrent_days)
    expire["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    return [
        _in_snake_case(rule)
        for rule in (abort_uploads(settings.abort_incomplete_upload_days), expire)
    ]


def _in_snake_case(names: dict[str, Any]) -> dict[str, Any]:
    """Names of S3's API as pulumi-aws spells them: NoncurrentDays becomes noncurrent_days."""
    return {
        _WORD.sub("_", name).lower(): _in_snake_case(cast("dict[str, Any]", value))
        if isinstance(value, dict)
        else value
        for name, value in names.items()
    }
