"""The bucket of the backups, its credentials and the objects of the operators."""

from __future__ import annotations

from typing import Any

import pytest

from components.backup.component import Backup
from components.kubernetes.naming import VELERO_EXCLUDES
from tests.support import builders
from tests.support.builders import BACKUP, Build
from tests.support.mocks import (
    BUCKET,
    KEY_PROOF,
    OBJECT_STORE,
    SEALED_SECRET,
    UNSEALED,
    VELERO_SCHEDULE,
    Engine,
)


def elsewhere(**destination: Any) -> dict[str, Any]:
    """A restore from a bucket of its own."""
    source = {**BACKUP["destination"], "bucket": "old-backup", **destination}
    return {"database": {"restore": {"from": source}}}


def made(engine: Engine, build: Build, **sections: Any) -> Backup:
    backup = build(builders.backup, **sections)
    assert backup is not None
    return backup


def test_without_the_section_there_is_nothing(engine: Engine, build: Build) -> None:
    assert build(builders.backup, backup=None) is None
    assert [name for name in engine.names if "providers" not in name] == []


def test_the_bucket_is_made_and_proven_before_anything_is_sealed(
    engine: Engine, build: Build
) -> None:
    backup = made(engine, build)
    bucket = engine.one(BUCKET)
    assert (bucket["bucket"], bucket["endpoint"]) == ("omantel-backup", "https://s3.example.com")
    assert bucket["versioning"] is True
    assert bucket["owner"] == "sovereign-harbor/omantel (backups)"
    assert bucket.protect
    assert bucket.retain
    assert bucket.urn in engine.one(KEY_PROOF).dependencies
    assert engine.one(UNSEALED).urn in engine.one(OBJECT_STORE).dependencies
    assert backup.store is not None
    assert backup.source is None
    assert engine.resolve(backup.store).value == "harbor-pg"


def test_the_key_pair_is_that_of_the_backups(engine: Engine, build: Build) -> None:
    made(engine, build)
    assert engine.sealed("harbor-backup-credentials") == {
        "access-key": builders.SECRETS["backupAccessKey"],
        "secret-key": builders.SECRETS["backupSecretKey"],
        "region": "us-east-1",
    }
    for resource in (engine.one(BUCKET), engine.one(KEY_PROOF)):
        assert resource["setting"] == "backup.destination"


def test_a_bucket_that_is_there_is_only_proven(engine: Engine, build: Build) -> None:
    made(engine, build, backup={**BACKUP, "create": False})
    assert engine.all(BUCKET) == []
    assert engine.one(KEY_PROOF)["bucket"] == "omantel-backup"


def test_velero_backs_up_the_namespace_from_its_own(engine: Engine, build: Build) -> None:
    made(engine, build, backup={**BACKUP, "velero": {"namespace": "backups"}})
    schedule = engine.one(VELERO_SCHEDULE)
    assert schedule["metadata"]["namespace"] == "backups"
    assert schedule["spec"]["template"]["includedNamespaces"] == ["harbor"]


def test_without_velero_there_is_no_schedule(engine: Engine, build: Build) -> None:
    made(engine, build, backup={**BACKUP, "velero": {"enabled": False}})
    assert engine.all(VELERO_SCHEDULE) == []


def test_a_restore_from_the_destination_needs_no_second_store(engine: Engine, build: Build) -> None:
    backup = made(engine, build, database={"restore": {}})
    assert backup.source is None
    assert engine.one(OBJECT_STORE)["metadata"]["name"] == "harbor-pg"


@pytest.mark.parametrize("sections", [{}, {"backup": None}], ids=["backed up too", "alone"])
def test_a_restore_from_elsewhere_only_reads_there(
    sections: dict[str, Any], engine: Engine, build: Build
) -> None:
    backup = made(engine, build, **elsewhere(), **sections)
    assert backup.source is not None
    assert engine.resolve(backup.source).value == "harbor-pg-source"
    (store,) = (
        each for each in engine.all(OBJECT_STORE) if each["metadata"]["name"] == "harbor-pg-source"
    )
    assert store["spec"]["configuration"]["destinationPath"] == "s3://old-backup/"
    assert "retentionPolicy" not in store["spec"]
    assert [bucket["bucket"] for bucket in engine.all(BUCKET)] == (
        [] if "backup" in sections else ["omantel-backup"]
    )


def test_velero_leaves_out_what_is_sealed_and_takes_what_seals_it(
    engine: Engine, build: Build
) -> None:
    build(builders.backup, secret_labels=VELERO_EXCLUDES)
    sealed = engine.one(SEALED_SECRET)
    assert VELERO_EXCLUDES.items() <= sealed["spec"]["template"]["metadata"]["labels"].items()
    assert not VELERO_EXCLUDES.items() <= sealed["metadata"]["labels"].items()
