"""Whether Harbor may go from the chart that runs to the one that the settings name.

Harbor's core migrates the database when it starts, and no older Harbor works on a migrated one. So
a way down is refused, a way up that skips more than Harbor's guide allows, and one without a fresh
backup where the stack has backups. What an upgrade means is said in each preview of one.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components import harbor_lines
from components.backup.objects import PLUGIN
from components.commands import set_value
from components.data_services.postgres import CLUSTER
from components.harbor.recovery import Record, records
from components.harbor_inputs import RELEASE
from components.harbor_lines import harbor_of, number
from components.kubernetes.client import ClusterClient, dig
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings

RUNBOOK: Final = "docs/runbooks/upgrade.md"
FRESH: Final = dt.timedelta(days=1)
"""How old the last backup may be when an upgrade begins."""
_KEY: Final = "sovereign-harbor:harbor.chart.version"
_API: Final = "postgresql.cnpg.io/v1"


@dataclass(frozen=True, kw_only=True)
class Backups:
    """What is known of the database's backups.

    `are_on`: the stack makes them. `is_shared`: the database is somebody else's. `last`: when the
    last one that succeeded ended, in UTC; None without one.
    """

    are_on: bool = False
    is_shared: bool = False
    last: dt.datetime | None = None


def problems(client: ClusterClient, settings: Settings, stack: str) -> list[str]:
    """Why the chart must not change so; warns of what a change means. Raises ClusterUnreachable."""
    history = records(client, settings.harbor.namespace)
    newer = newer_attempt(history, settings)
    if newer is not None:
        pulumi.log.warn(newer)
    if not goes_up(history, settings):
        return list(refusals(history, settings, stack))
    backups = _backups(client, settings)
    now = dt.datetime.now(dt.UTC)
    refused = [
        *refusals(history, settings, stack),
        *backup_refusals(history, settings, stack, backups=backups, now=now),
    ]
    if not refused:
        pulumi.log.warn(meaning(history, settings, backups=backups, now=now))
    return refused


# --- What the cluster knows ---------------------------------------------------------------------


def backups_are_on(settings: Settings) -> bool:
    """Whether the stack's section `backup` names a destination for its own database."""
    return settings.backup is not None and isinstance(settings.database, DedicatedDatabase)


def _backups(client: ClusterClient, settings: Settings) -> Backups:
    are_on = backups_are_on(settings)
    return Backups(
        are_on=are_on,
        is_shared=not isinstance(settings.database, DedicatedDatabase),
        last=last_backup(client, settings.harbor.namespace) if are_on else None,
    )


def last_backup(client: ClusterClient, namespace: str) -> dt.datetime | None:
    """When the last backup of the database ended that succeeded, in UTC; None without one.

    Raises ClusterUnreachable.
    """
    base = f"/apis/{_API}/namespaces/{namespace}"
    listed: list[Mapping[str, Any]] = dig(client.get(f"{base}/backups"), "items") or []
    # The operator writes the time of its own methods here, and none of a plugin's.
    of_cluster = dig(client.get(f"{base}/clusters/{CLUSTER}"), "status", "lastSuccessfulBackup")
    return newest([*(_ended(backup) for backup in listed), of_cluster])


def _ended(backup: Mapping[str, Any]) -> Any:
    is_one = dig(backup, "spec", "cluster", "name") == CLUSTER
    is_done = dig(backup, "status", "phase") == "completed"
    return dig(backup, "status", "stoppedAt") if is_one and is_done else None


# --- Pure ---------------------------------------------------------------------------------------


def newest(times: list[Any]) -> dt.datetime | None:
    """The newest of Kubernetes' times (RFC 3339); what is none is passed over."""
    parsed = [time for text in times if (time := _time(text)) is not None]
    return max(parsed, default=None)


def _time(text: Any) -> dt.datetime | None:
    try:
        time = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time.astimezone(dt.UTC) if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _running(history: list[Record]) -> Record | None:
    """The revision that runs, if its chart is known."""
    runs = next((one for one in reversed(history) if one.status == "deployed"), None)
    return runs if runs is not None and runs.chart_version is not None else None


def goes_up(history: list[Record], settings: Settings) -> bool:
    """Whether the settings name a newer chart than the one that runs."""
    runs = _running(history)
    return runs is not None and number(str(runs.chart_version)) < number(
        settings.harbor.chart.version
    )


