"""Alerts on Harbor's jobs: queues, garbage collection, replications, scans. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.monitoring.alert import Alert, Example, events, lasting, series
from components.settings.model import Settings


def alerts(settings: Settings) -> Iterator[Alert]:
    namespace, thresholds = settings.harbor.namespace, settings.monitoring.thresholds
    seconds = 60 * thresholds.queue_minutes

    def latency(kind: str) -> str:
        return series("harbor_task_queue_latency", namespace=namespace, type=kind)

    def size(kind: str) -> str:
        return series("harbor_task_queue_size", namespace=namespace, type=kind)

    yield Alert(
        name="HarborQueueStuck",
        source="harbor",
        severity="warning",
        expr=f'max by (namespace, type) (harbor_task_queue_latency{{namespace="{namespace}"}}) > '
        f"{seconds} and max by (namespace, type) "
        f'(harbor_task_queue_size{{namespace="{namespace}"}}) > 0',
        for_="5m",
        summary="Jobs of Harbor are waiting",
        description="The oldest job of the queue {{ $labels.type }} has waited for "
        f"{{{{ $value | humanizeDuration }}}}, more than {thresholds.queue_minutes} minutes.",
        runbook="queue-stuck",
        fires=Example(
            series={
                latency("REPLICATION"): f"{seconds + 3600}x20",
                size("REPLICATION"): "7x20",
            },
            at="10m",
            labels={"namespace": namespace, "type": "REPLICATION"},
            says="The oldest job of the queue REPLICATION has waited for "
            f"{lasting(seconds + 3600)}, more than {thresholds.queue_minutes} minutes.",
        ),
        quiet=Example(
            series={
                latency("IMAGE_SCAN"): f"{seconds - 60}x20",
                size("IMAGE_SCAN"): "200x20",
                latency("RETENTION"): "0x20",
                size("RETENTION"): "0x20",
            },
            at="10m",
        ),
    )

    def task(kind: str, status: str) -> str:
        metric = "harbor_jobservice_task_total"
        return series(metric, namespace=namespace, type=kind, status=status)

    def of_pod(kind: str, status: str) -> str:
        metric = "harbor_jobservice_task_total"
        return series(metric, namespace=namespace, type=kind, status=status, pod="a")

    collection = "GARBAGE_COLLECTION"
    yield Alert(
        name="HarborGarbageCollectionFailed",
        source="harbor",
        severity="warning",
        expr=f"sum by (namespace) ({events(task(collection, 'fail'), '1d')}) > 0",
        for_="0m",
        summary="A garbage collection of Harbor failed",
        description="{{ $value | humanize }} garbage collections failed in the last 24 hours: what "
        "was deleted stays in the bucket.",
        runbook="gc-not-shrinking",
        fires=Example(
            # The first failure since the pod started: the counter begins at 1.
            series={of_pod(collection, "fail"): "_x30 1x60"},
            at="60m",
            labels={"namespace": namespace},
            says="1 garbage collections failed in the last 24 hours: what was deleted stays in the "
            "bucket.",
        ),
        quiet=Example(
            series={
                of_pod(collection, "fail"): "3x1600",
                of_pod(collection, "success"): "1+0.01x1600",
            },
            at="1500m",
        ),
    )
    replication, failures = "REPLICATION", thresholds.replication_failures
    yield Alert(
        name="HarborReplicationFails",
        source="harbor",
        severity="warning",
        expr=f"sum by (namespace) ({events(task(replication, 'fail'), '6h')}) >= {failures}",
        for_="0m",
        summary="Replications of Harbor fail",
        description="{{ $value | humanize }} attempts of replications failed in 6 hours, at least "
        f"{failures}. Harbor tries each image three times.",
        runbook="replication-fails",
        fires=Example(
            series={of_pod(replication, "fail"): f"_x30 {failures}x60"},
            at="60m",
            labels={"namespace": namespace},
            says=f"{failures} attempts of replications failed in 6 hours, at least {failures}. "
            "Harbor tries each image three times.",
        ),
        quiet=Example(
            series={
                of_pod(replication, "fail"): "90x500",
                of_pod(replication, "success"): "10+1x500",
            },
            at="480m",
        ),
    )
    scan, percent = "IMAGE_SCAN", thresholds.scan_failure_percent
    failed = f"sum by (namespace) ({events(task(scan, 'fail'), '1h')})"
    any_end = f'harbor_jobservice_task_total{{namespace="{namespace}", type="{scan}"}}'
    yield Alert(
        name="HarborScansFail",
        source="harbor",
        severity="warning",
        expr=f"100 * {failed} / sum by (namespace) ({events(any_end, '1h')}) > {percent} "
        f"and {failed} >= 5",
        for_="5m",
        summary="Vulnerability scans fail",
        description="{{ $value | humanize }} % of the last hour's scans failed, more than "
        f"{percent} %.",
        runbook="scans-fail",
        fires=Example(
            series={
                of_pod(scan, "fail"): "_x10 1+1x60",
                of_pod(scan, "success"): "0x70",
            },
            at="40m",
            labels={"namespace": namespace},
            says=f"100 % of the last hour's scans failed, more than {percent} %.",
        ),
        quiet=Example(
            series={
                of_pod(scan, "fail"): "0+1x70",
                of_pod(scan, "success"): "0+9x70",
            },
            at="65m",
        ),
    )
