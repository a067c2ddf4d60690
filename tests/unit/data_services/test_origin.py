"""What the database is made of: nothing, or a backup."""

from __future__ import annotations

from typing import Any

import pytest

from components.adopted import LiveDatabase
from components.data_services.origin import SERVER_ANNOTATION, Origin, origin_of, server_of
from components.data_services.postgres import CLUSTER
from tests.support import builders
from tests.support.builders import BACKUP, Build, settings
from tests.support.mocks import (
    ARCHIVE_PROOF,
    DATABASE_RESTORE,
    POSTGRES_CLUSTER,
    SCHEDULED_BACKUP,
    UNSEALED,
    Engine,
    Registered,
)

NOTHING = LiveDatabase(server=None)
FIRST = LiveDatabase(server="harbor-pg")
MOMENT = "2026-11-25T03:00:00Z"


def origin(live: LiveDatabase | None, **restore: Any) -> Origin:
    return origin_of(settings(backup=BACKUP, database={"restore": restore}), live)


RESTORED = origin(None).server


def test_a_restored_database_archives_under_another_name() -> None:
    assert RESTORED.startswith("harbor-pg-")
    assert len(RESTORED) == len("harbor-pg-12345678")
    assert origin(None).server == RESTORED, "the same for the same restore"
    others = [
        origin(None, targetTime=MOMENT).server,
        origin(None, server=RESTORED).server,
        origin(None, attempt=2).server,
        origin(None, **{"from": {**BACKUP["destination"], "prefix": "old"}}).server,
    ]
    assert len({RESTORED, *others}) == 5
    assert origin(None, replace=True).server == RESTORED, "the consent makes no other restore"


@pytest.mark.parametrize(
    ("live", "begins"),
    [
        (None, False),
        (NOTHING, True),
        (FIRST, True),
        (LiveDatabase(server="harbor-pg-0ther"), True),
        (LiveDatabase(server=RESTORED), False),
    ],
    ids=["nobody looked", "nothing lives", "the first one", "of another restore", "restored"],
)
def test_a_restore_begins_once(live: LiveDatabase | None, begins: bool) -> None:
    assert origin(live).begins is begins


@pytest.mark.parametrize(
    ("live", "server"),
    [(None, "harbor-pg"), (NOTHING, "harbor-pg"), (LiveDatabase(server=RESTORED), RESTORED)],
)
def test_without_the_section_a_database_archives_on_as_it_does(
    live: LiveDatabase | None, server: str
) -> None:
    is_new = live == NOTHING
    assert origin_of(settings(backup=BACKUP), live) == Origin(server=server, is_new=is_new)


@pytest.mark.parametrize(
    ("cluster", "server"),
    [
        (None, None),
        ({"metadata": {}}, "harbor-pg"),
        ({"metadata": {"annotations": {SERVER_ANNOTATION: RESTORED}}}, RESTORED),
    ],
)
def test_a_cluster_says_as_what_it_archives(cluster: Any, server: str | None) -> None:
    assert server_of(cluster) == server


# --- What is registered ------------------------------------------------------------------------


def cluster_of(
    engine: Engine, build: Build, live: LiveDatabase | None = None, **sections: Any
) -> Registered:
    build(builders.own_database, live, **{"backup": BACKUP, **sections})
    return engine.one(POSTGRES_CLUSTER)


def restored(**restore: Any) -> dict[str, Any]:
    return {"database": {"restore": restore}}


def test_a_database_without_backups_has_no_plugin(engine: Engine, build: Build) -> None:
    cluster = cluster_of(engine, build, backup=None)
    assert "plugins" not in cluster["spec"]
    assert engine.all(SCHEDULED_BACKUP) == []


def test_a_database_archives_once_its_store_is_there(engine: Engine, build: Build) -> None:
    cluster = cluster_of(engine, build)
    assert cluster["spec"]["plugins"][0]["parameters"] == {
        "barmanObjectName": "harbor-pg",
        "serverName": "harbor-pg",
    }
    assert cluster["spec"]["bootstrap"]["initdb"]["owner"] == "harbor"
    assert SERVER_ANNOTATION not in cluster["metadata"]["annotations"]
    assert "ObjectStore backup-store" in {
        f"{one.typ.rpartition(':')[2]} {one.name}"
        for one in engine.resources
        if one.urn in cluster.dependencies
    }
    scheduled = engine.one(SCHEDULED_BACKUP)
    assert scheduled["spec"]["cluster"] == {"name": CLUSTER}
    assert cluster.urn in scheduled.dependencies


