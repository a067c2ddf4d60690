"""IAM policies of kind aws: what the registry may do, and that nobody may do it without TLS. Pure.

The actions are those of the registry's documentation and no others (distribution,
docs/content/storage-drivers/s3.md, "S3 permission scopes").
"""

from __future__ import annotations

from typing import Any, Final

from components.settings.storage.aws import AwsStorage

BUCKET_ACTIONS: Final = ("s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads")
OBJECT_ACTIONS: Final = (
    "s3:PutObject",
    "s3:GetObject",
    "s3:DeleteObject",
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
)
KEY_ACTIONS: Final = ("kms:Decrypt", "kms:GenerateDataKey")
"""What reading and writing (in parts, too) take where S3 encrypts with a key of KMS."""

Document = dict[str, Any]


def registry_policy(settings: AwsStorage) -> Document:
    """What the registry may do: its actions, on its bucket and below its root directory there."""
    bucket = _bucket(settings)
    root = settings.root_directory.strip("/")
    statements = [
        _allow("Bucket", BUCKET_ACTIONS, bucket),
        _allow("Objects", OBJECT_ACTIONS, f"{bucket}/{root}/*" if root else f"{bucket}/*"),
    ]
    if settings.kms_key_arn is not None:
        statements.append(_allow("Key", KEY_ACTIONS, settings.kms_key_arn))
    return _document(*statements)


def tls_only_policy(settings: AwsStorage) -> Document:
    """The bucket's own policy: without TLS nobody does anything."""
    bucket = _bucket(settings)
    return _document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket, f"{bucket}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def _bucket(settings: AwsStorage) -> str:
    return f"arn:{settings.partition}:s3:::{settings.bucket}"


def _allow(sid: str, actions: tuple[str, ...], resource: str) -> Document:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}


def _document(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}
