"""Alerts on a dedicated database and its backup. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.kubernetes.naming import DATABASE_CLUSTER as CLUSTER
from components.monitoring.alert import Alert, Example, lasting
from components.settings.model import Settings


def alerts(settings: Settings) -> Iterator[Alert]:
    namespace, thresholds = settings.harbor.namespace, settings.monitoring.thresholds
    percent = thresholds.connections_percent
    pods = f'namespace="{namespace}", pod=~"{CLUSTER}-[0-9]+"'
    yield Alert(
        name="HarborDatabaseDown",
        source="database",
        severity="critical",
        expr=f'absent(cnpg_collector_up{{namespace="{namespace}", cluster="{CLUSTER}"}} == 1)',
        for_="5m",
        summary="Harbor's database does not answer",
        description=f"For 5 minutes no pod of the Cluster {CLUSTER} in {namespace} has reported a "
        "running PostgreSQL: Harbor answers nothing without it.",
        runbook="components-down",
        fires=Example(
            series={
                f'cnpg_collector_up{{namespace="{namespace}", cluster="{CLUSTER}", '
                f'pod="{CLUSTER}-1"}}': "1 1 0x20"
            },
            at="15m",
            says=f"For 5 minutes no pod of the Cluster {CLUSTER} in {namespace} has reported a "
            "running PostgreSQL: Harbor answers nothing without it.",
        ),
        quiet=Example(
            series={
                f'cnpg_collector_up{{namespace="{namespace}", cluster="{CLUSTER}", '
                f'pod="{CLUSTER}-1"}}': "0x20",
                f'cnpg_collector_up{{namespace="{namespace}", cluster="{CLUSTER}", '
                f'pod="{CLUSTER}-2"}}': "1x20",
            },
            at="15m",
        ),
    )

    def backends(state: str) -> str:
        return (
            f'cnpg_backends_total{{namespace="{namespace}", pod="{CLUSTER}-1", datname="registry", '
            f'usename="harbor", application_name="", state="{state}"}}'
        )

    most = (
        f'cnpg_pg_settings_setting{{namespace="{namespace}", pod="{CLUSTER}-1", '
        'name="max_connections"}'
    )
    yield Alert(
        name="HarborDatabaseConnections",
        source="database",
        severity="warning",
        expr=f"100 * sum by (namespace, pod) (cnpg_backends_total{{{pods}}}) / max by (namespace, "
        f'pod) (cnpg_pg_settings_setting{{{pods}, name="max_connections"}}) > {percent}',
        for_="10m",
        summary="The database's connections are nearly used up",
        description="{{ $value | humanize }} % of max_connections of {{ $labels.pod }} are in use, "
        f"more than {percent} %. At 100 % Harbor answers with errors.",
        runbook="database-connections",
        fires=Example(
            series={backends("active"): "39x30", backends("idle"): "60x30", most: "100x30"},
            at="20m",
            labels={"namespace": namespace, "pod": f"{CLUSTER}-1"},
            says=f"99 % of max_connections of {CLUSTER}-1 are in use, more than {percent} %. At "
            "100 % Harbor answers with errors.",
        ),
        quiet=Example(
            series={backends("active"): "1x30", backends("idle"): "8x30", most: "100x30"},
            at="20m",
        ),
    )
    hours = thresholds.backup_hours
    newest = (
        "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp"
        f'{{namespace="{namespace}", pod="{CLUSTER}-1"}}'
    )
    yield Alert(
        name="HarborBackupTooOld",
        source="backup",
        severity="critical",
        # 0, and no figure at all, are no backup.
        expr="time() - (max(barman_cloud_cloudnative_pg_io_last_available_backup_timestamp"
        f"{{{pods}}}) or vector(0)) > {hours * 3600}",
        for_="1h",
        summary="The database has no recent backup",
        description="The newest backup of the database is {{ $value | humanizeDuration }} old, "
        f"more than {hours} hours. Twenty thousand days mean that there is none.",
        runbook="backup-too-old",
        fires=Example(
            series={newest: f"0x{hours * 60 + 180}"},
            at=f"{hours * 60 + 120}m",
            says=f"The newest backup of the database is {lasting(hours * 3600 + 7200)} old, more "
            f"than {hours} hours. Twenty thousand days mean that there is none.",
        ),
        quiet=Example(
            series={newest: f"{hours * 3600}x{hours * 60 + 180}"}, at=f"{hours * 60 + 120}m"
        ),
    )

    def archived(name: str) -> str:
        return f'cnpg_pg_stat_archiver_{name}{{namespace="{namespace}", pod="{CLUSTER}-1"}}'

    yield Alert(
        name="HarborWalArchivingFails",
        source="backup",
        severity="warning",
        expr="max by (namespace, pod) (cnpg_pg_stat_archiver_last_failed_time"
        f"{{{pods}}}) - max by (namespace, pod) (cnpg_pg_stat_archiver_last_archived_time"
        f"{{{pods}}}) > 0",
        for_="15m",
        summary="The database's log is not archived",
        description="{{ $labels.pod }} has failed to archive its write-ahead log since the last "
        "success, {{ $value | humanizeDuration }} earlier. The log stays on the volume and fills "
        "it.",
        runbook="backup-too-old",
        fires=Example(
            series={
                archived("last_failed_time"): "1000x40",
                archived("last_archived_time"): "400x40",
            },
            at="30m",
            labels={"namespace": namespace, "pod": f"{CLUSTER}-1"},
            says=f"{CLUSTER}-1 has failed to archive its write-ahead log since the last success, "
            "10m 0s earlier. The log stays on the volume and fills it.",
        ),
        quiet=Example(
            series={archived("last_failed_time"): "-1x40", archived("last_archived_time"): "-1x40"},
            at="30m",
        ),
    )
