"""Monitoring by the real engine: its objects are accepted, stay as they are, and go again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from components.monitoring import own_metrics
from components.monitoring.own_metrics import CONFIG_MAP, DRILL_PASSED, config_map, figure
from engine.stack import Stack
from sandbox import cluster
from tests.sandbox.conftest import Sandbox
from tests.support.monitoring import METRICS
from tests.support.sandbox import NAMESPACE, objects

KINDS = "prometheusrules,podmonitors,servicemonitors"
SECTION: dict[str, Any] = {
    "enabled": True,
    "labels": {"release": "kube-prometheus-stack"},
    "recordedMetrics": True,
    "thresholds": {"bucketSize": "100T"},
}


@pytest.fixture(scope="module")
def monitored(sandbox: Sandbox, sovereign: Stack) -> Iterator[Stack]:
    """The local Sovereign with monitoring on."""
    with sandbox.configured(metrics=METRICS, monitoring=SECTION):
        sovereign.up()
        yield sovereign


def names(sandbox: Sandbox, kinds: str) -> set[str]:
    return {f"{each['kind']}/{each['metadata']['name']}" for each in objects(sandbox, kinds)}


def test_the_api_server_takes_every_object(sandbox: Sandbox, monitored: Stack) -> None:
    assert names(sandbox, KINDS) == {
        "PodMonitor/harbor-pg",
        "PrometheusRule/harbor",
        "ServiceMonitor/harbor",
        "ServiceMonitor/harbor-recorded-metrics",
    }
    for each in objects(sandbox, KINDS):
        assert each["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    (rule,) = objects(sandbox, "prometheusrules")
    alerts = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    assert len(alerts) > 20


def test_a_second_up_changes_nothing(monitored: Stack) -> None:
    monitored.up(expect_no_changes=True)
    monitored.run("refresh", "-s", monitored.name, "--yes", "--skip-preview", "--expect-no-changes")


def record(sandbox: Sandbox, writer: own_metrics.Writer, *figures: own_metrics.Figure) -> None:
    """As a command records: server-side apply by a field manager of its own."""
    cluster.kubectl(
        sandbox.state,
        sandbox.tools,
        "apply",
        "--server-side",
        f"--field-manager=sovereign-harbor-{writer}",
        "-f",
        "-",
        stdin=json.dumps(config_map(NAMESPACE, writer, figures)),
    )


def test_what_commands_record_stays_and_each_has_its_own_key(
    sandbox: Sandbox, monitored: Stack
) -> None:
    record(sandbox, "doctor", figure(own_metrics.DOCTOR_RUN, 1))
    record(sandbox, "restore-drill", figure(DRILL_PASSED, 0))
    record(sandbox, "restore-drill", figure(DRILL_PASSED, 1))
    monitored.up(expect_no_changes=True)
    written = [each for each in objects(sandbox, "configmaps") if _name(each) == CONFIG_MAP]
    (data,) = [each["data"] for each in written]
    assert set(data) == {"doctor", "restore-drill"}
    assert data["restore-drill"].endswith(f"{DRILL_PASSED.name} 1\n")


def _name(item: dict[str, Any]) -> str:
    return item["metadata"]["name"]


def test_monitoring_that_is_switched_off_takes_its_objects_along(
    sandbox: Sandbox, monitored: Stack
) -> None:
    with sandbox.configured(metrics=None, monitoring=None):
        monitored.up()
        assert names(sandbox, KINDS) == set()
    # What commands recorded is theirs, and stays.
    cluster.kubectl(
        sandbox.state, sandbox.tools, "delete", "configmap", CONFIG_MAP, "-n", NAMESPACE
    )
