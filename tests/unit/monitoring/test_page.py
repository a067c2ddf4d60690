"""docs/howto/monitoring.md lists every alert and every metric, with its source."""

from __future__ import annotations

import pytest

from components.monitoring.alert import Alert
from components.monitoring.metrics import METRICS, Metric
from components.monitoring.own_metrics import OWN_METRICS, OwnMetric
from tests.support.monitoring import every_alert
from tests.support.project import ROOT

PAGE = (ROOT / "docs/howto/monitoring.md").read_text()
ROWS = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}
ALERTS = every_alert()


def test_the_page_has_no_alert_and_no_metric_that_is_gone() -> None:
    assert set(ROWS) == {each.name for each in (*ALERTS, *METRICS)}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_s_row_says_what_the_alert_says(alert: Alert) -> None:
    row = ROWS[alert.name]
    assert f"| {alert.severity} | {alert.summary} |" in row
    assert f"(../runbooks/{alert.runbook}.md)" in row


@pytest.mark.parametrize(
    "metric", [each for each in METRICS if each.source != "recorded"], ids=lambda each: each.name
)
def test_a_metric_s_row_says_where_it_is_defined(metric: Metric) -> None:
    assert ROWS[metric.name].endswith(f"| {', '.join(metric.labels)} | {metric.defined_in} |")


@pytest.mark.parametrize("metric", OWN_METRICS, ids=lambda each: each.name)
def test_a_recorded_metric_s_row_says_who_writes_it(metric: OwnMetric) -> None:
    assert f"| `{metric.writer}` | {metric.help} |" in ROWS[metric.name]
