"""Base classes of the kinds of storage: any kind, and a bucket that speaks S3. Pure."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from components.kubernetes.naming import SEAM_NAMESPACE
from components.settings.schema.buckets import (
    BUCKET_NAME,
    LONGEST_PREFIX,
    REGION,
    Versioning,
    written_unquoted,
)
from components.settings.schema.own_folder import OWN_FOLDER
from components.settings.schema.rules import (
    DNS_LABEL,
    REMOVE,
    SettingRule,
    length_problem,
    matching,
    refuse,
    whole_number,
)
from components.settings.schema.secret_rules import AsksForSecrets

_MIB = 1024**2
# S3 takes parts of 5 MiB to 5 GiB. Text, because Helm would write the number as 5.24288e+06.
_PART_SIZE = SettingRule(
    allowed="a number of bytes, digits only, from 5242880 (5 MiB) to 5368709120 (5 GiB)",
    example="10485760",
    check=lambda digits: (
        None
        if matching(r"[1-9][0-9]{0,18}")(digits) is None and 5 * _MIB <= int(digits) <= 5120 * _MIB
        else ""
    ),
)
_CONCURRENCY = SettingRule(
    allowed="a number from 1 to 1000, digits only",
    example="10",
    check=matching(r"[1-9][0-9]{0,2}|1000"),
)
PartSize = Annotated[str, _PART_SIZE]
Concurrency = Annotated[str, _CONCURRENCY]


_PREFIX = matching(r"(?!.*\.\.)[A-Za-z0-9._/-]*")


def _root_directory(prefix: str) -> str | None:
    """Images below OWN_FOLDER would count as this program's own objects, which a deletion of the
    bucket removes without asking. A store may read // and /./ as /, so such parts do not count."""
    if OWN_FOLDER in prefix.split("/"):
        return f"{OWN_FOLDER} is the folder of this program's own objects, which go with the bucket"
    return length_problem(prefix, LONGEST_PREFIX) or _PREFIX(prefix)


ROOT_DIRECTORY = SettingRule(
    allowed="a prefix of letters, digits, '.', '_', '-' and '/', without '..'",
    example="harbor",
    check=written_unquoted(_root_directory),
)


MOVED_TO = SettingRule(
    allowed="the name of the location to which the blobs were moved, as a refused change tells it",
    example="<location>",
)

BlobLocation = dict[str, str]
"""Where blobs are: config key below `storage` → value, "" where it is not set. Equal locations
hold the same blobs."""


def location_name(blob_location: BlobLocation) -> str:
    """A location as one text, e.g. hetzner/fsn1/omantel-harbor/images."""
    return "/".join(value for value in blob_location.values() if value)


class StorageKind(AsksForSecrets):
    """What the program asks every kind of storage."""

    is_remote: ClassVar[bool] = True
    """Whether blobs are kept outside the cluster, on a host that pods must reach."""
    has_seam: ClassVar[bool] = False
    """Whether the store speaks S3, so that the estate's seam can announce the bucket to others."""
    most_bytes: ClassVar[int | None] = None
    """What the vendor allows in a bucket; None where no limit is known
    (docs/reference/bucket-limits.md)."""
    most_objects: ClassVar[int | None] = None
    """The same of objects, old versions included."""
    provider: ClassVar[str | None] = None
    """Pulumi's package besides kubernetes whose default provider the stack's file switches off."""
    sample: ClassVar[Mapping[str, str]] = {}
    """Values that are accepted, of the required keys besides those that a stack's name gives."""

    moved_to: Annotated[str, MOVED_TO] | None = None
    """Name of this section's location, once blobs were moved to it from another one."""

    @property
    @abstractmethod
    def blob_location(self) -> BlobLocation:
        """Where blobs are; the first key is `kind`."""

    @property
    def endpoint_url(self) -> str | None:
        """URL of the vendor's API; None without one."""
        return None

    @model_validator(mode="after")
    def _moved_to_where_it_is(self) -> Self:
        # The setting consents to one move. It names the location moved to, so that it cannot stay
        # in the file and consent to the next move too.
        here = location_name(self.blob_location)
        if self.moved_to not in (None, here):
            refuse(
                f"the location of this section, {here}, and only after a move",
                at=("movedTo",),
                example=REMOVE,
            )
        return self

    @property
    def bucket_name(self) -> str | None:
        """Name of the bucket or container; None without one."""
        return None

    @property
    def has_credentials(self) -> bool:
        """Whether the registry reads credentials of the store from a Secret."""
        return bool(self.needed_secrets)

    @property
    def redirects(self) -> bool:
        """Whether the registry redirects clients to the store for blobs."""
        return False

    @property
    def identity_servers(self) -> tuple[tuple[str, int], ...]:
        """Addresses and ports on the node where pods get their identity, where it replaces a
        key."""
        return ()

    @property
    def mounts_on_one_node(self) -> bool:
        """Whether blobs lie on a volume that only pods of one node can use."""
        return False


