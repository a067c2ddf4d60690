"""The Grafana dashboard: rows of panels over the metrics that a stack has. Pure.

The model is that of Grafana 10 and later (schemaVersion 39). The data source is a variable, so that
the dashboard works in any Grafana with a Prometheus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from components.kubernetes.naming import DATABASE_CLUSTER
from components.monitoring import own_metrics
from components.monitoring.metrics import Source, sources
from components.settings.model import Settings

SCHEMA: Final = 39
COLUMNS: Final = 24
"""Width of Grafana's grid."""
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

Unit = Literal["short", "reqps", "s", "bytes", "percent", "none", "ops"]
Shape = Literal["timeseries", "stat", "bargauge", "table"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """A PromQL expression and the legend of its series."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel of a row. `width` of 24. `steps`: colour from a value on, the first one from below.

    `names`: a value → the text that stands for it.
    """

    title: str
    source: Source
    queries: tuple[Query, ...]
    description: str
    shape: Shape = "timeseries"
    unit: Unit = "short"
    width: int = 8
    height: int = 8
    steps: tuple[tuple[float | None, str], ...] = ()
    names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


def dashboard(settings: Settings) -> dict[str, Any]:
    """The dashboard's JSON model. Panels without metrics in this stack are left out."""
    fqdn = settings.fqdn
    return {
        # Grafana takes 40 characters; the title may change, the address of the dashboard stays.
        "uid": f"harbor-{hashlib.sha256(fqdn.encode()).hexdigest()[:16]}",
        "title": f"Harbor: {fqdn}",
        "tags": ["harbor", "sovereign-harbor"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [*_laid_out(rows(settings))],
    }


def rows(settings: Settings) -> list[Row]:
    """The rows, each with the panels whose metrics the stack has."""
    present = sources(settings)
    kept = (
        Row(title=row.title, panels=tuple(each for each in row.panels if each.source in present))
        for row in _all_rows(settings)
    )
    return [row for row in kept if row.panels]


def _laid_out(given: Iterable[Row]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in given:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        top += 1
        left, tallest = 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            number += 1
            yield _panel(number, panel, left, top)
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(number: int, panel: Panel, left: int, top: int) -> dict[str, Any]:
    steps = panel.steps or ((None, "green"),)
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in steps],
        },
    }
    if panel.names:
        texts = {value: {"text": text} for value, text in panel.names}
        defaults["mappings"] = [{"type": "value", "options": texts}]
    if panel.unit == "percent":
        defaults |= {"min": 0, "max": 100}
    return {
        "id": number,
        "type": panel.shape,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": panel.shape != "timeseries",
                "range": panel.shape == "timeseries",
            }
            for index, query in enumerate(panel.queries)
        ],
    }


_Steps = tuple[tuple[float | None, str], ...]
_RED_BELOW_ONE: Final[_Steps] = ((None, "red"), (1, "green"))


def _red_from(limit: float) -> _Steps:
    return ((None, "green"), (limit, "red"))


def _days_left(metric: own_metrics.OwnMetric, namespace: str, legend: str) -> Query:
    series = f'{metric.name}{{namespace="{namespace}"}}'
    by = f"min by ({', '.join(metric.labels)})" if metric.labels else "min"
    return Query(expr=f"({by} ({series}) - time()) / 86400", legend=legend)


