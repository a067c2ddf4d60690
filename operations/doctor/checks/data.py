"""The database, its backups and drills, and the bucket. Pure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.kubernetes.client import dig
from components.monitoring.own_metrics import DRILL_LAST_PASSED, DRILL_PASSED, DRILL_RUN
from components.preflight.upgrade import take_a_backup
from components.settings.database import DedicatedDatabase
from operations.doctor.findings import Finding, NotRead, Reading, State, few, moment_of
from operations.doctor.series import figure, figures

INVENTORY: Final = "bucket-truth"
"""Key of the recorded figures' ConfigMap with the last inventory of the bucket, as JSON."""
_INVENTORY_DAYS: Final = 35
_ORPHANS_PERCENT: Final = 20
"""Of the bucket's bytes; fewer are what waits for the next garbage collection."""
_FULL_PERCENT: Final = 95


def database(read: Reading) -> Iterator[Finding]:
    """Whether the operator says that the database is healthy."""
    if not isinstance(read.settings.database, DedicatedDatabase):
        what = "a shared database; its owner's alerts tell of it, and Harbor's health"
        yield Finding(check="database", state="ok", what=what)
        return
    cluster = read.of("database")
    status: Mapping[str, Any] = dig(cluster, "status") or {}
    ready, wanted = status.get("readyInstances") or 0, read.settings.database.instances
    command = f"kubectl describe clusters.postgresql.cnpg.io -n {read.namespace}"
    if cluster is None:
        what = "the database's Cluster is not there"
        yield Finding(check="database", state="ill", what=what, command=command)
    elif ready < wanted:
        yield Finding(
            check="database",
            state="warning" if ready else "ill",
            what=f"{ready} of {wanted} instances of the database are ready: "
            f"{status.get('phase', 'the operator says nothing')}",
            command=command,
        )
    else:
        yield Finding(check="database", state="ok", what=f"{ready} of {wanted} instances are ready")


def connections(read: Reading) -> Iterator[Finding]:
    """How many of the server's connections are in use."""
    if not isinstance(read.settings.database, DedicatedDatabase):
        yield Finding(check="connections", state="ok", what="a shared database's owner knows")
        return
    metrics = read.of("connections")
    used = sum(value for _, value in figures(metrics, "cnpg_backends_total"))
    most = figure(metrics, "cnpg_pg_settings_setting", name="max_connections")
    if not most:
        raise NotRead("the primary's metrics have no max_connections")
    percent = 100 * used / most
    state: State = "ok"
    if percent >= _FULL_PERCENT:
        state = "ill"
    elif percent >= read.settings.monitoring.thresholds.connections_percent:
        state = "warning"
    yield Finding(
        check="connections",
        state=state,
        what=f"{used:.0f} of {most:.0f} connections to the database are in use",
        command="" if state == "ok" else "docs/runbooks/database-connections.md",
    )


def backup(read: Reading) -> Iterator[Finding]:
    """How old the last backup is, and whether the log is archived."""
    settings = read.settings
    if settings.backup is None:
        is_due = isinstance(settings.database, DedicatedDatabase) and not settings.sandbox
        yield Finding(
            check="backup",
            state="warning" if is_due else "ok",
            what="this stack makes no backups",
            command="docs/howto/backup.md" if is_due else "",
        )
        return
    runbook = f"{take_a_backup(read.namespace)} (docs/runbooks/backup-too-old.md)"
    last: dt.datetime | None = read.of("backup")
    hours = settings.monitoring.thresholds.backup_hours
    if last is None:
        what = "no backup of the database has succeeded yet"
        yield Finding(check="backup", state="ill", what=what, command=runbook)
    elif read.now - last > dt.timedelta(hours=hours):
        what = f"the last backup of the database is {read.age.of(last)} old, more than {hours} h"
        yield Finding(check="backup", state="ill", what=what, command=runbook)
    else:
        what = f"the last backup of the database is {read.age.of(last)} old"
        yield Finding(check="backup", state="ok", what=what)
    for condition in dig(read.of("database"), "status", "conditions") or []:
        if condition["type"] == "ContinuousArchiving" and condition["status"] == "False":
            why = condition.get("message") or condition.get("reason") or "it does not say why"
            yield Finding(
                check="backup",
                state="ill",
                what=f"the database's log is not archived: {why[:160]}",
                command="docs/runbooks/backup-too-old.md",
            )
    if settings.backup.velero.enabled:
        yield from _velero(read)


