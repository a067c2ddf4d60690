"""Alerts on Harbor's parts and quotas, by its own metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.harbor_inputs import RELEASE
from components.monitoring.alert import Alert, Example, no_target, series
from components.settings.model import Settings


def alerts(settings: Settings) -> Iterator[Alert]:
    namespace = settings.harbor.namespace
    core, exporter = f"{RELEASE}-core", f"{RELEASE}-exporter"

    def up(service: str, pod: str = "a") -> str:
        return series("up", namespace=namespace, service=service, pod=pod)

    yield Alert(
        name="HarborCoreDown",
        source="harbor",
        severity="critical",
        # Without core the exporter reports no health at all, so harbor_up says nothing then.
        expr=no_target(namespace, core),
        for_="5m",
        summary="Harbor's core does not answer",
        description=f"For 5 minutes Prometheus has reached no pod of {core} in {namespace}: nobody "
        "can push, pull or log in.",
        runbook="components-down",
        fires=Example(
            series={up(core): "1 1 0x20"},
            at="15m",
            says=f"For 5 minutes Prometheus has reached no pod of {core} in {namespace}: nobody "
            "can push, pull or log in.",
        ),
        quiet=Example(
            series={
                up(core): "0x20",
                up(core, pod="b"): "1x20",
            },
            at="15m",
        ),
    )
    yield Alert(
        name="HarborComponentDown",
        source="harbor",
        severity="critical",
        expr=f'min by (namespace, component) (harbor_up{{namespace="{namespace}"}}) == 0',
        for_="5m",
        summary="A part of Harbor is unhealthy",
        description="By Harbor's own health check {{ $labels.component }} has been unhealthy for "
        "5 minutes.",
        runbook="components-down",
        fires=Example(
            series={
                f'harbor_up{{namespace="{namespace}", component="registry"}}': "1 1 0x20",
                f'harbor_up{{namespace="{namespace}", component="core"}}': "1x20",
            },
            at="15m",
            labels={"namespace": namespace, "component": "registry"},
            says="By Harbor's own health check registry has been unhealthy for 5 minutes.",
        ),
        quiet=Example(
            series={
                f'harbor_up{{namespace="{namespace}", component="redis"}}': "1x5 0x3 1x10",
                'harbor_up{namespace="another", component="redis"}': "0x20",
            },
            at="15m",
        ),
    )
    yield Alert(
        name="HarborExporterDown",
        source="harbor",
        severity="warning",
        expr=no_target(namespace, exporter),
        for_="10m",
        summary="Harbor's exporter does not answer",
        description=f"For 10 minutes Prometheus has reached no pod of {exporter} in {namespace}. "
        "The alerts on health, queues and quotas see nothing meanwhile.",
        runbook="components-down",
        fires=Example(
            series={up(core): "1x30"},
            at="15m",
            says=f"For 10 minutes Prometheus has reached no pod of {exporter} in {namespace}. "
            "The alerts on health, queues and quotas see nothing meanwhile.",
        ),
        quiet=Example(series={up(exporter): "1x5 0x5 1x20"}, at="15m"),
    )
    percent = settings.monitoring.thresholds.quota_percent

    def used(project: str) -> str:
        metric = "harbor_project_quota_usage_byte"
        return series(metric, namespace=namespace, project_name=project)

    def quota(project: str) -> str:
        return series("harbor_project_quota_byte", namespace=namespace, project_name=project)

    yield Alert(
        name="HarborQuotaNearlyFull",
        source="harbor",
        severity="warning",
        # A project without a quota has the quota -1.
        expr="100 * max by (namespace, project_name) "
        f'(harbor_project_quota_usage_byte{{namespace="{namespace}"}}) / max by (namespace, '
        f'project_name) (harbor_project_quota_byte{{namespace="{namespace}"}} > 0) > {percent}',
        for_="15m",
        summary="A project has nearly used its quota",
        description="Project {{ $labels.project_name }} uses {{ $value | humanize }} % of its "
        f"quota, more than {percent} %. At 100 % pushes are refused.",
        runbook="quota-full",
        fires=Example(
            series={used("apps"): "95e9x40", quota("apps"): "100e9x40"},
            at="30m",
            labels={"namespace": namespace, "project_name": "apps"},
            says=f"Project apps uses 95 % of its quota, more than {percent} %. At 100 % pushes "
            "are refused.",
        ),
        quiet=Example(
            series={
                used("apps"): "50e9x40",
                quota("apps"): "100e9x40",
                used("unlimited"): "99e12x40",
                quota("unlimited"): "-1x40",
            },
            at="30m",
        ),
    )