def _all_rows(settings: Settings) -> Iterator[Row]:
    namespace, thresholds = settings.harbor.namespace, settings.monitoring.thresholds
    here = f'namespace="{namespace}"'
    yield Row(
        title="Is it well?",
        panels=(
            Panel(
                title="Health by component",
                source="harbor",
                description="Harbor's own health check. With core down nothing is shown.",
                queries=(
                    Query(expr=f"min by (component) (harbor_up{{{here}}})", legend="{{component}}"),
                ),
                shape="stat",
                unit="none",
                width=16,
                height=5,
                steps=_RED_BELOW_ONE,
                names=(("0", "down"), ("1", "up")),
            ),
            Panel(
                title="Pods that Prometheus reaches",
                source="harbor",
                description="Core, jobservice, registry and exporter.",
                queries=(
                    Query(
                        expr=f'sum by (service) (up{{{here}, service=~"harbor-.+"}})',
                        legend="{{service}}",
                    ),
                ),
                shape="stat",
                unit="none",
                height=5,
                steps=_RED_BELOW_ONE,
            ),
        ),
    )
    yield Row(
        title="Pushes and pulls",
        panels=(
            Panel(
                title="Requests by answer",
                source="harbor",
                description="What core answered to pushes and pulls.",
                queries=(
                    Query(
                        expr="sum by (code) (rate(harbor_core_http_request_total"
                        f'{{{here}, operation=~"v2_.+"}}[5m]))',
                        legend="{{code}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                title="Time to answer, 99 of 100",
                source="harbor",
                description="The slowest pod's 99th percentile, by operation.",
                queries=(
                    Query(
                        expr="max by (operation) (harbor_core_http_request_duration_seconds"
                        f'{{{here}, operation=~"v2_.+", quantile="0.99"}})',
                        legend="{{operation}}",
                    ),
                ),
                unit="s",
            ),
            Panel(
                title="The registry's errors",
                source="harbor",
                description="Answers 5xx: the bucket refused, was slow, or was not reached.",
                queries=(
                    Query(
                        expr="sum by (handler, code) (rate(registry_http_requests_total"
                        f'{{{here}, code=~"5.."}}[5m]))',
                        legend="{{handler}} {{code}}",
                    ),
                ),
                unit="reqps",
            ),
        ),
    )
    yield Row(
        title="Storage",
        panels=(
            Panel(
                title="Time of an action in the bucket",
                source="harbor",
                description="The mean, by action of the registry's storage driver.",
                queries=(
                    Query(
                        expr="sum by (action) (rate(registry_storage_action_seconds_sum"
                        f"{{{here}}}[5m])) / sum by (action) "
                        f"(rate(registry_storage_action_seconds_count{{{here}}}[5m]))",
                        legend="{{action}}",
                    ),
                ),
                unit="s",
            ),
            Panel(
                title="Size of all images, by Harbor's count",
                source="harbor",
                description="A layer that two projects share counts once; old versions in the "
                "bucket do not count.",
                queries=(
                    Query(
                        expr=f"max(harbor_statistics_total_storage_consumption{{{here}}})",
                        legend="images",
                    ),
                ),
                unit="bytes",
            ),
            Panel(
                title="Projects nearest to their quota",
                source="harbor",
                description="Percent of the quota that is used; projects without a quota are left "
                "out.",
                queries=(
                    Query(
                        expr="topk(10, 100 * max by (project_name) "
                        f"(harbor_project_quota_usage_byte{{{here}}}) / max by (project_name) "
                        f"(harbor_project_quota_byte{{{here}}} > 0))",
                        legend="{{project_name}}",
                    ),
                ),
                shape="bargauge",
                unit="percent",
                steps=_red_from(thresholds.quota_percent),
            ),
            Panel(
                title="The bucket, counted",
                source="recorded",
                description="With old versions; orphans are bytes that no image refers to.",
                queries=(
                    Query(expr=f"max({own_metrics.BUCKET_SIZE.name}{{{here}}})", legend="all"),
                    Query(
                        expr=f"max({own_metrics.BUCKET_ORPHANS.name}{{{here}}})", legend="orphans"
                    ),
                ),
                unit="bytes",
                width=12,
            ),
            Panel(
                title="Volumes",
                source="kubelet",
                description="Percent used.",
                queries=(
                    Query(
                        expr="100 - 100 * max by (persistentvolumeclaim) "
                        f"(kubelet_volume_stats_available_bytes{{{here}}}) / max by "
                        "(persistentvolumeclaim) (kubelet_volume_stats_capacity_bytes"
                        f"{{{here}}})",
                        legend="{{persistentvolumeclaim}}",
                    ),
                ),
                shape="bargauge",
                unit="percent",
                width=12,
                steps=_red_from(thresholds.volume_percent),
            ),
        ),
    )
    yield Row(
        title="Jobs",
        panels=(
            Panel(
                title="Waiting jobs",
                source="harbor",
                description="By queue.",
                queries=(
                    Query(
                        expr=f"max by (type) (harbor_task_queue_size{{{here}}})", legend="{{type}}"
                    ),
                ),
            ),
            Panel(
                title="How long the oldest job has waited",
                source="harbor",
                description="By queue.",
                queries=(
                    Query(
                        expr=f"max by (type) (harbor_task_queue_latency{{{here}}})",
                        legend="{{type}}",
                    ),
                ),
                unit="s",
            ),
            Panel(
                title="Jobs that failed, by hour",
                source="harbor",
                description="Attempts; Harbor tries some kinds several times.",
                queries=(
                    Query(
                        expr="sum by (type) (increase(harbor_jobservice_task_total"
                        f'{{{here}, status="fail"}}[1h]))',
                        legend="{{type}}",
                    ),
                ),
            ),
        ),
    )
    yield from _data_rows(here, settings)


def _data_rows(here: str, settings: Settings) -> Iterator[Row]:
    namespace, thresholds = settings.harbor.namespace, settings.monitoring.thresholds
    pods = f'{here}, pod=~"{DATABASE_CLUSTER}-[0-9]+"'
    yield Row(
        title="Database and backup",
        panels=(
            Panel(
                title="Connections",
                source="database",
                description="In use, by pod, and the most that the server takes.",
                queries=(
                    Query(expr=f"sum by (pod) (cnpg_backends_total{{{pods}}})", legend="{{pod}}"),
                    Query(
                        expr=f'max(cnpg_pg_settings_setting{{{pods}, name="max_connections"}})',
                        legend="max_connections",
                    ),
                ),
            ),
            Panel(
                title="Size of the database",
                source="database",
                description="Harbor's database, without its write-ahead log.",
                queries=(
                    Query(
                        expr=f'max(cnpg_pg_database_size_bytes{{{pods}, datname="registry"}})',
                        legend="registry",
                    ),
                ),
                unit="bytes",
            ),
            Panel(
                title="Age of the newest backup",
                source="backup",
                description="Twenty thousand days: there is none.",
                queries=(
                    Query(
                        expr="time() - max(barman_cloud_cloudnative_pg_io_"
                        f"last_available_backup_timestamp{{{pods}}})",
                        legend="age",
                    ),
                ),
                shape="stat",
                unit="s",
                steps=_red_from(thresholds.backup_hours * 3600),
            ),
        ),
    )
    yield Row(
        title="What ends, and when",
        panels=(
            Panel(
                title="Days left",
                source="recorded",
                description="Certificates, the sealing certificate, robots, as the doctor saw "
                "them.",
                queries=(
                    _days_left(own_metrics.CERTIFICATE_EXPIRY, namespace, "{{certificate}}"),
                    _days_left(own_metrics.SEALING_CERTIFICATE_EXPIRY, namespace, "sealing"),
                    _days_left(own_metrics.ROBOT_EXPIRY, namespace, "{{robot}}"),
                ),
                shape="bargauge",
                width=12,
                steps=((None, "red"), (thresholds.certificate_days, "green")),
            ),
            Panel(
                title="The last restore drill",
                source="recorded",
                description="Whether it passed.",
                queries=(
                    Query(expr=f"max({own_metrics.DRILL_PASSED.name}{{{here}}})", legend="drill"),
                ),
                shape="stat",
                unit="none",
                width=6,
                steps=_RED_BELOW_ONE,
                names=(("0", "failed"), ("1", "passed")),
            ),
            Panel(
                title="How long the doctor has not run",
                source="recorded",
                description="The figures of this row, and of the bucket, are that old.",
                queries=(
                    Query(
                        expr=f"time() - max({own_metrics.DOCTOR_RUN.name}{{{here}}})",
                        legend="doctor",
                    ),
                ),
                shape="stat",
                unit="s",
                width=6,
                steps=_red_from(thresholds.recorded_hours * 3600),
            ),
        ),
    )