def _velero(read: Reading) -> Iterator[Finding]:
    status = read.of("velero")
    assert read.settings.backup is not None
    command = f"velero get schedules -n {read.settings.backup.velero.namespace}"
    if status.get("phase") == "FailedValidation":
        why = few(status.get("validationErrors") or ["it does not say why"])
        what = f"Velero does not take its schedule: {why}"
        yield Finding(check="backup", state="ill", what=what, command=command)


def drill(read: Reading) -> Iterator[Finding]:
    """Whether the last restore drill passed, and when one did."""
    if read.settings.backup is None:
        yield Finding(check="drill", state="ok", what="there are no backups to try")
        return
    text = read.of("recorded").get("restore-drill", "")
    again = f"make restore-drill STACK={read.stack}"
    ran, passed = figure(text, DRILL_RUN.name), figure(text, DRILL_PASSED.name)
    good = figure(text, DRILL_LAST_PASSED.name)
    days = read.settings.monitoring.thresholds.drill_days
    if ran is None:
        what = "no restore drill has been recorded: nobody knows that a backup can be restored"
        yield Finding(check="drill", state="warning", what=what, command=again)
    elif not passed:
        ago = read.age.of(dt.datetime.fromtimestamp(ran, dt.UTC))
        what = f"the last restore drill failed, {ago} ago"
        yield Finding(
            check="drill",
            state="ill",
            what=what,
            command=f"{again} (docs/runbooks/drill-failed.md)",
        )
    else:
        moment = dt.datetime.fromtimestamp(good or ran, dt.UTC)
        is_old = read.now - moment > dt.timedelta(days=days)
        yield Finding(
            check="drill",
            state="warning" if is_old else "ok",
            what=f"a restore drill passed {read.age.of(moment)} ago",
            command=again if is_old else "",
        )


def inventory(read: Reading) -> Mapping[str, Any] | None:
    """The last inventory of the bucket that was recorded; None without one. Raises NotRead."""
    text = read.of("recorded").get(INVENTORY)
    try:
        told = None if text is None else json.loads(text)
    except ValueError:
        raise NotRead("what was recorded of the bucket is no JSON") from None
    return told if isinstance(told, dict) else None


def bucket(read: Reading) -> Iterator[Finding]:
    """The last inventory of the bucket: its size against the vendor's limits, and orphans."""
    storage = read.settings.storage
    command = f"make bucket-truth STACK={read.stack} RECORD=1"
    if not storage.has_seam:
        what = f"storage of kind {storage.kind}: no bucket that speaks S3"
        yield Finding(check="bucket", state="ok", what=what)
        return
    told = inventory(read)
    if told is None:
        what = "no inventory of the bucket has been recorded"
        yield Finding(check="bucket", state="unknown", what=what, command=command)
        return
    at = moment_of(told.get("at"))
    age = "at an unknown time" if at is None else f"{read.age.of(at)} ago"
    thresholds = read.settings.monitoring.thresholds
    near = [
        f"{told[key]} of {limit} {unit}"
        for key, limit, unit in (
            ("bytes", storage.most_bytes, "bytes"),
            ("objects", storage.most_objects, "objects"),
        )
        if limit is not None and told[key] * 100 >= limit * thresholds.bucket_percent
    ]
    size = f"{gigabytes(told['bytes'])} in {told['objects']} objects, {age}"
    lost, cost = int(told["orphanBytes"]), str(told.get("cost") or "")
    orphans = (
        f"{told['orphans']} blobs, {gigabytes(lost)}{f', {cost} a month' if cost else ''}, that no "
        "image refers to"
    )
    if near:
        what = f"the bucket is near the vendor's limit: {', '.join(near)}"
        runbook = "docs/runbooks/bucket-full.md"
        yield Finding(check="bucket", state="ill", what=what, command=runbook)
    if lost * 100 > told["bytes"] * _ORPHANS_PERCENT:
        what = f"{orphans} (inventory {age})"
        yield Finding(
            check="bucket", state="warning", what=what, command="docs/runbooks/gc-not-shrinking.md"
        )
    elif not near:
        is_old = at is None or read.now - at > dt.timedelta(days=_INVENTORY_DAYS)
        yield Finding(
            check="bucket",
            state="warning" if is_old else "ok",
            what=f"{size}; {orphans}",
            command=command if is_old else "",
        )


def gigabytes(count: int) -> str:
    """Bytes as the vendors count them, for people."""
    return f"{count / 1e9:.1f} GB" if count < 1e12 else f"{count / 1e12:.2f} TB"
