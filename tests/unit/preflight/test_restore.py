"""When a restore is refused before anything is touched."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from components.adopted import LiveDatabase
from components.data_services.origin import SERVER_ANNOTATION, origin_of
from components.preflight import restore
from tests.support.builders import BACKUP, Cluster, settings

PATH = "/apis/postgresql.cnpg.io/v1/namespaces/harbor/clusters/harbor-pg"
NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)
FIRST = LiveDatabase(server="harbor-pg")


def said(live: LiveDatabase, **section: Any) -> str:
    given = settings(backup=BACKUP, database={"restore": section})
    return "\n".join(restore.problems(live, given, "omantel", NOW))


def test_a_database_that_lives_is_not_restored_over() -> None:
    words = said(FIRST)
    assert "Cluster harbor-pg in namespace harbor lives (it archives as harbor-pg)" in words
    assert "pulumi config rm --path 'database.restore' -s omantel" in words
    assert "pulumi config set --path 'database.restore.replace' true -s omantel" in words
    assert "docs/runbooks/restore.md" in words


def restored(**section: Any) -> LiveDatabase:
    given = settings(backup=BACKUP, database={"restore": section})
    return LiveDatabase(server=origin_of(given, None).server)


@pytest.mark.parametrize(
    ("live", "section"),
    [
        (FIRST, {"replace": True}),
        (LiveDatabase(server=None), {}),
        (restored(), {}),
        (restored(), {"replace": True}),
        (restored(targetTime="2027-01-01T00:00:00Z"), {"targetTime": "2027-01-01T00:00:00Z"}),
    ],
    ids=["told to", "nothing lives", "left in place", "the consent left too", "long ago"],
)
def test_a_restore_goes_on(live: LiveDatabase, section: dict[str, Any]) -> None:
    assert said(live, **section) == ""


def test_another_restore_is_another_consent() -> None:
    assert "lives" in said(restored(), targetTime="2026-11-25T03:00:00Z")


@pytest.mark.parametrize("moment", ["2026-11-26T12:00:01Z", "2026-11-26T13:30:00+01:00"])
def test_a_moment_that_has_not_come_is_refused(moment: str) -> None:
    words = said(LiveDatabase(server=None), targetTime=moment)
    assert f"database.restore.targetTime = {moment} is in the future" in words
    assert "pulumi config rm --path 'database.restore.targetTime' -s omantel" in words


@pytest.mark.parametrize(
    ("objects", "sections", "server"),
    [
        ({}, {}, None),
        ({PATH: {"metadata": {}}}, {}, "harbor-pg"),
        ({PATH: {"metadata": {"annotations": {SERVER_ANNOTATION: "x"}}}}, {}, "x"),
        (
            {PATH: {"metadata": {}}},
            {
                "database": {
                    "mode": "shared",
                    "host": "pg",
                    "username": "harbor",
                    "secret": {"namespace": "pg", "name": "pg"},
                }
            },
            None,
        ),
    ],
    ids=["none", "first", "restored", "of somebody else"],
)
def test_the_database_that_lives_is_looked_at(
    objects: dict[str, Any], sections: dict[str, Any], server: str | None
) -> None:
    cluster: Any = Cluster(objects=objects)
    live = restore.live_database(cluster, settings(**sections))
    assert live == LiveDatabase(server=server)
