"""The storage kind `gcs`: a bucket of Google Cloud Storage, by the registry's gcs driver. Pure.

Bounds and traps are those of the driver in docker/distribution 2.8.3
(registry/storage/driver/gcs/gcs.go).
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast

from pydantic import model_validator

from components.settings.schema.buckets import written_unquoted
from components.settings.schema.rules import (
    OBJECT_NAME,
    REMOVE,
    SettingRule,
    last_part,
    matching,
    refuse,
)
from components.settings.schema.secret_rules import SecretRule, Shape
from components.settings.storage.base import ROOT_DIRECTORY, BlobLocation
from components.settings.storage.existing import ExistingContainer

_KIB: Final = 1024
_CHUNK: Final = 256 * _KIB
_LARGEST_CHUNK: Final = 256 * _KIB * _KIB


def _bucket_name(name: str) -> str | None:
    """https://cloud.google.com/storage/docs/buckets#naming."""
    if name.startswith("goog") or re.search(r"g[o0]{2}g[l1]e", name):
        return "a name beginning with goog or containing google is the vendor's"
    if re.fullmatch(r"\d+(\.\d+){3}", name):
        return "it looks like an IP address"
    longest = 222 if "." in name else 63
    if not 3 <= len(name) <= longest:
        return f"3 to {longest} characters"
    label = r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?"
    return matching(rf"{label}(\.{label})*")(name)


_BUCKET = SettingRule(
    allowed="the name of a bucket that exists: lower-case letters, digits, '-', '_' and '.', "
    "beginning and ending with a letter or digit",
    example="<bucket>",
    check=written_unquoted(_bucket_name),
    suggest=last_part,
)


def _chunk_size(digits: str) -> str | None:
    if matching(r"[1-9][0-9]{0,11}")(digits) is not None or int(digits) > _LARGEST_CHUNK:
        return ""
    return None if int(digits) % _CHUNK == 0 else "not a multiple of 262144, which the driver needs"


# The driver knows no upper bound, and keeps a buffer of this size for each upload under way.
_CHUNK_SIZE = SettingRule(
    allowed="a number of bytes, digits only, a multiple of 262144 (256 KiB) up to 268435456 "
    "(256 MiB)",
    example="5242880",
    check=_chunk_size,
)


_PEM = re.compile(
    r"-----BEGIN (RSA )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+\n-----END (RSA )?PRIVATE KEY-----\n*"
)


def _key_data(plain: str) -> str | None:
    """Checks what the driver's google.JWTConfigFromJSON and its signing of URLs need."""
    if len(plain) > 16 * _KIB:
        return "it is longer than any key file"
    try:
        document: Any = json.loads(plain)
    except (ValueError, RecursionError):
        return "it is not JSON; give the whole file, neither its path nor base64 of it"
    if not isinstance(document, dict):
        return "it is JSON, but no object"
    key = cast("dict[str, Any]", document)
    if key.get("type") != "service_account":
        return "its type is not service_account; the driver knows no other"
    for name in ("client_email", "private_key"):
        if not isinstance(key.get(name), str) or not key[name]:
            return f"it has no {name}"
    if not _PEM.fullmatch(key["private_key"]):
        return "its private_key is not PEM; every line break in it must be one \\n of JSON"
    return None


class GcsStorage(ExistingContainer):
    """A bucket of Google Cloud Storage. Whoever makes it sets its versioning and retention."""

    also_called = ("gcp", "google", "gs")

    driver: ClassVar[str] = "gcs"
    key_in_secret: ClassVar[str] = "GCS_KEY_DATA"
    secrets: ClassVar[Mapping[str, SecretRule]] = {
        "gcsKeyData": SecretRule(
            description="Key file of the service account that may use the bucket",
            shape=Shape(
                allowed="the JSON of a service account's key: an object with type "
                "service_account, client_email and private_key",
                check=_key_data,
            ),
            file="key.json",
        )
    }

    kind: Literal["gcs"] = "gcs"
    bucket: Annotated[str, _BUCKET]
    """Name of a bucket that exists."""
    root_directory: Annotated[str, ROOT_DIRECTORY] = ""
    """Prefix inside the bucket under which the registry keeps its files."""
    chunk_size: Annotated[str, _CHUNK_SIZE] | None = None
    """Bytes per part of an upload from the registry; the registry's own default when unset."""
    workload_identity: bool = False
    """Let the registry's pods authenticate by their ServiceAccount instead of a key."""
    service_account: Annotated[str, OBJECT_NAME] | None = None
    """Name of that ServiceAccount in Harbor's namespace, which must exist with its rights."""

    @model_validator(mode="after")
    def _has_one_identity(self) -> Self:
        if self.workload_identity and self.service_account is None:
            refuse(
                "required with workloadIdentity",
                at=("serviceAccount",),
                example="<service-account>",
            )
        if self.service_account is not None and not self.workload_identity:
            refuse("only with workloadIdentity true", at=("serviceAccount",), example=REMOVE)
        if self.redirect and self.workload_identity:
            # The driver gives ErrUnsupportedMethod, and the registry serves the blob after all.
            refuse(
                "false with workloadIdentity: redirects are signed with a key",
                at=("redirect",),
                example="false",
            )
        return self

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        return () if self.workload_identity else super().needed_secrets

    @property
    def blob_location(self) -> BlobLocation:
        root = self.root_directory.strip("/")
        return {"kind": self.kind, "bucket": self.bucket, "rootDirectory": root}

    @property
    def bucket_name(self) -> str:
        return self.bucket

    @property
    def endpoint_url(self) -> str:
        # Uploads go to www.googleapis.com and tokens come from oauth2.googleapis.com: outside and
        # at port 443 like this one.
        return "https://storage.googleapis.com"

    @property
    def identity(self) -> str | None:
        return self.service_account

    @property
    def identity_servers(self) -> tuple[tuple[str, int], ...]:
        """GKE's metadata server, with Dataplane V2 and without.

        https://cloud.google.com/kubernetes-engine/docs/how-to/network-policy
        """
        if not self.workload_identity:
            return ()
        with_dataplane_v2, without = "169.254.169.254", "169.254.169.252"
        return (with_dataplane_v2, 80), (with_dataplane_v2, 8080), (without, 987), (without, 988)

    @property
    def driver_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"bucket": self.bucket}
        if self.root_directory:
            options["rootdirectory"] = self.root_directory
        if self.chunk_size is not None:
            options["chunksize"] = self.chunk_size
        if self.workload_identity:
            options["useWorkloadIdentity"] = True
        return options
