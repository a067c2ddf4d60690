"""The S3 client of the bucket provider: AWS's own SDK, set up for stores that are not AWS."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from components.object_storage.location import BucketLocation


@dataclass(frozen=True, kw_only=True)
class S3Credentials:
    """An access key pair. `repr` shows no part of the secret, so a traceback cannot either."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "S3Credentials(<hidden>)"


def s3_client(location: BucketLocation, credentials: S3Credentials) -> Any:
    """A boto3 S3 client for `location`.

    Retries: botocore's standard mode, with jittered exponential back-off on 500, 502, 503, 504,
    SlowDown, throttling and broken connections; eight attempts are about a minute.
    Checksums: when_required, since Ceph-based stores reject the SDK's default trailers
    (XAmzContentSHA256Mismatch; hetznercloud/terraform-provider-hcloud #1114, google/go-cloud #3535).
    """
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=location.endpoint,
        region_name=location.region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        verify=_ca_file(location.ca_bundle) if location.ca_bundle else None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if location.path_style else "auto"},
            retries={"mode": "standard", "total_max_attempts": 8},
            connect_timeout=10,
            read_timeout=60,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    client.meta.events.register("before-call.s3", _add_content_md5)
    return client


def _add_content_md5(model: Any, params: dict[str, Any], **_: Any) -> None:
    # boto3 1.36 replaced Content-MD5 by CRC32 where S3 demands a checksum (lifecycle, tagging,
    # DeleteObjects); older Ceph releases still want the header it dropped.
    body = params.get("body")
    if model.http_checksum_required and isinstance(body, (bytes, bytearray)):
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        params["headers"].setdefault("Content-MD5", base64.b64encode(digest).decode())


def _ca_file(pem: str) -> str:
    """Path of a file that holds `pem`: botocore takes a path, not the text."""
    name = f"sovereign-harbor-ca-{hashlib.sha256(pem.encode()).hexdigest()[:16]}.pem"
    path = os.path.join(tempfile.gettempdir(), name)
    if not os.path.exists(path):
        descriptor, draft = tempfile.mkstemp(suffix=".pem")
        with os.fdopen(descriptor, "w") as handle:
            handle.write(pem)
        os.replace(draft, path)
    return path


def error_code(error: ClientError) -> str:
    """S3's error code, e.g. `NoSuchBucket`; for answers without a body the HTTP status as text."""
    return str(error.response.get("Error", {}).get("Code", ""))
