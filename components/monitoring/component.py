"""Monitoring: alerts, a dashboard, and who scrapes the database and the recorded metrics.

Harbor's own ServiceMonitor is the chart's (components/harbor/values.py). The dedicated Valkey has
no exporter, so nothing scrapes it: harbor_up says whether Harbor reaches it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Context
from components.kubernetes.naming import DASHBOARD, DATABASE_CLUSTER, FIELD_MANAGER
from components.kubernetes.objects import KubernetesObject
from components.monitoring import recorded
from components.monitoring.dashboard import dashboard
from components.monitoring.rules import NAME, prometheus_rule_spec
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings
from components.stack_config import StackConfig

API: Final = "monitoring.coreos.com/v1"
DASHBOARD_LABEL: Final = {"grafana_dashboard": "1"}
"""By which the sidecar of Grafana's chart finds dashboards."""


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What is written follows from the settings."""

    settings: Settings
    context: Context


class Monitoring(pulumi.ComponentResource):
    """The objects of the section `monitoring`."""

    def __init__(
        self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:Monitoring", name, None, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        settings, section = args.settings, args.settings.monitoring
        if section.rules:
            self._custom("rules", "PrometheusRule", NAME, prometheus_rule_spec(settings))
        if isinstance(settings.database, DedicatedDatabase):
            self._custom("database", "PodMonitor", DATABASE_CLUSTER, pod_monitor_spec())
        if section.recorded_metrics:
            self._recorded()
        if section.dashboard:
            metadata = self._metadata("dashboard", DASHBOARD)
            metadata["labels"] |= DASHBOARD_LABEL
            if section.dashboard_namespace is not None:
                metadata["namespace"] = section.dashboard_namespace
            text = json.dumps(dashboard(settings), indent=1, sort_keys=True)
            KubernetesObject(
                f"{name}-dashboard",
                "v1",
                "ConfigMap",
                metadata=metadata,
                data={f"{DASHBOARD}.json": text},
                opts=self._child,
            )
        self.register_outputs({})

    def _recorded(self) -> None:
        settings = self._args.settings
        harbor = settings.harbor
        part, name = "recorded-metrics", recorded.NAME
        config = KubernetesObject(
            f"{self._name}-recorded-config",
            "v1",
            "ConfigMap",
            metadata=self._metadata(part, recorded.SERVER_CONFIG),
            data={recorded.CONFIG_KEY: recorded.nginx_conf(harbor.ip_family)},
            opts=self._child,
        )
        spec: Any = recorded.deployment_spec(
            harbor, self._args.context.labels(part), image_registry=settings.image_registry
        )
        KubernetesObject(
            f"{self._name}-recorded-server",
            "apps/v1",
            "Deployment",
            metadata=self._metadata(part, name),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[config]),
        )
        metadata = self._metadata(part, name)
        # The ServiceMonitor selects the Service by this label.
        metadata["labels"] |= recorded.selector()
        metadata["annotations"] |= {"pulumi.com/skipAwait": "true"}
        KubernetesObject(
            f"{self._name}-recorded-service",
            "v1",
            "Service",
            metadata=metadata,
            spec=_service(harbor.ip_family.policy, harbor.ip_family.families),
            opts=self._child,
        )
        self._custom("recorded-monitor", "ServiceMonitor", name, recorded.service_monitor_spec())

    def _custom(self, part: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        CustomResource(
            f"{self._name}-{part}",
            api_version=API,
            kind=kind,
            metadata=self._metadata("monitoring", name),
            spec=spec,
            opts=self._child,
        )

    def _metadata(self, part: str, name: str) -> Any:
        context = self._args.context
        labels = self._args.settings.monitoring.object_labels
        return {
            "name": name,
            "namespace": context.namespace,
            "labels": {**labels, **context.labels(part)},
            "annotations": dict(FIELD_MANAGER),
        }


def _service(policy: str | None, families: tuple[str, ...]) -> Any:
    spec: dict[str, Any] = {
        "selector": recorded.selector(),
        "ports": [{"name": "metrics", "port": recorded.PORT, "targetPort": "metrics"}],
    }
    if policy is not None:
        spec["ipFamilyPolicy"] = policy
    if families:
        spec["ipFamilies"] = list(families)
    return spec


def pod_monitor_spec() -> dict[str, Any]:
    """`spec` of the PodMonitor for the database's pods, as the operator would write it.

    Its own switch, enablePodMonitor, is deprecated since CloudNativePG 1.26.
    """
    return {
        "selector": {
            "matchLabels": {"cnpg.io/cluster": DATABASE_CLUSTER, "cnpg.io/podRole": "instance"}
        },
        "podMetricsEndpoints": [{"port": "metrics"}],
    }


def create(config: StackConfig, context: Context) -> Monitoring | None:
    """What the section `monitoring` asks for; None where it is off."""
    settings = config.settings
    if not settings.monitoring.enabled:
        return None
    args = MonitoringArgs(settings=settings, context=context)
    return Monitoring("monitoring", args, context.options)