# Amazon S3 User Guide, "Using cost allocation S3 bucket tags". The program adds tags of its own.
_MOST_TAGS = 40
_TAG = re.compile(r"[\w +=.:/@-]*")


def _tags(tags: dict[str, str]) -> str | None:
    if len(tags) > _MOST_TAGS:
        return f"{len(tags)} tags"
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            return "keys that begin with aws: are the vendor's"
        if not 1 <= len(key) <= 128 or not _TAG.fullmatch(key):
            return f"the key {key[:40]!r}"
        if len(value) > 256 or not _TAG.fullmatch(value):
            return f"the value of {key}"
    return None


class BucketSettings(StorageKind):
    """Settings of all kinds that speak S3."""

    has_seam: ClassVar[bool] = True

    region: Annotated[str, REGION]
    """The region that requests are signed for."""
    bucket: Annotated[str, BUCKET_NAME]
    """Name of the Sovereign's bucket. Such names are unique across all customers of a vendor."""
    adopt: bool = False
    """Use a bucket that already exists in this account instead of refusing it: adopt it, or, if it
    belongs to another stack, share it under a rootDirectory of its own."""
    versioning: Versioning = Versioning()
    """Versions of objects in the bucket."""
    abort_incomplete_upload_days: Annotated[int, whole_number(1, 365, example=7)] = 7
    """Days after which parts of unfinished uploads are removed; Harbor never does it itself."""
    tags: Annotated[
        dict[str, str],
        SettingRule(
            allowed=f"an object of at most {_MOST_TAGS} tags: keys of 1 to 128 and values of up to "
            "256 letters, digits, spaces and + - = . _ : / @",
            example="<value>",
            check=_tags,
        ),
    ] = Field(default_factory=dict)
    """Tags of the bucket, where the vendor supports them."""
    redirect: bool = False
    """Redirect clients to the S3 host for blobs. Otherwise clients only talk to the registry."""
    chunk_size: PartSize | None = None
    """Bytes per part of an upload from the registry; the registry's own default when unset."""
    multipart_copy_chunk_size: PartSize | None = None
    """Bytes per part when the registry copies a finished upload to its final place."""
    multipart_copy_threshold_size: PartSize | None = None
    """Size in bytes above which the registry copies an upload in parts."""
    multipart_copy_max_concurrency: Concurrency | None = None
    """How many parts the registry copies at a time."""
    seam_namespace: Annotated[str, replace(DNS_LABEL, example=SEAM_NAMESPACE)] = SEAM_NAMESPACE
    """Namespace of the Secret `object-storage`, by which other programs find the bucket. After a
    change, programs that read the Secret in the old namespace no longer have it."""
    root_directory: Annotated[str, ROOT_DIRECTORY] = ""
    """Prefix inside the bucket under which the registry keeps its files."""

    @property
    def blob_location(self) -> BlobLocation:
        keys = ("kind", "region", "bucket")
        # To the registry /images/ and images are the same prefix.
        root = {"rootDirectory": self.root_directory.strip("/")}
        return {key: str(getattr(self, key)) for key in keys} | root

    @property
    def redirects(self) -> bool:
        return self.redirect

    @property
    def bucket_name(self) -> str:
        return self.bucket

    @property
    def is_path_style(self) -> bool:
        """https://host/bucket rather than https://bucket.host."""
        return True

    @property
    def driver_options(self) -> dict[str, str]:
        """Sizes and limits by the names of the registry's s3 driver; only those that are set."""
        options = {
            "chunksize": self.chunk_size,
            "multipartcopychunksize": self.multipart_copy_chunk_size,
            "multipartcopythresholdsize": self.multipart_copy_threshold_size,
            "multipartcopymaxconcurrency": self.multipart_copy_max_concurrency,
        }
        return {key: value for key, value in options.items() if value is not None}

    @property
    def trusted_ca(self) -> str | None:
        """PEM of the authority that signed the endpoint's certificate; None for a public
        authority."""
        return None
