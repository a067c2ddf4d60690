"""Stacks with monitoring on, the metrics in an expression, and test files for promtool."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from components.monitoring import rules
from components.monitoring.alert import Alert, Example
from components.settings.model import Settings
from components.settings.monitoring import PlatformSource
from tests.support import builders

METRICS: dict[str, Any] = {"enabled": True, "serviceMonitor": True}
SMALL: dict[str, Any] = {"metrics": METRICS, "monitoring": {"enabled": True}}
WIDE: dict[str, Any] = {
    "metrics": METRICS,
    "exposure": {
        "kind": "gateway",
        "certificate": {"clusterIssuer": "letsencrypt", "secretName": "harbor-tls"},
    },
    "monitoring": {
        "enabled": True,
        "labels": {"release": "kube-prometheus-stack"},
        "platformSources": list(get_args(PlatformSource)),
        "recordedMetrics": True,
        "dashboardNamespace": "grafana",
        "thresholds": {"bucketSize": "100T"},
    },
}
"""Everything that a section can ask for."""


def small(**monitoring: Any) -> Settings:
    """A stack with monitoring on and these settings of the section."""
    return builders.settings(metrics=METRICS, monitoring={"enabled": True, **monitoring})


def wide(**sections: Any) -> Settings:
    return builders.settings(**WIDE, **sections)


def every_alert() -> list[Alert]:
    """The alerts of all ways in which Secrets are delivered, each once."""
    external = wide(secrets={"delivery": "external", "store": {"name": "platform"}})
    listed = [*rules.all_alerts(wide()), *rules.all_alerts(external)]
    return list({alert.name: alert for alert in listed}.values())


_WORDS = {
    *("absent", "and", "by", "group_left", "increase", "max", "min", "offset", "on", "or", "rate"),
    *("sum", "time", "topk", "unless", "vector"),
}


def metric_names(expr: str) -> set[str]:
    """The names of metrics in a PromQL expression of this project's."""
    bare = re.sub(r"\{.*?\}", "", re.sub(r'"[^"]*"', "", expr))
    bare = re.sub(r"\bby \([^)]*\)", "", re.sub(r"\[\w+\]|offset \w+", "", bare))
    return set(re.findall(r"(?<![\w.])[a-z_]\w*", bare)) - _WORDS


def promtool_test(chosen: Sequence[Alert], settings: Settings, rule_file: str) -> dict[str, Any]:
    """A file for `promtool test rules`: each alert with its two examples."""
    tests = [
        _case(alert, example, settings)
        for alert in chosen
        for example in (alert.fires, alert.quiet)
    ]
    return {"rule_files": [rule_file], "evaluation_interval": "1m", "tests": tests}


def _case(alert: Alert, example: Example, settings: Settings) -> dict[str, Any]:
    expected = {
        "exp_labels": {**example.labels, **rules.labels(alert, settings)},
        "exp_annotations": {
            "summary": alert.summary,
            "description": example.says,
            "runbook_url": rules.runbook_url(alert, settings),
        },
    }
    return {
        "name": f"{alert.name} {'fires' if example is alert.fires else 'is quiet'}",
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values} for series, values in example.series.items()
        ],
        "alert_rule_test": [
            {
                "eval_time": example.at,
                "alertname": alert.name,
                "exp_alerts": [expected] if example is alert.fires else [],
            }
        ],
    }
