"""The section `backup`: where Harbor's database is backed up, and when. Pure.

Without the section nothing is backed up. With a destination it is complete.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import model_validator

from components.settings.registry import cron
from components.settings.schema.buckets import BUCKET_NAME, LONGEST_PREFIX, REGION, Versioning
from components.settings.schema.own_folder import OWN_FOLDER
from components.settings.schema.rules import (
    DNS_LABEL,
    ENDPOINT,
    OBJECT_NAME,
    PEM,
    Section,
    SettingRule,
    length_problem,
    matching,
    refuse,
)
from components.settings.schema.secret_rules import AsksForSecrets, SecretRule, characters

GAP: Final = dt.timedelta(hours=1)
"""No garbage collection begins from this long before a backup begins until this long after it."""

_DAYS: Final[Mapping[str, int]] = {"d": 1, "w": 7, "m": 31}
"""Days in barman's units; its month has 31 (barman/retention_policies.py)."""
_LONGEST: Final = 3650


def days_of(period: str) -> int:
    """Days in a period such as 30d, 4w or 1m."""
    return int(period[:-1]) * _DAYS[period[-1]]


def _period(text: str) -> str | None:
    if not re.fullmatch(r"[1-9][0-9]{0,4}[dwm]", text, re.ASCII):
        return ""
    return f"more than {_LONGEST} days" if days_of(text) > _LONGEST else None


def _periods(text: str) -> Iterator[str]:
    if match := re.fullmatch(r"(?i)0*([1-9][0-9]{0,4})\s*(d|w|m)[a-z]*", text.strip()):
        yield match[1] + match[2].lower()
    if match := re.fullmatch(r"(?i)([1-9][0-9]{0,2})\s*y[a-z]*", text.strip()):
        yield f"{int(match[1]) * 365}d"
    if match := re.fullmatch(r"([1-9][0-9]{0,6})h(0m0s)?", text.strip()):
        yield f"{-(-int(match[1]) // 24)}d"
    if text.isdecimal():
        yield f"{text}d"


PERIOD = SettingRule(
    allowed=f"a number of days, weeks or months, such as 30d, 4w or 1m, at most {_LONGEST} days",
    example="30d",
    check=_period,
    suggest=_periods,
)
Period = Annotated[str, PERIOD]


def _schedule(text: str) -> str | None:
    if text == cron.NEVER:
        return "a backup that is never made: leave the section out"
    reason = cron.problem(text)
    return reason and reason.replace("Harbor", "the operator")


SCHEDULE = SettingRule(
    allowed="hourly, daily, weekly, every 6h, or cron in UTC: five fields, or six with the seconds "
    "0 first",
    example="0 2 * * *",
    check=_schedule,
)
Schedule = Annotated[str, SCHEDULE]


def _prefix(text: str) -> str | None:
    if OWN_FOLDER in text.split("/"):
        return f"{OWN_FOLDER} is the folder of this program's own objects"
    if (reason := length_problem(text, LONGEST_PREFIX)) is not None:
        return reason
    return matching(r"(?!.*\.\.)(?!/)(?!.*//)([A-Za-z0-9._/-]*[A-Za-z0-9._-])?")(text)


