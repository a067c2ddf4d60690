"""The sections `backup` and `database.restore`: what is refused, and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from components.settings import hints
from components.settings.backup import DestinationSettings, days_of
from components.settings.database import DedicatedDatabase, RestoreSettings
from tests.support.raw_settings import (
    AWS,
    GOOD,
    SHARED_DATABASE,
    accepted,
    merged,
    read,
    set_path,
)

DESTINATION: dict[str, Any] = {
    "bucket": "omantel-backup",
    "endpoint": "https://s3.example.com",
    "region": "us-east-1",
}
LASTING: dict[str, Any] = {**GOOD["storage"], "versioning": {"noncurrentDays": 30}}
BASE: dict[str, Any] = {"storage": LASTING, "backup": {"destination": DESTINATION}}


def refused(path: str, value: Any, **sections: Any) -> list[tuple[str, str, str]]:
    """Key, reason and command of each refusal of a stack with backups, with one value changed."""
    reading = read(merged(path, value, {**BASE, **sections}))
    return [(each.key, each.allowed, each.fix) for each in reading.refusals]


def remove(key: str) -> str:
    option = f"--path '{key}'" if "." in key else key
    return f"pulumi config rm {option} -s omantel"


KEPT: list[tuple[str, Any]] = [
    ("backup.retention", "2w"),
    ("backup.retention", "4w"),
    ("backup.schedule", "0 30 3 * * 0"),
    ("backup.schedule", "30 4 * * MON-FRI"),
    ("backup.target", "preferStandby"),
    ("backup.create", False),
    ("backup.compression", {"wal": "zstd", "data": "none"}),
    ("backup.destination.prefix", "harbor/pg"),
    ("backup.destination.versioning", {"enabled": False}),
    ("backup.velero", {"enabled": False}),
    ("backup.velero", {"namespace": "backups", "ttl": "1m", "storageLocation": "eu"}),
    ("database.restore", {}),
    ("database.restore", {"server": "harbor-pg-1a2b3c4d", "targetTime": "2026-11-25T03:00:00Z"}),
    ("database.restore", {"targetTime": "2026-11-25 03:00:00+02:00", "replace": True}),
    ("database.restore", {"from": {**DESTINATION, "bucket": "old-backup"}, "attempt": 3}),
    ("registry.schedules.garbageCollection.schedule", "none"),
    ("registry.schedules.garbageCollection.schedule", "0 3 * * *"),
    ("registry.schedules.garbageCollection.schedule", "0 1 * * *"),
    ("registry.enabled", False),
    ("storage", {**GOOD["storage"], "versioning": {"enabled": False}}),
    ("storage", {"kind": "filesystem", "size": "50Gi"}),
]


@pytest.mark.parametrize(("path", "value"), KEPT, ids=str)
def test_what_is_accepted(path: str, value: Any) -> None:
    accepted(path, value, BASE)


REFUSED: list[tuple[str, Any, str, str, str]] = [
    # Path, value; then key, words and command of the refusal.
    *(
        ("backup.schedule", text, "backup.schedule", words, "'0 2 * * *'")
        for text, words in {
            "none": "leave the section out",
            "@daily": "the operator takes no descriptors: write daily",
            "* * *": "five fields",
            "30 0 2 * * *": "are 0 in the operator, not 30",
            "0 2 31 2 *": "a date that never comes",
            "every 5h": "does not divide a day",
            "CRON_TZ=Europe/Berlin 0 2 * * *": "without a time zone",
            "whenever": "five fields",
        }.items()
    ),
    *(
        ("backup.retention", text, "backup.retention", "a number of days", meant)
        for text, meant in {
            "30 days": "30d",
            "30D": "30d",
            "4 weeks": "4w",
            "720h0m0s": "30d",
            "1y": "365d",
            "30": "30d",
            "0d": "30d",
            "forever": "30d",
        }.items()
    ),
    ("backup.retention", "4000d", "backup.retention", "more than 3650 days", "30d"),
    ("backup.velero.ttl", "720h", "backup.velero.ttl", "a number of days", "30d"),
    (
        "backup.destination.bucket",
        "omantel-harbor",
        "backup.destination.bucket",
        "another name than omantel-harbor, the bucket of the images, at any endpoint and under any",
        "omantel-backup",
    ),
    (
        "backup.destination.endpoint",
        "https://omantel-harbor.s3.example.com",
        "backup.destination.endpoint",
        "does not begin with omantel-harbor",
        "https://s3.example.com",
    ),
    (
        "backup.destination.endpoint",
        "https://omantel-backup.s3.example.com",
        "backup.destination.endpoint",
        "without the bucket",
        "https://s3.example.com",
    ),
    (
        "backup.destination.endpoint",
        "http://s3.example.com",
        "backup.destination.endpoint",
        "https outside the sandbox",
        "https://s3.example.com",
    ),
    (
        "backup.destination.prefix",
        "/pg/",
        "backup.destination.prefix",
        "without a slash at its beginning",
        "pg",
    ),
    (
        "backup.destination.prefix",
        ".sovereign-harbor/pg",
        "backup.destination.prefix",
        "this program's own objects",
        "harbor",
    ),
    (
        "storage",
        GOOD["storage"],
        "storage.versioning.noncurrentDays",
        "at least 30, as backup.retention is 30d",
        "30",
    ),
    ("backup.retention", "2m", "storage.versioning.noncurrentDays", "at least 62", "62"),
    *(
        (
            "registry.schedules.garbageCollection.schedule",
            text,
            "registry.schedules.garbageCollection.schedule",
            "not within 1 h of backup.schedule",
            meant,
        )
        for text, meant in {
            "0 2 * * *": "'0 0 * * *'",
            "30 1 * * 0": "'0 0 * * 0'",
            "59 2 * * *": "'0 0 * * *'",
            "hourly": "'0 0 * * *'",
        }.items()
    ),
    ("backup.schedule", "hourly", "backup.schedule", "leaves time for garbage", "'0 2 * * *'"),
    (
        "backup.schedule",
        "every 6h",
        "registry.schedules.garbageCollection.schedule",
        "not within 1 h",
        "'0 1 * * 0'",
    ),
    ("database.restore.targetTime", "yesterday", "database.restore.targetTime", "a moment", ""),
    (
        "database.restore.targetTime",
        "2026-11-25T03:00:00",
        "database.restore.targetTime",
        "without a time zone",
        "2026-11-25T03:00:00Z",
    ),
    (
        "database.restore.targetTime",
        "2026-02-30T03:00:00Z",
        "database.restore.targetTime",
        "no",
        "",
    ),
    ("database.restore.server", "Harbor_PG", "database.restore.server", "databaseServerName", ""),
    (
        "database.restore.from",
        {**DESTINATION, "endpoint": "http://s3.example.com"},
        "database.restore.from.endpoint",
        "https outside the sandbox",
        "https://s3.example.com",
    ),
]


@pytest.mark.parametrize(("path", "value", "key", "words", "meant"), REFUSED, ids=str)
def test_what_is_refused_and_how_it_is_mended(
    path: str, value: Any, key: str, words: str, meant: str
) -> None:
    (refusal,) = refused(path, value)
    assert refusal[0] == key
    assert words in refusal[1]
    if meant:
        assert refusal[2] == f"pulumi config set --path '{key}' {meant} -s omantel"


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2026-11-25T03:00:00Z", "2026-11-25 03:00:00+00:00"),
        ("2026-11-25 05:00+02:00", "2026-11-25 03:00:00+00:00"),
        ("2026-11-24T22:00:00-05:00", "2026-11-25 03:00:00+00:00"),
        (None, None),
    ],
)
def test_a_moment_is_one_however_it_is_written(given: str | None, moment: str | None) -> None:
    restore = RestoreSettings(target_time=given)
    assert restore.moment == moment
    place = DestinationSettings.model_validate(DESTINATION)
    same = RestoreSettings(target_time=moment)
    assert restore.server_after(place) == same.server_after(place)


def test_a_section_without_a_destination_asks_for_one() -> None:
    (refusal,) = refused("backup", {"retention": "4w"})
    assert refusal[0] == "backup.destination"
    assert set_path("backup.destination.bucket", "omantel-backup") in refusal[2]


@pytest.mark.parametrize("storage", [AWS, {"kind": "gcs", "bucket": "omantel-harbor"}], ids=str)
def test_the_images_bucket_of_any_kind_takes_no_backups(storage: dict[str, Any]) -> None:
    lasting = {"versioning": {"noncurrentDays": 30}} if storage["kind"] == "aws" else {}
    refusals = refused(
        "backup.destination.bucket", "omantel-harbor", storage={**storage, **lasting}
    )
    assert [each[0] for each in refusals] == ["backup.destination.bucket"]


def test_a_shared_database_is_backed_up_by_whoever_runs_it() -> None:
    (refusal,) = refused("database", SHARED_DATABASE)
    assert refusal[0] == "backup"
    assert "docs/howto/backup.md" in refusal[1]
    assert refusal[2] == remove("backup")


def test_a_restore_without_backups_says_from_where() -> None:
    (refusal,) = [(each.key, each.fix) for each in read(merged("database.restore", {})).refusals]
    assert refusal[0] == "database.restore.from"
    assert set_path("database.restore.from.bucket", "omantel-backup") in refusal[1]


def test_a_database_is_adopted_or_restored() -> None:
    (refusal,) = refused("database", {"adopt": True, "restore": {}})
    assert refusal[0] == "database.adopt"
    assert refusal[2] == remove("database.adopt")


def test_other_words_are_understood() -> None:
    answers = {
        "retentionPolicy": "backup.retention",
        "destinationPath": "backup.destination",
        "readOnlyWindow": "registry.system.readOnly",
    }
    for theirs, ours in answers.items():
        (refusal,) = refused(f"backup.{theirs}", "30d")
        assert ours in refusal[1]


@pytest.mark.parametrize(
    ("sections", "needed"),
    [
        ({}, ()),
        ({"backup": {"destination": DESTINATION}}, ("backupAccessKey", "backupSecretKey")),
    ],
)
def test_backups_need_a_key_pair_of_their_own(
    sections: dict[str, Any], needed: tuple[str, ...]
) -> None:
    settings = accepted("storage", LASTING, sections)
    assert (settings.backup.needed_secrets if settings.backup else ()) == needed


def test_a_restore_without_backups_needs_the_key_pair_too() -> None:
    settings = accepted("database.restore", {"from": DESTINATION})
    assert isinstance(settings.database, DedicatedDatabase)
    assert settings.database.needed_secrets == ("backupAccessKey", "backupSecretKey")


@pytest.mark.parametrize(("period", "days"), [("30d", 30), ("4w", 28), ("2m", 62)])
def test_a_period_in_days(period: str, days: int) -> None:
    assert days_of(period) == days


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({}, ["nothing backs up this Sovereign's database"]),
        ({"database": SHARED_DATABASE}, ["whoever runs pg-rw.databases backs up"]),
        (BASE, []),
        (
            {**BASE, "storage": {**GOOD["storage"], "versioning": {"enabled": False}}},
            ["blobs that garbage collection deletes are gone at once"],
        ),
    ],
    ids=["none", "shared", "backed up", "without versions"],
)
def test_a_preview_says_what_could_not_be_brought_back(
    sections: dict[str, Any], words: list[str]
) -> None:
    settings = accepted("fqdn", "omantel.omani.works", sections)
    said = list(hints.of_backups(settings))
    assert len(said) == len(words)
    assert all(some in line for some, line in zip(words, said, strict=True))


def test_a_backup_without_a_destination_names_the_keys_that_ask_for_it_and_both_ways_out() -> None:
    (refusal,) = read({**GOOD, "backup": {"retention": "30d", "schedule": "daily"}}).refusals
    assert refusal.key == "backup.destination"
    assert "required by backup.retention, backup.schedule; without it leave backup out" in (
        refusal.allowed
    )
    assert set_path("backup.destination.bucket", "omantel-backup") in refusal.fix


def test_an_empty_section_of_backups_names_no_other_key() -> None:
    (refusal,) = read({**GOOD, "backup": {}}).refusals
    assert "required by" not in refusal.allowed
