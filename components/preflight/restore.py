"""Whether a database may be restored: never over one that lives, unless that was told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from components.adopted import LiveDatabase
from components.commands import set_value, unset
from components.data_services.origin import origin_of, server_of
from components.data_services.postgres import CLUSTER
from components.kubernetes.client import ClusterClient
from components.settings.database import DedicatedDatabase, RestoreSettings
from components.settings.model import Settings

RUNBOOK = "docs/runbooks/restore.md"


def live_database(client: ClusterClient, settings: Settings) -> LiveDatabase:
    """The Cluster that lives, by the name under which it archives. Raises ClusterUnreachable."""
    if not isinstance(settings.database, DedicatedDatabase):
        return LiveDatabase(server=None)
    namespace = settings.harbor.namespace
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/{namespace}/clusters/{CLUSTER}"
    return LiveDatabase(server=server_of(client.get(path)))


def problems(live: LiveDatabase, settings: Settings, stack: str, now: dt.datetime) -> Iterator[str]:
    """Why `database.restore` is refused; `now` has a time zone. Pure."""
    origin = origin_of(settings, live)
    restore = origin.restore
    if restore is None or not origin.begins:
        return
    if restore.target_time is not None:
        yield from _future(restore, restore.target_time, stack, now)
    if live.server is None or restore.replace:
        return
    yield (
        f"sovereign-harbor:database.restore: Cluster {CLUSTER} in namespace "
        f"{settings.harbor.namespace} lives (it archives as {live.server}), and a restore makes "
        "another database in its place\n"
        "  fix: take the section out, if the database that lives is meant: "
        f"{unset('database.restore', stack)}\n"
        f"  or, after a backup of it, to delete it with all that it holds ({RUNBOOK}): "
        f"{set_value('database.restore.replace', 'true', stack)}"
    )


def _future(restore: RestoreSettings, target: str, stack: str, now: dt.datetime) -> Iterator[str]:
    if dt.datetime.fromisoformat(target) > now:
        latest = unset("database.restore.targetTime", stack)
        yield (
            f"sovereign-harbor:database.restore.targetTime = {target} is in the future: the "
            "write-ahead log does not reach it, and PostgreSQL would not end its recovery\n"
            f"  fix: an earlier moment, or the last one that server {restore.server} archived: "
            f"{latest}"
        )
