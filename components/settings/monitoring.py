"""The section `monitoring`: alerts, a dashboard, and who scrapes. Pure."""

from typing import Annotated, Literal

from pydantic import Field

from components.settings.schema.labels import LABELS
from components.settings.schema.rules import (
    DNS_LABEL,
    Section,
    SettingRule,
    byte_quantity,
    matching,
    whole_number,
)

PlatformSource = Literal[
    "kube-state-metrics", "kubelet", "cert-manager", "sealed-secrets", "external-secrets"
]
"""Software of the cluster with metrics of its own, which some alerts need."""

RUNBOOKS = "docs/runbooks"
"""The folder of the runbooks in this project."""

_RUNBOOK_URL = SettingRule(
    allowed="the https:// address of a folder, without a slash at its end",
    example="https://<host>/docs/runbooks",
    check=matching(r"https://[a-z0-9.-]+(:[0-9]{1,5})?(/[\w.~%@-]+)*"),
    suggest=lambda text: [text.rstrip("/")],
)


class Thresholds(Section):
    """When the alerts fire."""

    queue_minutes: Annotated[int, whole_number(5, 1440, example=30)] = 30
    """Minutes that the oldest job of a queue may wait."""
    replication_failures: Annotated[int, whole_number(1, 10_000, example=3)] = 3
    """Failed attempts of replications in 6 hours that are too many. Harbor tries each image three
    times, so 3 is one image that was not copied."""
    scan_failure_percent: Annotated[int, whole_number(1, 100, example=50)] = 50
    """Percent of an hour's scans that may fail."""
    server_error_percent: Annotated[int, whole_number(1, 100, example=5)] = 5
    """Percent of the registry's answers that may be errors of the server, as they are when the
    bucket refuses or is slow."""
    connections_percent: Annotated[int, whole_number(10, 99, example=80)] = 80
    """Percent of the database's max_connections that may be in use."""
    volume_percent: Annotated[int, whole_number(10, 99, example=90)] = 90
    """Percent of a volume that may be used."""
    quota_percent: Annotated[int, whole_number(10, 99, example=90)] = 90
    """Percent of a project's quota that may be used."""
    bucket_percent: Annotated[int, whole_number(10, 99, example=80)] = 80
    """Percent of the bucket's limit that may be used."""
    bucket_size: Annotated[str, byte_quantity("100T", largest="1000Pi")] | None = None
    """The bucket's limit, by which the size of all images is judged that Harbor's exporter reports.
    No such alert when unset."""
    certificate_days: Annotated[int, whole_number(4, 365, example=14)] = 14
    """Days before a certificate ends. With 3 days left another alert is critical."""
    robot_days: Annotated[int, whole_number(1, 365, example=14)] = 14
    """Days before a robot's login ends."""
    backup_hours: Annotated[int, whole_number(1, 8760, example=26)] = 26
    """Hours that the newest backup of the database may be old: its interval and some more."""
    drill_days: Annotated[int, whole_number(1, 366, example=35)] = 35
    """Days that the last restore drill that passed may be past."""
    recorded_hours: Annotated[int, whole_number(1, 8760, example=26)] = 26
    """Hours that the recorded metrics may be old: the interval of `make doctor` and some more."""


class MonitoringSettings(Section):
    """Alerts and a dashboard for the Prometheus operator and Grafana. Needs metrics.enabled and
    metrics.serviceMonitor."""

    enabled: bool = False
    """Write the objects below. The cluster needs the Prometheus operator's kinds."""
    labels: Annotated[dict[str, str], LABELS] = Field(default_factory=dict)
    """Labels of every object, by which a Prometheus chooses what it reads, such as release:
    kube-prometheus-stack."""
    rules: bool = True
    """Write the alerts, a PrometheusRule."""
    runbook_url: Annotated[str, _RUNBOOK_URL] | None = None
    """Where docs/runbooks of this project can be read. Each alert names a page there. When unset it
    names the page by its path in the project."""
    dashboard: bool = True
    """Write a Grafana dashboard, a ConfigMap with the label grafana_dashboard."""
    dashboard_namespace: Annotated[str, DNS_LABEL] | None = None
    """Namespace of that ConfigMap, for a Grafana that looks in one namespace only; that of Harbor
    when unset."""
    platform_sources: tuple[PlatformSource, ...] = ("kube-state-metrics", "kubelet")
    """Whose metrics the cluster's Prometheus has. Alerts that need another one are left out."""
    recorded_metrics: bool = False
    """Serve the metrics that `make doctor` and `make restore-drill` record, by a small pod, and
    write the alerts that need them: sealing certificate, robots, bucket, drills."""
    thresholds: Thresholds = Thresholds()
    """When the alerts fire."""

    @property
    def object_labels(self) -> dict[str, str]:
        """`labels` where monitoring is on, else none."""
        return dict(self.labels) if self.enabled else {}