def refusals(history: list[Record], settings: Settings, stack: str) -> Iterator[str]:
    """Why Harbor cannot go from the chart that runs to the settings' one, and the way out."""
    runs = _running(history)
    if runs is None:
        return
    before, after = str(runs.chart_version), settings.harbor.chart.version
    what = f"Helm release {RELEASE}, revision {runs.revision}, is of chart {before}"
    if number(before) > number(after):
        yield (
            f"{_KEY} = {after}: {what}, this stack's is {after}: a database of a newer Harbor does "
            "not work with an older one\n"
            f"  fix: {set_value('harbor.chart.version', before, stack)}\n"
            f"  or bring a backup of before the upgrade back, see {RUNBOOK}"
        )
        return
    oldest = harbor_lines.oldest_source(after)
    if number(after) == number(before) or number(before)[:2] >= (1, oldest):
        return
    step = harbor_lines.step_towards(before, after)
    way = (
        f"  fix: go to chart {step} first, then to {after}:\n"
        f"       {set_value('harbor.chart.version', step, stack)}"
        if step is not None
        else f"  fix: bring it to chart 1.{oldest} or later with helm first, a line at a time, see "
        f"{RUNBOOK}"
    )
    yield (
        f"{_KEY} = {after}: {what} (Harbor {harbor_of(before)}). Harbor {harbor_of(after)} "
        f"migrates the database of Harbor {harbor_of(f'1.{oldest}.0')} or later only\n{way}"
    )


def backup_refusals(
    history: list[Record], settings: Settings, stack: str, *, backups: Backups, now: dt.datetime
) -> Iterator[str]:
    """Why an upgrade waits for a backup, where the stack makes backups."""
    after = settings.harbor.chart.version
    if not (backups.are_on and goes_up(history, settings)):
        return
    if _is_fresh(backups, now) or settings.harbor.accept_upgrade_without_backup == after:
        return
    namespace = settings.harbor.namespace
    yield (
        f"{_KEY} = {after}: an upgrade migrates the database, which goes one way, and "
        f"{_last(backups, now)}\n"
        f"  fix: take a backup, and wait until its phase is completed:\n"
        f"       {take_a_backup(namespace)}\n"
        f"       kubectl get backups.postgresql.cnpg.io -n {namespace} -w\n"
        "  or go without one: " + set_value("harbor.acceptUpgradeWithoutBackup", after, stack)
    )


def take_a_backup(namespace: str) -> str:
    """The command that asks the operator for a backup now."""
    manifest = {
        "apiVersion": _API,
        "kind": "Backup",
        "metadata": {"generateName": f"{CLUSTER}-upgrade-"},
        "spec": {
            "cluster": {"name": CLUSTER},
            "method": "plugin",
            "pluginConfiguration": {"name": PLUGIN},
        },
    }
    return f"echo '{json.dumps(manifest)}' | kubectl create -n {namespace} -f -"


def meaning(
    history: list[Record], settings: Settings, *, backups: Backups, now: dt.datetime
) -> str:
    """What an upgrade means, for whoever is about to run it."""
    runs = _running(history)
    assert runs is not None
    before, after = str(runs.chart_version), settings.harbor.chart.version
    return (
        f"{_KEY} = {after}: Helm release {RELEASE} goes from chart {before} (Harbor "
        f"{harbor_of(before)}) to Harbor {harbor_of(after)}. Core migrates the database when it "
        "starts. That goes one way: no older Harbor works on it, and only a backup of before "
        f"brings it back. All of Harbor's pods restart: {', '.join(pods(settings))}; Harbor's "
        f"guide expects some downtime. {_advice(backups, now)} See {RUNBOOK}"
    )


def pods(settings: Settings) -> tuple[str, ...]:
    """The components of Harbor that have pods in this stack."""
    optional = {"trivy": settings.trivy.enabled, "exporter": settings.metrics.enabled}
    names = ("core", "jobservice", "portal", "registry", "trivy", "exporter")
    return tuple(name for name in names if optional.get(name, True))


def _advice(backups: Backups, now: dt.datetime) -> str:
    if backups.is_shared:
        return "The database is somebody else's: have it backed up first."
    if not backups.are_on:
        return "This stack makes no backups: back the database up first."
    if _is_fresh(backups, now):
        return f"The last backup ended {_ago(backups, now)} ago."
    return f"It goes on although {_last(backups, now)}: harbor.acceptUpgradeWithoutBackup."


def _is_fresh(backups: Backups, now: dt.datetime) -> bool:
    return backups.last is not None and now - backups.last <= FRESH


def _last(backups: Backups, now: dt.datetime) -> str:
    if backups.last is None:
        return "no backup of it has succeeded yet"
    return f"its last backup is {_ago(backups, now)} old"


def _ago(backups: Backups, now: dt.datetime) -> str:
    assert backups.last is not None
    hours = max(0, int((now - backups.last).total_seconds() // 3600))
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


def newer_attempt(history: list[Record], settings: Settings) -> str | None:
    """A warning where an upgrade to a newer chart failed, which may have migrated the database."""
    newest_one = history[-1] if history else None
    tried, after = newest_one and newest_one.chart_version, settings.harbor.chart.version
    if newest_one is None or tried is None or newest_one.status == "deployed":
        return None
    if number(tried) <= number(after):
        return None
    return (
        f"Helm release {RELEASE}, revision {newest_one.revision}, of chart {tried} is "
        f"{newest_one.status}. If its core has started, the database was migrated, and Harbor of "
        f"chart {after} cannot use it: then set harbor.chart.version to {tried} again"
    )