class DestinationSettings(Section):
    """A bucket that speaks S3, in which barman keeps backups and the write-ahead log."""

    bucket: Annotated[str, replace(BUCKET_NAME, example="{stack}-backup")]
    """Name of the bucket. It is never the bucket of the images."""
    endpoint: Annotated[str, ENDPOINT]
    """URL of the S3 API; https outside the sandbox."""
    region: Annotated[str, REGION]
    """The region that requests are signed for."""
    prefix: Annotated[
        str,
        SettingRule(
            allowed="a prefix of letters, digits, '.', '_', '-' and '/', without '..' and without "
            "a slash at its beginning or end",
            example="harbor",
            check=_prefix,
            suggest=lambda text: [re.sub(r"/+", "/", text).strip("/")],
        ),
    ] = ""
    """Prefix inside the bucket, below which each database server has a folder."""
    ca_bundle: Annotated[str, PEM] | None = None
    """PEM of the authority that signed the endpoint's certificate, if it is not a public one."""
    path_style: bool = True
    """Whether the program's own requests use addresses https://host/bucket rather than
    https://bucket.host. barman chooses by itself."""

    @property
    def url(self) -> str:
        """The destination as barman names it: s3://BUCKET/PREFIX."""
        return f"s3://{self.bucket}/{self.prefix}"

    @model_validator(mode="after")
    def _host_has_no_bucket(self) -> Self:
        scheme, _, host = self.endpoint.partition("://")
        if host.startswith(f"{self.bucket}."):
            refuse(
                "without the bucket, which has a key of its own",
                at=("endpoint",),
                example=f"{scheme}://{host.removeprefix(f'{self.bucket}.')}",
            )
        return self


class BackupDestinationSettings(DestinationSettings):
    """The bucket to which the database is backed up."""

    versioning: Versioning = Versioning()
    """Versions of objects in a bucket that the program makes: what barman, or somebody with its
    keys, deletes stays for a while."""


class CompressionSettings(Section):
    """How backups are compressed on the database's pods."""

    wal: Literal["none", "bzip2", "gzip", "lz4", "snappy", "xz", "zstd"] = "gzip"
    """Compression of the write-ahead log."""
    data: Literal["none", "bzip2", "gzip", "lz4", "snappy"] = "gzip"
    """Compression of base backups."""


class VeleroSettings(Section):
    """A Schedule of Velero for the objects of Harbor's namespace, without volumes and without the
    Secrets that are sealed."""

    enabled: bool = True
    """Whether there is one."""
    namespace: Annotated[str, replace(DNS_LABEL, example="velero")] = "velero"
    """Velero's namespace."""
    schedule: Schedule | None = None
    """When; backup.schedule when unset."""
    ttl: Period | None = None
    """How long a backup stays; backup.retention when unset."""
    storage_location: Annotated[str, replace(OBJECT_NAME, example="default")] = "default"
    """Velero's BackupStorageLocation."""


class BackupSettings(AsksForSecrets):
    """Backups of Harbor's database, and of the objects in its namespace."""

    secrets: ClassVar[Mapping[str, SecretRule]] = {
        "backupAccessKey": SecretRule(
            description="Access key of the bucket of the backups",
            shape=characters(3, 128),
        ),
        "backupSecretKey": SecretRule(
            description="Secret key of the bucket of the backups",
            shape=characters(8, 256),
        ),
    }
    called_here: ClassVar[Mapping[str, str]] = {
        "retentionPolicy": "retention",
        "destinationPath": "destination",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "readOnlyWindow": "registry.system.readOnly makes Harbor read-only, see "
        "docs/howto/backup.md",
    }

    destination: BackupDestinationSettings
    """Where backups go: another bucket than that of the images."""
    create: bool = True
    """Make the bucket. When false it is there, and the program only proves that its keys work."""
    schedule: Schedule = "0 2 * * *"
    """When a base backup is made. The write-ahead log is archived all the time."""
    retention: Period = "30d"
    """How far back the database can be restored."""
    target: Literal["primary", "preferStandby"] = "primary"
    """Instance that the base backup is read from."""
    compression: CompressionSettings = CompressionSettings()
    """How backups are compressed."""
    velero: VeleroSettings = VeleroSettings()
    """Velero's Schedule."""

    @property
    def cron(self) -> str:
        """The operator's six fields, seconds first."""
        return cron.six_fields(self.schedule)

    @property
    def retention_days(self) -> int:
        return days_of(self.retention)

    @property
    def velero_cron(self) -> str:
        """Velero's five fields."""
        return cron.six_fields(self.velero.schedule or self.schedule).partition(" ")[2]

    @property
    def velero_ttl(self) -> str:
        """Velero's duration, as it writes it itself."""
        return f"{days_of(self.velero.ttl or self.retention) * 24}h0m0s"
