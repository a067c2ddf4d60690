"""The metrics that alerts and dashboard use: who serves each, and where it is defined. Pure.

A name that is not in this table is in no expression (tests/unit/monitoring/). The line says where
the software defines the metric, at the version that was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from components.monitoring.own_metrics import OWN_METRICS
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings
from components.settings.monitoring import PlatformSource

Source = Literal["harbor", "database", "backup", "recorded"] | PlatformSource
"""Who serves a metric. harbor: core, jobservice, registry and the exporter; database: the pods of a
dedicated one; backup: the plugin in these pods; recorded: own_metrics.py."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric. `labels`: its own ones; Prometheus adds namespace, pod and others.

    `defined_in`: repository, version, file:line.
    """

    name: str
    source: Source
    labels: tuple[str, ...] = ()
    defined_in: str


def sources(settings: Settings) -> frozenset[Source]:
    """Who serves metrics in this stack."""
    monitoring = settings.monitoring
    present: set[Source] = {"harbor", *monitoring.platform_sources}
    if isinstance(settings.database, DedicatedDatabase):
        present.add("database")
        if settings.backup is not None:
            present.add("backup")
    if monitoring.recorded_metrics:
        present.add("recorded")
    return frozenset(present)


_HARBOR: Final = "goharbor/harbor v2.14.3 and v2.15.2"
_EXPORTER: Final = f"{_HARBOR} src/pkg/exporter"
_REGISTRY: Final = "distribution/distribution v2.8.3"
_CNPG: Final = "cloudnative-pg/cloudnative-pg v1.29.1"
_KSM: Final = "kubernetes/kube-state-metrics v2.19.1 internal/store"
_KUBELET: Final = "kubernetes/kubernetes v1.35.4 pkg/kubelet/metrics/metrics.go"

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        name="up",
        source="harbor",
        labels=("service",),
        defined_in="prometheus/prometheus v3.15.1 scrape/scrape.go:2231 (one for each target; the "
        "label service: prometheus-operator v0.85.0 pkg/prometheus/promcfg.go:1978)",
    ),
    Metric(
        name="harbor_up",
        source="harbor",
        labels=("component",),
        defined_in=f"{_EXPORTER}/health_collector.go:36",
    ),
    Metric(
        name="harbor_task_queue_size",
        source="harbor",
        labels=("type",),
        defined_in=f"{_EXPORTER}/js_collector.go:27",
    ),
    Metric(
        name="harbor_task_queue_latency",
        source="harbor",
        labels=("type",),
        defined_in=f"{_EXPORTER}/js_collector.go:31",
    ),
    Metric(
        name="harbor_project_quota_usage_byte",
        source="harbor",
        labels=("project_name",),
        defined_in=f"{_EXPORTER}/project_collector.go:59",
    ),
    Metric(
        name="harbor_project_quota_byte",
        source="harbor",
        labels=("project_name",),
        defined_in=f"{_EXPORTER}/project_collector.go:63 (-1: no quota)",
    ),
    Metric(
        name="harbor_statistics_total_storage_consumption",
        source="harbor",
        defined_in=f"{_EXPORTER}/statistics_collector.go:35",
    ),
    Metric(
        name="harbor_core_http_request_total",
        source="harbor",
        labels=("method", "code", "operation"),
        defined_in=f"{_HARBOR} src/lib/metric/collector.go:48, METRIC_SUBSYSTEM core in "
        "harbor-helm v1.18.3 and v1.19.1 templates/core/core-cm.yaml:63",
    ),
    Metric(
        name="harbor_core_http_request_duration_seconds",
        source="harbor",
        labels=("method", "operation", "quantile"),
        defined_in=f"{_HARBOR} src/lib/metric/collector.go:59",
    ),
    Metric(
        name="harbor_jobservice_task_total",
        source="harbor",
        labels=("type", "status"),
        defined_in=f"{_HARBOR} src/lib/metric/jobservice.go:48, counted in "
        "src/jobservice/runner/redis.go:124 (status fail, each attempt), :142 (stop), :149 "
        "(success); METRIC_SUBSYSTEM jobservice in harbor-helm v1.18.3 "
        "templates/jobservice/jobservice-cm-env.yaml:27, v1.19.1 :28",
    ),
    Metric(
        name="registry_http_requests_total",
        source="harbor",
        labels=("code", "method", "handler"),
        defined_in=f"{_REGISTRY} vendor/github.com/docker/go-metrics/namespace.go:235, namespace "
        "in registry/handlers/app.go:432",
    ),
    Metric(
        name="registry_storage_action_seconds_sum",
        source="harbor",
        labels=("driver", "action"),
        defined_in=f"{_REGISTRY} registry/storage/driver/base/base.go:53",
    ),
    Metric(
        name="registry_storage_action_seconds_count",
        source="harbor",
        labels=("driver", "action"),
        defined_in=f"{_REGISTRY} registry/storage/driver/base/base.go:53",
    ),
    Metric(
        name="cnpg_collector_up",
        source="database",
        labels=("cluster",),
        defined_in=f"{_CNPG} pkg/management/postgres/webserver/metricserver/pg_collector.go:133",
    ),
    Metric(
        name="cnpg_backends_total",
        source="database",
        labels=("datname", "usename", "application_name", "state"),
        defined_in=f"{_CNPG} config/manager/default-monitoring.yaml:10",
    ),
    Metric(
        name="cnpg_pg_settings_setting",
        source="database",
        labels=("name",),
        defined_in=f"{_CNPG} config/manager/default-monitoring.yaml:446",
    ),
    Metric(
        name="cnpg_pg_database_size_bytes",
        source="database",
        labels=("datname",),
        defined_in=f"{_CNPG} config/manager/default-monitoring.yaml:79",
    ),
    Metric(
        name="cnpg_pg_stat_archiver_last_failed_time",
        source="backup",
        defined_in=f"{_CNPG} config/manager/default-monitoring.yaml:195 (-1: never)",
    ),
    Metric(
        name="cnpg_pg_stat_archiver_last_archived_time",
        source="backup",
        defined_in=f"{_CNPG} config/manager/default-monitoring.yaml:192 (-1: never)",
    ),
    Metric(
        name="barman_cloud_cloudnative_pg_io_last_available_backup_timestamp",
        source="backup",
        defined_in="cloudnative-pg/plugin-barman-cloud v0.14.0 "
        "internal/cnpgi/instance/metrics.go:52 (0: none; served by the pods of the database)",
    ),
    Metric(
        name="kube_deployment_status_replicas_available",
        source="kube-state-metrics",
        labels=("namespace", "deployment"),
        defined_in=f"{_KSM}/deployment.go:153",
    ),
    Metric(
        name="kube_deployment_spec_replicas",
        source="kube-state-metrics",
        labels=("namespace", "deployment"),
        defined_in=f"{_KSM}/deployment.go:268",
    ),
    Metric(
        name="kube_pod_container_status_waiting_reason",
        source="kube-state-metrics",
        labels=("namespace", "pod", "container", "reason"),
        defined_in=f"{_KSM}/pod.go:557",
    ),
    Metric(
        name="kubelet_volume_stats_available_bytes",
        source="kubelet",
        labels=("namespace", "persistentvolumeclaim"),
        defined_in=f"{_KUBELET}:61",
    ),
    Metric(
        name="kubelet_volume_stats_capacity_bytes",
        source="kubelet",
        labels=("namespace", "persistentvolumeclaim"),
        defined_in=f"{_KUBELET}:60",
    ),
    Metric(
        name="certmanager_certificate_expiration_timestamp_seconds",
        source="cert-manager",
        labels=("name", "namespace", "issuer_name", "issuer_kind", "issuer_group"),
        defined_in="cert-manager/cert-manager v1.16.2 pkg/metrics/metrics.go:107, v1.19.2 "
        "internal/collectors/certificate_collector.go:33",
    ),
    Metric(
        name="externalsecret_status_condition",
        source="external-secrets",
        labels=("namespace", "exported_namespace", "name", "condition", "status"),
        defined_in="external-secrets/external-secrets v2.9.0 "
        "pkg/controllers/externalsecret/esmetrics/esmetrics.go:63 (1 for the status that holds; "
        "exported_namespace: Prometheus, where honorLabels is not set)",
    ),
    Metric(
        name="sealed_secrets_controller_condition_info",
        source="sealed-secrets",
        labels=("namespace", "name", "condition"),
        defined_in="bitnami-labs/sealed-secrets v0.36.6 pkg/controller/metrics.go:54 (1 true, 0 "
        "unknown, -1 false)",
    ),
    *(
        Metric(
            name=own.name,
            source="recorded",
            labels=own.labels,
            defined_in="components/monitoring/own_metrics.py",
        )
        for own in OWN_METRICS
    ),
)
