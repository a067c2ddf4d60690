"""Which upgrade of Harbor is refused in preview, and what is said of the others."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pulumi
import pytest

from components import harbor_lines, versions
from components.harbor.recovery import Record
from components.preflight import upgrade
from components.preflight.upgrade import Backups
from components.settings.model import Settings
from tests.support.builders import BACKUP, LASTING, Cluster, settings
from tests.support.project import ROOT
from tests.unit.preflight.test_fixed import SHARED_DATABASE

NOW = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
OLD, NEW = versions.HARBOR_CHART, versions.NEWEST_HARBOR_CHART


def record(version: str | None, *, status: str = "deployed", revision: int = 1) -> Record:
    return Record(
        path="",
        revision=revision,
        status=status,
        chart_version=version,
        external_url=None,
        has_values=True,
        made_here=True,
    )


def to(version: str, **harbor: Any) -> Settings:
    return settings(harbor={"chart": {"version": version}, **harbor})


def refusals(history: list[Record], version: str) -> list[str]:
    return list(upgrade.refusals(history, to(version), "omantel"))


def backup_refusals(
    version: str, backups: Backups, *, before: str = OLD, **harbor: Any
) -> list[str]:
    return list(
        upgrade.backup_refusals(
            [record(before)], to(version, **harbor), "omantel", backups=backups, now=NOW
        )
    )


# --- From which chart to which ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "after"),
    [
        ("1.18.3", "1.18.3"),
        ("1.18.3", "1.18.4"),
        ("1.18.3", "1.19.1"),
        ("1.17.4", "1.19.1"),
        ("1.16.0", "1.19.1"),
        ("1.15.0", "1.18.3"),
        ("1.19.1", "1.20.0"),  # nothing is known of it, and it is the next line
        (None, "1.18.3"),
    ],
)
def test_an_upgrade_that_harbor_supports_is_accepted(runs: str | None, after: str) -> None:
    assert refusals([record(runs)], after) == []
    assert refusals([], after) == []


@pytest.mark.parametrize(
    ("runs", "after"), [("1.19.1", "1.18.3"), ("1.18.4", "1.18.3"), ("1.20.0", "1.19.1")]
)
def test_a_way_down_is_refused_with_the_way_out(runs: str, after: str) -> None:
    history = [record("1.18.3", status="superseded"), record(runs, revision=2)]
    (words,) = refusals(history, after)
    assert f"revision 2, is of chart {runs}, this stack's is {after}" in words
    assert f"pulumi config set --path 'harbor.chart.version' {runs} -s omantel" in words
    assert upgrade.RUNBOOK in words


@pytest.mark.parametrize(
    ("runs", "after", "oldest", "first"),
    [
        ("1.15.2", "1.19.1", "2.12.0", "1.18.3"),
        ("1.18.3", "1.20.0", "2.15.0", "1.19.1"),
        ("1.15.2", "1.20.0", "2.15.0", "1.18.3"),
    ],
)
def test_an_upgrade_that_skips_too_much_goes_by_a_chart_between(
    runs: str, after: str, oldest: str, first: str
) -> None:
    (words,) = refusals([record(runs)], after)
    assert f"migrates the database of Harbor {oldest} or later only" in words
    assert f"pulumi config set --path 'harbor.chart.version' {first} -s omantel" in words


@pytest.mark.parametrize(("runs", "after"), [("1.14.3", "1.18.3"), ("1.9.6", "1.19.1")])
def test_a_release_older_than_all_tested_lines_take_is_brought_up_by_helm(
    runs: str, after: str
) -> None:
    (words,) = refusals([record(runs)], after)
    assert f"of chart {runs} (Harbor {harbor_lines.harbor_of(runs)})" in words
    assert "with helm first" in words
    assert "pulumi config" not in words


def test_the_chart_may_go_back_after_an_upgrade_that_failed_and_the_danger_is_said() -> None:
    history = [record("1.18.3"), record("1.19.1", status="failed", revision=2)]
    assert refusals(history, "1.18.3") == []
    assert "the database was migrated" in (upgrade.newer_attempt(history, to("1.18.3")) or "")
    assert upgrade.newer_attempt(history[:1], to("1.18.3")) is None


# --- With which backup --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "backups",
    [
        Backups(),  # no section `backup`
        Backups(is_shared=True),
        Backups(are_on=True, last=NOW - HOUR),
        Backups(are_on=True, last=NOW - 24 * HOUR),
        Backups(are_on=True, last=NOW + HOUR),  # the clocks differ
    ],
)
def test_an_upgrade_with_a_fresh_backup_or_without_backups_is_accepted(backups: Backups) -> None:
    assert backup_refusals(NEW, backups) == []


@pytest.mark.parametrize(
    ("last", "words"),
    [(None, "no backup of it has succeeded yet"), (25 * HOUR, "25 h old"), (72 * HOUR, "3 d old")],
)
def test_an_upgrade_waits_for_a_fresh_backup(last: dt.timedelta | None, words: str) -> None:
    backups = Backups(are_on=True, last=None if last is None else NOW - last)
    (refusal,) = backup_refusals(NEW, backups)
    assert words in refusal
    assert f"'harbor.acceptUpgradeWithoutBackup' {NEW} -s omantel" in refusal
    assert backup_refusals(NEW, backups, acceptUpgradeWithoutBackup=NEW) == []
    assert backup_refusals(NEW, backups, acceptUpgradeWithoutBackup=OLD) != [], "another version"
    assert backup_refusals(NEW, backups, before=NEW) == [], "no upgrade"


def test_the_printed_command_asks_the_operator_for_a_backup() -> None:
    manifest = json.loads(upgrade.take_a_backup("harbor").split("'")[1])
    assert (manifest["apiVersion"], manifest["kind"]) == ("postgresql.cnpg.io/v1", "Backup")
    assert manifest["spec"]["cluster"] == {"name": "harbor-pg"}
    assert upgrade.take_a_backup("harbor") in (ROOT / upgrade.RUNBOOK).read_text()


def backup(stopped: str | None, *, phase: str = "completed", cluster: str = "harbor-pg") -> Any:
    status = {"phase": phase, **({} if stopped is None else {"stoppedAt": stopped})}
    return {"spec": {"cluster": {"name": cluster}}, "status": status}


BASE = "/apis/postgresql.cnpg.io/v1/namespaces/registry"


@pytest.mark.parametrize(
    ("backups", "of_cluster", "hour"),
    [
        ([], None, None),
        ([backup("2026-11-26T09:00:00Z"), backup("2026-11-26T03:00:00Z")], None, 9),
        ([backup("2026-11-26T09:00:00Z", phase="failed"), backup(None)], None, None),
        ([backup("2026-11-26T09:00:00Z", cluster="other")], "2026-11-26T07:00:00Z", 7),
        ([backup("yesterday"), {}], "2026-11-26T08:00:00+01:00", 7),
    ],
)
def test_the_last_backup_is_the_newest_that_succeeded(
    backups: list[Any], of_cluster: str | None, hour: int | None
) -> None:
    objects: dict[str, Any] = {f"{BASE}/backups": {"items": backups}}
    if of_cluster is not None:
        objects[f"{BASE}/clusters/harbor-pg"] = {"status": {"lastSuccessfulBackup": of_cluster}}
    client: Any = Cluster(objects)
    last = upgrade.last_backup(client, "registry")
    assert (None if last is None else last.hour) == hour


def test_without_the_operator_there_is_no_backup() -> None:
    client: Any = Cluster({})
    assert upgrade.last_backup(client, "registry") is None


# --- What is said -------------------------------------------------------------------------------


def meaning(stack: Settings, backups: Backups) -> str:
    return upgrade.meaning([record(OLD)], stack, backups=backups, now=NOW)


@pytest.mark.parametrize(
    ("backups", "advice"),
    [
        (Backups(), "This stack makes no backups: back the database up first."),
        (Backups(is_shared=True), "somebody else's: have it backed up first"),
        (Backups(are_on=True, last=NOW - 3 * HOUR), "The last backup ended 3 h ago."),
        (Backups(are_on=True), "although no backup of it has succeeded yet"),
    ],
)
def test_an_upgrade_says_what_it_means(backups: Backups, advice: str) -> None:
    words = meaning(to(NEW), backups)
    assert f"from chart {OLD} (Harbor 2.14.3) to Harbor 2.15.1" in words
    assert "goes one way" in words
    assert "restart: core, jobservice, portal, registry, trivy;" in words
    assert advice in words


def test_only_pods_that_the_stack_has_are_said_to_restart() -> None:
    stack = settings(
        harbor={"chart": {"version": NEW}},
        trivy={"enabled": False},
        metrics={"enabled": True},
    )
    assert upgrade.pods(stack) == ("core", "jobservice", "portal", "registry", "exporter")


def asked(
    monkeypatch: pytest.MonkeyPatch, runs: str | None, stack: Settings, *, backed_up: bool
) -> tuple[list[str], list[str]]:
    """(refusals, warnings) of a run with `runs` deployed."""
    said: list[str] = []
    history = [] if runs is None else [record(runs)]
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    monkeypatch.setattr(upgrade, "records", lambda *_: history)
    monkeypatch.setattr(upgrade, "backups_are_on", lambda _: backed_up)
    client: Any = Cluster({})
    return upgrade.problems(client, stack, "omantel"), said


def test_an_upgrade_warns_and_is_refused_where_its_backup_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused, said = asked(monkeypatch, OLD, to(NEW), backed_up=False)
    assert refused == []
    (warning,) = said
    assert "goes one way" in warning
    refused, said = asked(monkeypatch, OLD, to(NEW), backed_up=True)
    assert "take a backup" in refused[0]
    assert said == [], "what is refused needs no explanation of what it would mean"


@pytest.mark.parametrize("version", [OLD, NEW])
def test_without_a_change_of_the_chart_nothing_is_asked_or_said(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(monkeypatch, version, to(version), backed_up=True) == ([], [])
    assert asked(monkeypatch, None, to(version), backed_up=True) == ([], [])


def test_backups_are_on_by_the_section_and_for_a_database_of_ones_own() -> None:
    assert upgrade.backups_are_on(settings(backup=BACKUP, storage=LASTING))
    assert not upgrade.backups_are_on(settings())
    assert not upgrade.backups_are_on(settings(database=SHARED_DATABASE))