def test_a_restored_database_is_made_from_the_backup(engine: Engine, build: Build) -> None:
    cluster = cluster_of(engine, build, NOTHING, **restored(targetTime=MOMENT))
    server = cluster["metadata"]["annotations"][SERVER_ANNOTATION]
    spec = cluster["spec"]
    assert list(spec["bootstrap"]) == ["recovery"]
    recovery = spec["bootstrap"]["recovery"]
    assert recovery["recoveryTarget"] == {"targetTime": "2026-11-25 03:00:00+00:00"}
    assert (recovery["database"], recovery["owner"]) == ("registry", "harbor")
    # The operator sets this password at the end: that of the backup is nobody's any more.
    assert recovery["secret"] == {"name": "harbor-pg-credentials"}
    (source,) = spec["externalClusters"]
    assert source["name"] == recovery["source"]
    assert source["plugin"]["parameters"] == {
        "barmanObjectName": "harbor-pg",
        "serverName": "harbor-pg",
    }
    # Never into the folder that it was restored from.
    assert spec["plugins"][0]["parameters"]["serverName"] == server != "harbor-pg"


def test_it_is_restored_to_the_last_moment_unless_told_otherwise(
    engine: Engine, build: Build
) -> None:
    recovery = cluster_of(engine, build, NOTHING, **restored())["spec"]["bootstrap"]["recovery"]
    assert "recoveryTarget" not in recovery


def test_the_cluster_waits_until_there_is_room(engine: Engine, build: Build) -> None:
    cluster = cluster_of(engine, build, FIRST, **restored(replace=True))
    room, proof = engine.one(DATABASE_RESTORE), engine.one(ARCHIVE_PROOF)
    assert proof.urn in room.dependencies, "nothing is deleted before the backup was seen"
    assert proof["isNew"] is True
    assert proof["source"]["server"] == "harbor-pg"
    assert proof["destination"]["bucket"] == "omantel-backup"
    assert room["replaces"] is True
    assert room["server"] == cluster["metadata"]["annotations"][SERVER_ANNOTATION]
    assert room.urn in cluster.dependencies
    # The engine replaces nothing that it protects.
    assert not cluster.protect


@pytest.mark.parametrize(
    "live",
    [None, NOTHING, LiveDatabase(server=RESTORED)],
    ids=["offline", "nothing lives", "restored"],
)
def test_a_section_that_was_left_in_place_keeps_the_protection(
    live: LiveDatabase | None, engine: Engine, build: Build
) -> None:
    assert cluster_of(engine, build, live, **restored()).protect


def test_harbor_starts_anew_on_a_restored_database(engine: Engine, build: Build) -> None:
    database = build(builders.own_database, NOTHING, backup=BACKUP, **restored())
    of_password = engine.one(UNSEALED, "database-credentials-unsealed")["revision"]
    # A pod's annotation has the first 8 characters.
    assert engine.resolve(database.revision).value[:8] != of_password[:8]
    assert database.server == RESTORED


def test_harbor_does_not_start_anew_for_backups(engine: Engine, build: Build) -> None:
    database = build(builders.own_database, FIRST, backup=BACKUP)
    of_password = engine.one(UNSEALED, "database-credentials-unsealed")["revision"]
    assert engine.resolve(database.revision).value == of_password
    assert database.server == "harbor-pg"


def test_a_restore_needs_no_backups(engine: Engine, build: Build) -> None:
    section = restored(**{"from": BACKUP["destination"]})
    cluster = cluster_of(engine, build, NOTHING, backup=None, **section)
    assert "plugins" not in cluster["spec"]
    (source,) = cluster["spec"]["externalClusters"]
    assert source["plugin"]["parameters"]["barmanObjectName"] == "harbor-pg-source"
