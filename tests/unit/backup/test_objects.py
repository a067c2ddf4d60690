"""What operators are told about backups, and what their CRDs would accept although it is wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.backup.objects import (
    PLUGIN,
    SECRET,
    SOURCE,
    archiver,
    external_cluster,
    scheduled_backup_spec,
    secret_data,
    store_spec,
    velero_spec,
)
from components.settings.backup import BackupSettings, DestinationSettings
from tests.support.builders import BACKUP

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def backup(**changes: Any) -> BackupSettings:
    return BackupSettings.model_validate({**BACKUP, **changes})


def destination(**changes: Any) -> DestinationSettings:
    return DestinationSettings.model_validate({**BACKUP["destination"], **changes})


@pytest.mark.parametrize(
    ("prefix", "path"), [("", "s3://omantel-backup/"), ("pg/one", "s3://omantel-backup/pg/one")]
)
def test_the_store_is_the_destination(prefix: str, path: str) -> None:
    configuration = store_spec(destination(prefix=prefix), SECRET)["configuration"]
    assert configuration["destinationPath"] == path
    assert configuration["endpointURL"] == "https://s3.example.com"
    # It is a parameter of the Cluster's plugin, and the CRD forbids it here.
    assert "serverName" not in configuration


def test_every_key_that_the_store_refers_to_is_in_its_secret() -> None:
    place = destination(caBundle=CA)
    data = secret_data(place, "access", "secret")
    configuration = store_spec(place, SECRET)["configuration"]
    references = [*configuration["s3Credentials"].values(), configuration["endpointCA"]]
    assert {each["name"] for each in references} == {SECRET}
    assert {each["key"] for each in references} == set(data)
    assert set(secret_data(destination(), "access", "secret")) == set(data) - {"ca.crt"}


def test_stores_based_on_ceph_take_what_is_sent() -> None:
    env = store_spec(destination(), SECRET)["instanceSidecarConfiguration"]["env"]
    assert {each["name"]: each["value"] for each in env} == {
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


@pytest.mark.parametrize("retention", ["30d", "4w", "1m"])
def test_a_store_deletes_what_is_older_than_the_retention(retention: str) -> None:
    settings = backup(retention=retention)
    spec = store_spec(settings.destination, SECRET, retention=settings.retention)
    assert re.fullmatch(r"[1-9][0-9]*[dwm]", spec["retentionPolicy"])


def test_nothing_is_deleted_in_a_store_that_is_only_read() -> None:
    spec = store_spec(destination(), SECRET)
    assert "retentionPolicy" not in spec
    assert not {"wal", "data"} & set(spec["configuration"])


@pytest.mark.parametrize(
    ("compression", "parts"),
    [
        ({}, {"wal": {"compression": "gzip"}, "data": {"compression": "gzip"}}),
        ({"wal": "zstd", "data": "none"}, {"wal": {"compression": "zstd"}}),
        ({"wal": "none", "data": "none"}, {}),
    ],
)
def test_compression(compression: dict[str, str], parts: dict[str, Any]) -> None:
    settings = backup(compression=compression)
    spec = store_spec(settings.destination, SECRET, compression=settings.compression)
    configuration = spec["configuration"]
    assert {key: configuration[key] for key in ("wal", "data") if key in configuration} == parts


@pytest.mark.parametrize(
    ("schedule", "six", "five"),
    [
        ("0 2 * * *", "0 0 2 * * *", "0 2 * * *"),
        ("0 30 3 * * 0", "0 30 3 * * 0", "30 3 * * 0"),
        ("daily", "0 0 0 * * *", "0 0 * * *"),
        ("every 6h", "0 0 */6 * * *", "0 */6 * * *"),
    ],
)
def test_each_operator_gets_as_many_fields_as_it_reads(schedule: str, six: str, five: str) -> None:
    settings = backup(schedule=schedule)
    spec = scheduled_backup_spec(settings, "harbor-pg")
    assert spec["schedule"] == six
    assert velero_spec(settings, "harbor")["schedule"] == five
    assert spec["method"] == "plugin"
    assert spec["pluginConfiguration"] == {"name": PLUGIN}
    assert spec["cluster"] == {"name": "harbor-pg"}
    assert spec["immediate"] is True


@pytest.mark.parametrize(
    ("target", "said"), [("primary", "primary"), ("preferStandby", "prefer-standby")]
)
def test_where_the_base_backup_is_read(target: str, said: str) -> None:
    assert scheduled_backup_spec(backup(target=target), "harbor-pg")["target"] == said


@pytest.mark.parametrize(
    ("velero", "schedule", "ttl"),
    [
        ({}, "0 2 * * *", "720h0m0s"),
        ({"schedule": "0 4 * * *", "ttl": "2w"}, "0 4 * * *", "336h0m0s"),
    ],
)
def test_velero_follows_the_backup_unless_told_otherwise(
    velero: dict[str, str], schedule: str, ttl: str
) -> None:
    spec = velero_spec(backup(velero=velero), "registry")
    assert (spec["schedule"], spec["template"]["ttl"]) == (schedule, ttl)
    assert spec["template"]["includedNamespaces"] == ["registry"]
    assert spec["template"]["snapshotVolumes"] is False


def test_the_database_archives_and_is_restored_by_the_same_plugin() -> None:
    assert archiver("harbor-pg", "harbor-pg-1") == {
        "name": PLUGIN,
        "isWALArchiver": True,
        "parameters": {"barmanObjectName": "harbor-pg", "serverName": "harbor-pg-1"},
    }
    assert external_cluster("harbor-pg", "harbor-pg") == {
        "name": SOURCE,
        "plugin": {
            "name": PLUGIN,
            "parameters": {"barmanObjectName": "harbor-pg", "serverName": "harbor-pg"},
        },
    }
