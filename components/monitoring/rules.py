"""The PrometheusRule: the alerts whose metrics a stack has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from components.kubernetes.naming import ALERTS
from components.monitoring.alert import Alert
from components.monitoring.alerts import database, harbor, jobs, platform, recorded, storage
from components.monitoring.metrics import sources
from components.settings.model import Settings
from components.settings.monitoring import RUNBOOKS

NAME: Final = ALERTS
"""Of the PrometheusRule."""


def all_alerts(settings: Settings) -> list[Alert]:
    """The alerts, those included whose metrics this stack has not."""
    subjects = (harbor, jobs, storage, database, platform, recorded)
    return [alert for subject in subjects for alert in subject.alerts(settings)]


def alerts(settings: Settings) -> list[Alert]:
    """The alerts whose metrics this stack has."""
    present = sources(settings)
    return [alert for alert in all_alerts(settings) if alert.source in present]


def prometheus_rule_spec(settings: Settings) -> dict[str, Any]:
    """`spec` of the PrometheusRule (monitoring.coreos.com/v1)."""
    return {"groups": groups(alerts(settings), settings)}


def groups(chosen: Sequence[Alert], settings: Settings) -> list[dict[str, Any]]:
    """The alerts as Prometheus reads them: one group for each source."""
    return [
        {
            "name": f"{NAME}-{source}",
            "rules": [_rule(each, settings) for each in chosen if each.source == source],
        }
        for source in dict.fromkeys(alert.source for alert in chosen)
    ]


def _rule(alert: Alert, settings: Settings) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.for_,
        "labels": labels(alert, settings),
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": runbook_url(alert, settings),
        },
    }


def labels(alert: Alert, settings: Settings) -> dict[str, str]:
    """The labels that the alert gets beside those of its expression."""
    return {
        "severity": alert.severity,
        "sovereign": settings.fqdn,
        # `absent` over a comparison has no labels, and Alertmanager routes by the namespace.
        "namespace": settings.harbor.namespace,
    }


def runbook_url(alert: Alert, settings: Settings) -> str:
    """Where the alert's page is: its address, or its path in the project."""
    return f"{settings.monitoring.runbook_url or RUNBOOKS}/{alert.runbook}.md"
