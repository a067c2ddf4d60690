"""The S3 client of the dynamic providers: AWS's own SDK, set up for stores that are not AWS."""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import hashlib
import os
import tempfile
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import HTTPClientError, IncompleteReadError

from components.commands import set_secret
from components.object_storage.location import BucketLocation
from components.object_storage.s3.errors import BucketError, explained
from components.object_storage.s3.purpose import IMAGES, Purpose
from components.proxies import proxies_for

ATTEMPTS = 8
"""Of each request. With jittered exponential back-off they take about a minute."""

READ_SECONDS = 60.0
"""How long a store may be silent before the request is tried again."""

_MAKING = threading.Lock()
"""The engine calls providers in several threads, and a session makes one client at a time."""


@dataclass(frozen=True, kw_only=True)
class S3Credentials:
    """An access key pair. `repr` shows no part of the secret, so a traceback cannot either."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "S3Credentials(<hidden>)"


def s3_client(location: BucketLocation, credentials: S3Credentials) -> Any:
    """A boto3 S3 client for `location`, independent of the profiles of whoever runs this.

    Retries: botocore's standard mode, on 500, 502, 503, 504, SlowDown, throttling, timeouts and
    broken connections.
    Checksums: when_required, since Ceph-based stores reject the SDK's default trailers
    (XAmzContentSHA256Mismatch: hetznercloud/terraform-provider-hcloud #1114,
    google/go-cloud #3535).
    """
    from botocore.config import Config  # only the provider's process pays for the SDK

    with _MAKING:
        client = _session().client(
            "s3",
            endpoint_url=location.endpoint,
            region_name=location.region,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            verify=_ca_file(location.ca_bundle) if location.ca_bundle else None,
            config=Config(
                signature_version="s3v4",
                # Not "auto": with an endpoint of one's own that is path style too.
                s3={"addressing_style": "path" if location.path_style else "virtual"},
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                connect_timeout=10,
                read_timeout=READ_SECONDS,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # None lets the SDK read the environment, in which it takes no ranges.
                proxies=proxies_for(location.endpoint, os.environ) if location.endpoint else None,
            ),
        )
    client.meta.events.register("before-call.s3", _md5_where_a_checksum_is_required)
    if location.endpoint is not None:
        client.meta.events.register("before-call.s3", _no_redirect_is_followed)
    client.meta.events.register("before-parse.s3", _broken_off_is_a_server_error)
    client.meta.events.register("before-parse.s3", _a_page_is_an_error)
    return client


@functools.cache
def _session() -> Any:
    """The SDK's session: reading its description of S3 takes longer than a request."""
    import boto3.session
    import botocore.session

    # An AWS_PROFILE that does not exist fails; one that exists may bring another retry mode,
    # addressing style or endpoint. (config name, environment variable, default, conversion)
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return boto3.session.Session(botocore_session=core)


@contextlib.contextmanager
def reached(
    location: BucketLocation,
    credentials: S3Credentials | None,
    afterwards: str = "",
    *,
    purpose: Purpose = IMAGES,
) -> Generator[Any]:
    """A client for `location`, within which errors of the SDK become a BucketError.

    `afterwards`: see errors.explained. Raises BucketError also when the stack
    has no key pair.
    """
    if credentials is None:
        access_key, secret_key = purpose.keys
        raise BucketError(
            f"{purpose.both_keys} are not set for this stack: "
            f"`{set_secret(access_key)}`, likewise {secret_key}"
        )
    subject = f"bucket {location.bucket} at {location.endpoint or location.region}"
    hidden = (credentials.secret_key, credentials.access_key)
    with (
        explained(subject, hidden=hidden, afterwards=afterwards, keys=purpose.both_keys),
        contextlib.closing(s3_client(location, credentials)) as client,
    ):
        yield client


def read_object(client: Any, bucket: str, key: str) -> bytes:
    """The whole content of a small object. Raises ClientError.

    The SDK retries until it has the head of an answer; a body that breaks off is left to its
    caller.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (HTTPClientError, IncompleteReadError):
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("not reached")


def _md5_where_a_checksum_is_required(params: dict[str, Any], **_: Any) -> None:
    # boto3 1.36 replaced Content-MD5 by CRC32 where S3 demands a checksum (versioning, lifecycle,
    # tagging); older Ceph releases still want the header it dropped, and AWS takes either.
    checksum = params["context"].get("checksum", {})
    if checksum.pop("request_algorithm", None) is not None:
        checksum.pop("request_algorithm_header", None)
        digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
        params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def _no_redirect_is_followed(params: dict[str, Any], **_: Any) -> None:
    # To find AWS's region for a bucket the SDK asks for the bucket again, and follows the redirect
    # of that request too: until RecursionError, where a proxy or a login page answers 307.
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _broken_off_is_a_server_error(
    response_dict: dict[str, Any], operation_model: Any, **_: Any
) -> None:
    # botocore does not compare a body with its Content-Length: half a listing is no XML, and
    # nothing of a listing is an empty bucket. As a server error it is asked for again.
    body, length = response_dict["body"], response_dict["headers"].get("Content-Length")
    if operation_model.http["method"] == "HEAD" or not isinstance(body, bytes):
        return  # without a body, or one that its reader checks
    if length is not None and length.isdecimal() and len(body) < int(length):
        response_dict.update(status_code=500, body=b"")


def _a_page_is_an_error(response_dict: dict[str, Any], **_: Any) -> None:
    # The SDK reads a proxy's page as an answer in which every element is missing: as an empty
    # bucket without versions.
    body = response_dict["body"]
    if response_dict["status_code"] < 300 and isinstance(body, bytes):
        start = body[:200].lstrip().lower()
        if start.startswith((b"<html", b"<!doctype html")):
            response_dict.update(status_code=400, body=_PAGE)


_PAGE = (
    b"<Error><Code>HTML</Code><Message>a page of HTML, as of a proxy or a login; is this the "
    b"store's endpoint?</Message></Error>"
)


@functools.cache
def _ca_file(pem: str) -> str:
    """Path of a file that holds `pem`: botocore takes a path, not the text.

    The name cannot be foreseen and the file is its owner's alone: in a shared folder for temporary
    files somebody else could put their own authority there first.
    """
    descriptor, path = tempfile.mkstemp(prefix="sovereign-harbor-ca-", suffix=".pem")
    with os.fdopen(descriptor, "w") as handle:
        handle.write(pem)
    atexit.register(os.unlink, path)
    return path
