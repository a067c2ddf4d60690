"""The storage kinds with a key pair that a person made: Hetzner Object Storage, other S3. Pure."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from components.settings.schema.rules import (
    ENDPOINT,
    PEM,
    Section,
    SettingRule,
    matching,
    refuse,
)
from components.settings.schema.secret_rules import SecretRule, characters
from components.settings.storage.base import BlobLocation, BucketSettings, Concurrency

_LOCATIONS = ("fsn1", "nbg1", "hel1")


def _location(text: str) -> str | None:
    if text in ("ash", "hil", "sin"):
        return f"{text} is a compute-only location without object storage"
    return None if text in _LOCATIONS else ""


# At most 31 characters, so that a secret key is refused: it would be readable in file and policy.
_ACCESS_KEY = SettingRule(
    allowed="an access key as the Console shows it, 16 to 31 upper-case letters and digits (never "
    "the secret key)",
    example="<access-key>",
    check=matching(r"[A-Z0-9]{16,31}"),
    conceal=True,
)


class Lockdown(Section):
    """A bucket policy that refuses every key but the stack's own and those listed here."""

    project_id: Annotated[
        str,
        SettingRule(
            allowed="the number of the project in the Console's address, digits only",
            example="<project-number>",
            check=matching(r"[1-9][0-9]{0,17}"),
        ),
    ]
    """Number of the project that the keys belong to: console.hetzner.com/projects/<number>/…"""
    more_access_keys: tuple[Annotated[str, _ACCESS_KEY], ...] = ()
    """Access keys, which are no secrets, that may use the bucket besides s3AccessKey."""


class KeyedBucket(BucketSettings):
    """A bucket made and used with a key pair that a person made.

    Stores differ in the lengths of keys: MinIO takes users of 3 and passwords of 8 characters,
    Backblaze gives secrets of 31, others access keys of 61 and secrets of 64 and more.
    """

    secrets: ClassVar[Mapping[str, SecretRule]] = {
        "s3AccessKey": SecretRule(
            description="Access key of the bucket",
            shape=characters(3, 128),
        ),
        "s3SecretKey": SecretRule(
            description="Secret key of the bucket",
            shape=characters(8, 256),
        ),
    }

    @property
    def locked_to(self) -> Lockdown | None:
        """The policy that says which keys reach the bucket; None without one."""
        return None


class HetznerStorage(KeyedBucket):
    """Hetzner Object Storage. Keys are made in its Console; no API makes them."""

    also_called = ("hcloud", "hetzner-s3")
    sample: ClassVar[Mapping[str, str]] = {"region": "fsn1"}
    most_bytes: ClassVar[int | None] = 100 * 10**12
    most_objects: ClassVar[int | None] = 50_000_000

    kind: Literal["hetzner"] = "hetzner"
    region: Annotated[
        str,
        SettingRule(
            allowed=f"one of {', '.join(_LOCATIONS)}",
            example=_LOCATIONS[0],
            check=_location,
            suggest=lambda text: difflib.get_close_matches(
                text.lower(), _LOCATIONS, n=1, cutoff=0.7
            ),
        ),
    ]
    """Location of the bucket."""
    endpoint: Annotated[str, ENDPOINT] | None = None
    """Derived from the region. May be set, but to nothing else."""
    # The registry copies each finished upload in parts, by default 100 at a time. Hetzner limits
    # each source address to 750 requests/s and 256 connections.
    multipart_copy_max_concurrency: Concurrency | None = "10"
    """How many parts the registry copies at a time."""
    # Without a policy each key of a project reaches each of its buckets.
    lockdown: Lockdown | None = None
    """Refuse every other key of the project. Off unless set."""

    @property
    def locked_to(self) -> Lockdown | None:
        return self.lockdown

    @property
    def endpoint_url(self) -> str:
        return f"https://{self.region}.your-objectstorage.com"

    @model_validator(mode="after")
    def _endpoint_follows_the_region(self) -> Self:
        if self.endpoint not in (None, self.endpoint_url):
            refuse(
                f"the endpoint of region {self.region} is {self.endpoint_url}",
                at=("endpoint",),
                example=self.endpoint_url,
            )
        return self


def _endpoint_with_path(text: str) -> str | None:
    base, path = text, ""
    if match := re.fullmatch(r"(https?://[^/?#]*)((?:/[A-Za-z0-9._~-]+)+)", text):
        base, path = match.groups()
    if ".." in path:
        return "without .. in its path"
    return ENDPOINT.check(base) if ENDPOINT.check is not None else None


_S3_ENDPOINT = SettingRule(
    allowed="a URL https://host[:port][/path], without the bucket and without a trailing slash",
    example="https://s3.example.com",
    check=_endpoint_with_path,
)


class S3Storage(KeyedBucket):
    """Any other S3-compatible store: Ceph, MinIO, a gateway."""

    also_called = (
        *("minio", "ceph", "rgw", "rook", "garage", "seaweedfs", "versitygw", "s3-compatible"),
        *("wasabi", "backblaze", "b2", "cloudflare", "r2", "ovh", "scaleway", "digitalocean"),
    )
    sample: ClassVar[Mapping[str, str]] = {
        "region": "us-east-1",
        "endpoint": "https://s3.example.com",
    }

    kind: Literal["s3"] = "s3"
    endpoint: Annotated[str, _S3_ENDPOINT]
    """URL of the S3 API; https outside the sandbox."""
    path_style: bool = True
    """Use addresses https://host/bucket rather than https://bucket.host."""
    ca_bundle: Annotated[str, PEM] | None = None
    """PEM of the authority that signed the endpoint's certificate, if it is not a public one."""

    @model_validator(mode="after")
    def _endpoint_has_no_bucket(self) -> Self:
        store, _, last = self.endpoint.rpartition("/")
        if last == self.bucket and "://" in store:
            refuse(
                "without the bucket, which storage.bucket names", at=("endpoint",), example=store
            )
        return self

    @property
    def blob_location(self) -> BlobLocation:
        return {"kind": self.kind, "endpoint": self.endpoint, **super().blob_location}

    @property
    def endpoint_url(self) -> str:
        return self.endpoint

    @property
    def is_path_style(self) -> bool:
        return self.path_style

    @property
    def trusted_ca(self) -> str | None:
        return self.ca_bundle
