"""The objects of the section `monitoring`, as they are registered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components import versions
from components.monitoring import component, recorded
from components.monitoring.own_metrics import WRITERS
from components.settings.harbor import IpFamily
from tests.support.builders import config, context_of
from tests.support.mocks import CONFIG_MAP, Engine, Registered
from tests.support.monitoring import METRICS, SMALL, WIDE

API = "kubernetes:monitoring.coreos.com/v1"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SERVICE = "kubernetes:core/v1:Service"


@pytest.fixture
def build(engine: Engine, sealing_certificate: str) -> Any:
    def run(**sections: Any) -> Engine:
        engine.run(lambda: component.create(config(**sections), context_of(sealing_certificate)))
        return engine

    return run


def one(engine: Engine, kind: str) -> Registered:
    (found,) = engine.all(f"{API}:{kind}")
    return found


def test_nothing_is_written_unless_it_is_asked_for(build: Any) -> None:
    assert [each.name for each in build().resources if each.name != "cluster"] == []


def test_a_small_stack_gets_rules_a_pod_monitor_and_a_dashboard(build: Any) -> None:
    engine = build(**SMALL)
    kinds = {each.typ for each in engine.resources if each.custom} - {"pulumi:providers:kubernetes"}
    assert kinds == {f"{API}:PrometheusRule", f"{API}:PodMonitor", CONFIG_MAP}


def test_the_labels_that_prometheus_selects_by_are_on_every_object(build: Any) -> None:
    engine = build(**WIDE)
    objects = [each for each in engine.resources if "metadata" in each.inputs]
    assert len(objects) == 7
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels["release"] == "kube-prometheus-stack"
        assert labels["app.kubernetes.io/part-of"] == "sovereign-harbor"


def test_a_label_of_the_program_s_own_is_not_replaced(build: Any) -> None:
    labels = {"app.kubernetes.io/part-of": "mine"}
    engine = build(metrics=METRICS, monitoring={"enabled": True, "labels": labels})
    written = one(engine, "PrometheusRule")["metadata"]["labels"]
    assert written["app.kubernetes.io/part-of"] == "sovereign-harbor"


def test_the_pod_monitor_selects_the_instances_of_the_cluster(build: Any) -> None:
    spec = one(build(**SMALL), "PodMonitor")["spec"]
    assert spec == {
        "selector": {
            "matchLabels": {"cnpg.io/cluster": "harbor-pg", "cnpg.io/podRole": "instance"}
        },
        "podMetricsEndpoints": [{"port": "metrics"}],
    }


def test_a_shared_database_is_not_scraped(build: Any) -> None:
    shared = {
        "mode": "shared",
        "host": "pg.db",
        "username": "harbor",
        "secret": {"namespace": "db", "name": "pg-app"},
    }
    assert not build(database=shared, **SMALL).all(f"{API}:PodMonitor")


def test_rules_and_dashboard_can_be_left_out(build: Any) -> None:
    off = {"enabled": True, "rules": False, "dashboard": False}
    engine = build(metrics=METRICS, monitoring=off)
    assert not engine.all(f"{API}:PrometheusRule")
    assert not engine.all(CONFIG_MAP)


def test_the_dashboard_goes_where_grafana_looks(build: Any) -> None:
    engine = build(**WIDE)
    (dashboard,) = [each for each in engine.all(CONFIG_MAP) if each.name == "monitoring-dashboard"]
    metadata = dashboard["metadata"]
    assert metadata["namespace"] == "grafana"
    assert metadata["labels"]["grafana_dashboard"] == "1"
    model = json.loads(dashboard["data"]["harbor-dashboard.json"])
    assert model["title"] == "Harbor: omantel.omani.works"


def test_recorded_metrics_are_served_by_a_pod_that_may_nothing(build: Any) -> None:
    engine = build(**WIDE)
    (server,) = engine.all(DEPLOYMENT)
    pod = server["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["image"] == versions.RECORDED_METRICS_IMAGE
    assert pod["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    figures = next(each for each in pod["volumes"] if each["name"] == "figures")
    assert figures["configMap"] == {"name": "harbor-recorded-metrics", "optional": True}


def test_service_and_service_monitor_find_that_pod(build: Any) -> None:
    engine = build(**WIDE)
    (server,) = engine.all(DEPLOYMENT)
    (service,) = engine.all(SERVICE)
    monitor = one(engine, "ServiceMonitor")["spec"]
    labels = server["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {each["path"] for each in monitor["endpoints"]} == {f"/{name}" for name in WRITERS}
    ports = [each["name"] for each in service["spec"]["ports"]]
    assert {each["port"] for each in monitor["endpoints"]} == set(ports)


def test_the_pod_restarts_when_its_configuration_changes() -> None:
    def annotated(family: IpFamily) -> str:
        from components.settings.harbor import HarborSettings

        spec = recorded.deployment_spec(HarborSettings(ip_family=family), {})
        return spec["template"]["metadata"]["annotations"]["sovereign-harbor/config"]

    assert annotated(IpFamily()) != annotated(IpFamily(ipv6=False))


@pytest.mark.parametrize(
    ("family", "listens"),
    [
        (IpFamily(), ["listen 8001;", "listen [::]:8001;"]),
        (IpFamily(ipv6=False), ["listen 8001;"]),
        (IpFamily(ipv4=False), ["listen [::]:8001;"]),
    ],
    ids=["both", "IPv4", "IPv6"],
)
def test_nginx_listens_by_the_ip_versions_of_the_cluster(
    family: IpFamily, listens: list[str]
) -> None:
    lines = [line.strip() for line in recorded.nginx_conf(family).splitlines()]
    assert [line for line in lines if line.startswith("listen")] == listens


def test_nginx_serves_a_path_for_each_command_and_nothing_else() -> None:
    text = recorded.nginx_conf(IpFamily())
    for writer in WRITERS:
        assert f"location = /{writer} " in text
    assert "location / { return 404; }" in text
    assert text.count("{") == text.count("}")
