"""Services and NetworkPolicies as rules of nft."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from components.network.rules import DataServices, network_policies, perimeter
from sandbox.pods.control import ISOLATED, refusal
from sandbox.pods.rules import Cluster, endpoints, hosts, permitted, ruleset, translations
from tests.support.builders import settings


def pod(name: str, address: str, namespace: str = "harbor", **labels: str) -> dict[str, Any]:
    ports = [{"name": "web", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"ports": ports}]},
        "status": {"podIP": address, "phase": "Running"},
    }


CORE = pod("core", "10.244.0.2", app="core")
CACHE = pod("cache", "10.244.0.3", app="cache")
GATEWAY = pod("gateway", "10.244.0.4", namespace="edge", app="gateway")
NAMESPACES = [
    {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}}
    for name in ("harbor", "edge")
]


def policy(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "harbor", "name": "policy"},
        "spec": {"podSelector": {"matchLabels": {"app": "cache"}}, **spec},
    }


def cluster(*policies: dict[str, Any], **more: Any) -> Cluster:
    return Cluster(
        pods=[CORE, CACHE, GATEWAY], namespaces=NAMESPACES, policies=policies, **more
    )  # fmt: skip


OF_CORE = {"podSelector": {"matchLabels": {"app": "core"}}}
PORT = {"protocol": "TCP", "port": 6379}


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({"from": [OF_CORE], "ports": [PORT]}, ["ip saddr { 10.244.0.2 } tcp dport 6379"]),
        ({"from": [OF_CORE]}, ["ip saddr { 10.244.0.2 }"]),
        ({"ports": [PORT]}, ["tcp dport 6379"]),
        ({}, ["meta nfproto ipv4"]),
        ({"ports": [{"port": "web"}]}, ["tcp dport 8080"]),
        ({"ports": [{"port": "unheard-of"}]}, []),
        ({"ports": [{"port": 1, "endPort": 9}]}, ["tcp dport 1-9"]),
        ({"ports": [{"protocol": "UDP"}]}, ["meta l4proto udp"]),
        (
            {"from": [{"namespaceSelector": {}}]},
            ["ip saddr { 10.244.0.2, 10.244.0.3, 10.244.0.4 }"],
        ),
        (
            {
                "from": [
                    {
                        "podSelector": {},
                        "namespaceSelector": {
                            "matchLabels": {"kubernetes.io/metadata.name": "edge"}
                        },
                    }
                ]
            },
            ["ip saddr { 10.244.0.4 }"],
        ),
        ({"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}, []),
        (
            {"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]},
            ["ip saddr 0.0.0.0/0 ip saddr != { 10.0.0.0/8 }"],
        ),
        ({"from": [{"ipBlock": {"cidr": "::/0"}}]}, []),
    ],
)
def test_a_policy_lets_in_whom_its_rules_name(rule: dict[str, Any], matches: list[str]) -> None:
    assert permitted(CACHE, cluster(policy(ingress=[rule])), "ingress") == matches


def test_a_pod_that_no_policy_selects_is_open_both_ways() -> None:
    assert permitted(CORE, cluster(policy(ingress=[])), "ingress") is None
    assert permitted(CACHE, cluster(policy(ingress=[])), "egress") is None


def test_policies_add_up_and_a_type_without_rules_lets_nothing_through() -> None:
    deny = policy(policyTypes=["Ingress", "Egress"])
    allow = policy(ingress=[{"from": [OF_CORE]}])
    both = cluster(deny, allow)
    assert permitted(CACHE, both, "ingress") == ["ip saddr { 10.244.0.2 }"]
    assert permitted(CACHE, both, "egress") == []


@pytest.mark.parametrize(
    ("expression", "selects"),
    [
        ({"key": "app", "operator": "In", "values": ["cache"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["cache"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_selectors_have_expressions(expression: dict[str, Any], selects: bool) -> None:
    selected = policy(ingress=[]) | {"spec": {"podSelector": {"matchExpressions": [expression]}}}
    assert (permitted(CACHE, cluster(selected), "ingress") == []) is selects


SERVICE: dict[str, Any] = {
    "metadata": {"name": "cache", "namespace": "harbor"},
    "spec": {
        "clusterIP": "10.0.0.9",
        "clusterIPs": ["10.0.0.9", "fd00::9"],
        "ports": [{"name": "valkey", "port": 6379}],
    },
}


def piece(*addresses: str, ready: bool = True, of: str = "cache") -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "harbor",
            "labels": {"kubernetes.io/service-name": of},
        },
        "addressType": "IPv4",
        "ports": [{"name": "valkey", "port": 6380}, {"name": "other", "port": 1}],
        "endpoints": [{"addresses": [*addresses], "conditions": {"ready": ready}}],
    }


def test_a_service_leads_to_the_pods_that_are_ready() -> None:
    slices = [piece("10.244.0.3"), piece("10.244.0.5", ready=False), piece("10.9.9.9", of="x")]
    assert endpoints(SERVICE, SERVICE["spec"]["ports"][0], slices) == ["10.244.0.3:6380"]
    assert translations(Cluster(services=[SERVICE], slices=slices)) == [
        "ip daddr 10.0.0.9 tcp dport 6379 dnat ip to 10.244.0.3:6380"
    ]
    assert translations(Cluster(services=[SERVICE])) == []


def test_names_of_services_are_in_place_of_a_name_server() -> None:
    headless = {
        "metadata": {"name": "pods", "namespace": "edge"},
        "spec": {"clusterIP": "None", "ports": [{"name": "valkey", "port": 6379}]},
    }
    slices = [{**piece("10.244.0.3", of="pods"), "metadata": {
        "namespace": "edge", "labels": {"kubernetes.io/service-name": "pods"}}}]  # fmt: skip
    text = hosts("harbor", Cluster(services=[SERVICE, headless], slices=slices), own="10.1.1.1 me")
    assert text.splitlines() == [
        "127.0.0.1 localhost",
        "10.1.1.1 me",
        "10.0.0.9 cache.harbor.svc.cluster.local cache.harbor.svc cache.harbor cache",
        "10.244.0.3 pods.edge.svc.cluster.local pods.edge.svc pods.edge",
    ]


def test_what_is_outside_is_asked_for_even_though_it_is_at_the_loopback_address() -> None:
    lines = ruleset(CACHE, cluster(policy(policyTypes=["Egress"]), outside=[7070])).splitlines()
    asked = next(number for number, line in enumerate(lines) if "{ 7070 } goto egress" in line)
    assert asked < lines.index('    oifname "lo" accept')


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
def test_nft_takes_the_rules_of_all_the_programs_own_policies() -> None:
    reason = refusal()
    if reason is not None:
        pytest.skip(reason)
    made = network_policies(
        perimeter(
            settings(),
            DataServices(
                database={"app": "db"}, cache={"app": "cache"}, recorded_metrics={"app": "metrics"}
            ),
        )
    )
    policies = [
        {"metadata": {"namespace": "harbor"}, "spec": each.spec}
        for each in made
        if each.kind == "NetworkPolicy"
    ]
    two = piece("10.244.0.3", "10.244.0.4")
    core = pod("harbor-core", "10.244.0.9", app="harbor", release="harbor", component="core")
    everything = Cluster(
        pods=[CACHE, core],
        namespaces=NAMESPACES,
        policies=policies,
        services=[SERVICE],
        slices=[two],
        outside=[7070],
    )
    assert permitted(CACHE, everything, "ingress")
    text = ruleset(CACHE, everything)
    subprocess.run(
        [*ISOLATED, "unshare", "--net", "nft", "-f", "-"], input=text + text, text=True, check=True
    )
