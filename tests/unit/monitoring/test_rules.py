"""The alerts: which a stack gets, what each says, and that its metrics and its page exist."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.monitoring import rules
from components.monitoring.alert import Alert
from components.monitoring.alerts import platform
from components.monitoring.metrics import METRICS, sources
from tests.support import builders
from tests.support.monitoring import every_alert, metric_names, small, wide
from tests.support.project import ROOT

TABLE = {metric.name: metric for metric in METRICS}
EVERY = every_alert()
METRICS_ON = {"enabled": True, "serviceMonitor": True}


def names(**monitoring: Any) -> set[str]:
    return {alert.name for alert in rules.alerts(small(**monitoring))}


def test_a_name_is_given_once() -> None:
    assert len({alert.name for alert in EVERY}) == len(EVERY)


def test_a_metric_is_in_the_table_once() -> None:
    assert len(TABLE) == len(METRICS)


@pytest.mark.parametrize("alert", EVERY, ids=lambda alert: alert.name)
def test_an_alert_reads_metrics_of_its_source_alone(alert: Alert) -> None:
    assert metric_names(alert.expr)
    for name in metric_names(alert.expr):
        assert TABLE[name].source == alert.source


@pytest.mark.parametrize("alert", EVERY, ids=lambda alert: alert.name)
def test_an_alert_has_series_with_which_it_fires_and_others(alert: Alert) -> None:
    assert alert.fires.series
    assert alert.quiet.series
    assert alert.fires.says
    assert not alert.quiet.says
    for example in (alert.fires, alert.quiet):
        assert {name for series in example.series for name in metric_names(series)} <= set(TABLE)


@pytest.mark.parametrize("alert", EVERY, ids=lambda alert: alert.name)
def test_an_alert_says_what_and_how_much_and_where_to_read_on(alert: Alert) -> None:
    assert re.search(r"\d", alert.fires.says) or alert.name == "HarborRestoreDrillFailed"
    assert "{{" not in alert.summary
    assert (ROOT / "docs/runbooks" / f"{alert.runbook}.md").is_file()


@pytest.mark.parametrize("alert", EVERY, ids=lambda alert: alert.name)
def test_the_labels_of_a_series_are_those_of_its_metric(alert: Alert) -> None:
    added = {"namespace", "pod", "service", "exported_namespace"}
    for example in (alert.fires, alert.quiet):
        for series in example.series:
            (name,) = metric_names(series)
            given = set(re.findall(r'(\w+)="', series))
            assert given <= {*TABLE[name].labels, *added}, series


def test_a_small_stack_gets_the_alerts_whose_metrics_it_has() -> None:
    assert names() == {
        "HarborComponentDown",
        "HarborContainerDoesNotStart",
        "HarborCoreDown",
        "HarborDatabaseConnections",
        "HarborDatabaseDown",
        "HarborExporterDown",
        "HarborGarbageCollectionFailed",
        "HarborQueueStuck",
        "HarborQuotaNearlyFull",
        "HarborReplicasMissing",
        "HarborReplicationFails",
        "HarborRequestsFail",
        "HarborScansFail",
        "HarborStorageErrors",
        "HarborVolumeNearlyFull",
    }


@pytest.mark.parametrize(
    ("monitoring", "more"),
    [
        ({"recordedMetrics": True}, ["HarborRobotExpires", "HarborRestoreDrillFailed"]),
        ({"platformSources": ["sealed-secrets"]}, ["HarborSecretNotUnsealed"]),
        ({"thresholds": {"bucketSize": "1Ti"}}, ["HarborImagesNearBucketLimit"]),
    ],
    ids=str,
)
def test_a_source_brings_its_alerts(monitoring: dict[str, Any], more: list[str]) -> None:
    assert set(more) <= names(**monitoring)
    assert not set(more) & names()


def test_without_kube_state_metrics_its_alerts_are_left_out() -> None:
    assert "HarborReplicasMissing" not in names(platformSources=[])


def test_certificates_are_watched_where_cert_manager_makes_them() -> None:
    assert "HarborCertificateNotRenewed" not in names(platformSources=["cert-manager"])
    assert "HarborCertificateNotRenewed" in {alert.name for alert in rules.alerts(wide())}


def test_nothing_is_said_about_somebody_else_s_database() -> None:
    shared = {
        "mode": "shared",
        "host": "pg.db",
        "username": "harbor",
        "secret": {"namespace": "db", "name": "pg-app"},
    }
    stack = builders.settings(database=shared, monitoring={"enabled": True}, metrics=METRICS_ON)
    assert not sources(stack) & {"database", "backup"}
    assert not [alert for alert in rules.alerts(stack) if "cnpg" in alert.expr]


def test_thresholds_reach_expression_and_words() -> None:
    stack = small(thresholds={"connectionsPercent": 61})
    (alert,) = [each for each in rules.alerts(stack) if each.name == "HarborDatabaseConnections"]
    assert alert.expr.endswith("> 61")
    assert "more than 61 %" in alert.description


def test_another_namespace_is_watched_there() -> None:
    stack = builders.settings(
        harbor={"namespace": "oci"}, metrics=METRICS_ON, monitoring={"enabled": True}
    )
    assert all('namespace="harbor"' not in alert.expr for alert in rules.alerts(stack))


def test_beside_others_nothing_is_said_about_their_pods_and_volumes() -> None:
    stack = builders.settings(
        harbor={"namespace": "gitlab", "sharedNamespace": True},
        monitoring={"enabled": True},
        metrics=METRICS_ON,
    )
    for source, label in (
        ("HarborReplicasMissing", "deployment"),
        ("HarborContainerDoesNotStart", "pod"),
        ("HarborVolumeNearlyFull", "persistentvolumeclaim"),
    ):
        (alert,) = (one for one in platform.alerts(stack) if one.name == source)
        assert f'{label}=~"(data-)?harbor-.+"' in alert.expr


def test_a_runbook_is_named_by_its_address_or_by_its_path() -> None:
    alert = rules.alerts(small())[0]
    assert rules.runbook_url(alert, small()) == "docs/runbooks/components-down.md"
    stack = small(runbookUrl="https://wiki.example.com/harbor")
    assert rules.runbook_url(alert, stack) == "https://wiki.example.com/harbor/components-down.md"


def test_the_rule_s_groups_are_named_after_their_sources() -> None:
    groups = rules.prometheus_rule_spec(wide())["groups"]
    assert [group["name"] for group in groups][:2] == ["harbor-harbor", "harbor-database"]
    first = groups[0]["rules"][0]
    assert first["labels"] == {
        "severity": "critical",
        "sovereign": "omantel.omani.works",
        "namespace": "harbor",
    }
    assert set(first["annotations"]) == {"summary", "description", "runbook_url"}
