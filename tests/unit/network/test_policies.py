"""The NetworkPolicies as they are registered, and the description behind them.

What they allow together is compared with the traffic matrix in tests/render/.
"""

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from components.kubernetes.naming import FIELD_MANAGER
from components.network import policies
from components.network.policies import DATA_SERVICES
from components.network.rules import Addresses, Edge, Party, Pods, network_policies, perimeter
from tests.support.builders import (
    AZURE,
    BACKUP,
    BUCKET,
    FQDN,
    KEYED_GCS,
    KEYLESS_GCS,
    LASTING,
    config,
    context_of,
    settings,
)
from tests.support.golden import compare
from tests.support.mocks import Engine, Registered

PLAIN = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
CILIUM = "kubernetes:cilium.io/v2:CiliumNetworkPolicy"
BEHIND_TRAEFIK: dict[str, Any] = {
    "gateway": {"kind": "namespace", "namespace": "traefik"},
    "apiServer": {"cidr": "10.0.0.0/24"},
}


SHARED: dict[str, Any] = {
    "database": {
        "mode": "shared",
        "host": "pg-rw.databases",
        "username": "harbor",
        "secret": {"namespace": "databases", "name": "pg"},
    },
    "valkey": {
        "mode": "shared",
        "host": "10.1.2.3",
        "secret": {"namespace": "valkey", "name": "valkey"},
    },
}
RESTORE: dict[str, Any] = {"from": {**BACKUP["destination"], "endpoint": "https://10.3.0.9:9000"}}
ON_NODES: dict[str, Any] = {
    **{
        "metrics": {"enabled": True, "serviceMonitor": True},
        "monitoring": {"enabled": True, "recordedMetrics": True},
    },
    **{"storage": LASTING, "backup": BACKUP, "database": {"restore": RESTORE}},
    "networkPolicies": {
        "cni": "cilium",
        "gateway": {"kind": "host"},
        "dns": {"namespace": "dns", "port": 5353, "addresses": ["169.254.20.10/32"]},
        "apiServer": {"extraCidrs": ["203.0.113.9/32"], "extraPorts": [443]},
        "monitoringNamespace": "prometheus",
        "operatorNamespace": "cnpg",
        "mesh": {"ports": [4143], "namespace": "linkerd", "controlPlanePorts": [8086, 8090]},
    },
}
"""Cilium with a gateway on the nodes' network, a mesh, backups and all that is measured."""
BALANCED: dict[str, Any] = {
    "harbor": {"chart": {"version": "1.18.3"}},
    "storage": {**BUCKET, "endpoint": "https://minio.storage", "redirect": True},
    "trivy": {"dbRepositories": ["mirror.example.com:5000/trivy-db", "ghcr.io/a/trivy-db"]},
    "networkPolicies": {
        "gateway": {"kind": "addresses", "ranges": ["10.0.8.0/24"], "httpsPort": 9443},
        "apiServer": {"cidr": "10.0.0.0/24"},
        "outside": ["0.0.0.0/0"],
        "extraRules": [
            {"party": "core", "direction": "egress", "cidr": "10.9.0.0/16", "ports": [636]},
            {
                **{"party": "registry", "direction": "ingress", "namespace": "scanner"},
                **{"podLabels": {"app": "probe"}, "ports": [5000, 5001], "protocol": "UDP"},
            },
        ],
    },
}
"""A load balancer outside of the cluster, a bucket inside, and rules of the estate's own."""
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("estate", "sections"),
    [
        ("cilium", {"metrics": {"enabled": True}}),
        ("traefik", {"networkPolicies": BEHIND_TRAEFIK}),
        ("shared", {**SHARED, "trivy": {"offline": True}}),
        ("nodes", ON_NODES),
        ("balanced", BALANCED),
    ],
)
def test_a_stack_that_says_nothing_new_keeps_its_policies(
    estate: str, sections: dict[str, Any]
) -> None:
    made = network_policies(perimeter(settings(**sections), DATA_SERVICES))
    policies = [{"kind": each.kind, "name": each.name, "spec": each.spec} for each in made]
    compare(json.loads(json.dumps(policies)), GOLDEN / f"{estate}.yaml")


def registered(engine: Engine, certificate: str, **sections: Any) -> list[Registered]:
    def build() -> None:
        policies.create(config(**sections), context_of(certificate))

    engine.run(build)
    return [*engine.all(PLAIN), *engine.all(CILIUM)]


def party(host: str) -> Party:
    """What a shared database's host is taken for."""
    shared = {
        "mode": "shared",
        "host": host,
        "username": "harbor",
        "secret": {"namespace": "databases", "name": "pg"},
    }
    return perimeter(settings(database=shared), DATA_SERVICES).parties["database"]


def test_every_policy_is_in_harbors_namespace_and_says_whose_it_is(
    engine: Engine, sealing_certificate: str
) -> None:
    made = registered(engine, sealing_certificate)
    assert len(made) > 8
    for policy in made:
        metadata = policy["metadata"]
        assert metadata["namespace"] == "registry"
        assert metadata["annotations"] == FIELD_MANAGER
        assert metadata["labels"]["catalyst.openova.io/sovereign"] == FQDN
        assert policy.parent_name == "network-policies"
        assert "cluster" in policy.provider


def test_no_two_policies_share_a_name(engine: Engine, sealing_certificate: str) -> None:
    made = registered(engine, sealing_certificate)
    names = [(policy.typ, policy["metadata"]["name"]) for policy in made]
    assert len(set(names)) == len(names)


def test_cilium_policies_are_written_for_cilium_only(
    engine: Engine, sealing_certificate: str
) -> None:
    registered(engine, sealing_certificate, networkPolicies=BEHIND_TRAEFIK)
    assert engine.all(CILIUM) == []
    assert len(engine.all(PLAIN)) == 8


def test_switched_off_there_is_none(engine: Engine, sealing_certificate: str) -> None:
    assert registered(engine, sealing_certificate, networkPolicies={"enabled": False}) == []


def test_each_policy_denies_both_ways() -> None:
    made = network_policies(perimeter(settings(), DATA_SERVICES))
    plain = [policy for policy in made if policy.kind == "NetworkPolicy"]
    assert plain[0].name == "harbor-default-deny"
    assert set(plain[0].spec) == {"podSelector", "policyTypes"}
    assert all(policy.spec["policyTypes"] == ["Ingress", "Egress"] for policy in plain)


@pytest.mark.parametrize("outside", [["0.0.0.0/0", "::/0"], []], ids=["open", "closed"])
def test_no_rule_allows_everybody(outside: list[str]) -> None:
    """An empty list of peers, or a list that is missing, would."""
    stack = settings(networkPolicies={"outside": outside}, metrics={"enabled": True})
    rules = [
        (rule, {"ingress": "from", "egress": "to"}[direction])
        for policy in network_policies(perimeter(stack, DATA_SERVICES))
        for direction in ("ingress", "egress")
        for rule in policy.spec.get(direction, [])
    ]
    assert len(rules) > 20
    for rule, side in rules:
        assert rule.get(side) or rule.get(f"{side}Entities"), rule
        assert rule.get("ports") or rule.get("toPorts"), rule


def test_the_api_server_sees_no_empty_list_which_it_would_drop() -> None:
    made = network_policies(perimeter(settings(), DATA_SERVICES))
    portal = next(policy for policy in made if policy.name == "harbor-portal")
    assert "egress" not in portal.spec


def test_a_wide_range_leaves_the_cluster_and_the_metadata_service_out() -> None:
    made = network_policies(perimeter(settings(), DATA_SERVICES))
    blocks = {
        peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"]
        for policy in made
        for rule in policy.spec.get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    }
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(blocks["0.0.0.0/0"])
    assert "fc00::/7" in blocks["::/0"]


def may_be_reached(outside: list[str], address: str, **section: Any) -> bool:
    """Whether core may reach the address outside the cluster."""
    stack = settings(networkPolicies={"outside": outside, **section})
    core = next(
        policy
        for policy in network_policies(perimeter(stack, DATA_SERVICES))
        if policy.name == "harbor-core"
    )
    blocks = [
        peer["ipBlock"]
        for rule in core.spec["egress"]
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    ip = ipaddress.ip_address(address)
    return any(
        ip in ipaddress.ip_network(block["cidr"])
        and not any(ip in ipaddress.ip_network(each) for each in block.get("except", []))
        for block in blocks
    )


OWN_NAT64 = {"nat64Prefixes": ["2001:db8:64::/96"]}


@pytest.mark.parametrize(
    ("outside", "address", "section"),
    [
        (["::/0"], "64:ff9b::a9fe:a9fe", {}),
        (["::/0"], "64:ff9b::10.0.0.1", {}),
        (["::/0"], "64:ff9b:1::a9fe:a9fe", {}),
        (["::/0"], "fe80::a9fe:a9fe", {}),
        (["::/0"], "fd00:ec2::254", {}),
        (["::/0"], "2001:db8:64::a9fe:a9fe", OWN_NAT64),
        (["64:ff9b::/96"], "64:ff9b::a9fe:a9fe", {}),
        (["fd00::/8"], "fd00:ec2::254", {}),
        (["0.0.0.0/1", "128.0.0.0/1"], "169.254.169.254", {}),
        (["169.0.0.0/8"], "169.254.169.254", {}),
        (["100.64.0.0/10"], "100.100.100.200", {}),
    ],
)
def test_no_range_leads_to_a_metadata_service_in_any_of_its_forms(
    outside: list[str], address: str, section: dict[str, Any]
) -> None:
    assert not may_be_reached(outside, address, **section)


@pytest.mark.parametrize(
    ("outside", "address", "section"),
    [
        (["::/0"], "64:ff9b::203.0.113.7", {}),
        (["64:ff9b:1:2::/96"], "64:ff9b:1:2::203.0.113.7", {}),
        (["::/0"], "64:ff9b:1:2::203.0.113.7", {"nat64Prefixes": ["64:ff9b:1:2::/96"]}),
        (["10.0.0.0/8"], "10.1.2.3", {}),
        (["fd00::/8"], "fd00::7", {}),
    ],
)
def test_a_range_leads_to_everything_else_in_it(
    outside: list[str], address: str, section: dict[str, Any]
) -> None:
    assert may_be_reached(outside, address, **section)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("redis", Pods(labels={})),
        ("pg-rw.databases", Pods(labels={}, namespace="databases")),
        ("pg-rw.databases.svc", Pods(labels={}, namespace="databases")),
        ("pg-rw.databases.svc.cluster.local", Pods(labels={}, namespace="databases")),
        ("10.1.2.3", Addresses(ranges=("10.1.2.3/32",))),
        ("fd00::7", Addresses(ranges=("fd00::7/128",))),
        ("pg.databases.example.com", Addresses(ranges=("0.0.0.0/0", "::/0"))),
    ],
)
def test_a_host_is_a_service_an_address_or_outside(host: str, expected: Party) -> None:
    assert party(host) == expected


def test_shared_services_are_reached_at_their_own_ports() -> None:
    sections = {
        "database": {**SHARED["database"], "port": 6432},
        "valkey": {**SHARED["valkey"], "port": 6380},
    }
    allowed = perimeter(settings(**sections), DATA_SERVICES)
    for target, port in (("database", 6432), ("cache", 6380)):
        assert {edge.port for edge in allowed.edges if edge.target == target} == {port}


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("https://s3.example.com", 443), ("https://s3.example.com:9443", 9443)],
)
def test_the_port_of_the_endpoint_is_the_one_that_is_opened(endpoint: str, port: int) -> None:
    storage = {**BUCKET, "endpoint": endpoint}
    allowed = perimeter(settings(storage=storage), DATA_SERVICES)
    to_the_bucket = [edge for edge in allowed.edges if edge.target == "object-storage"]
    assert to_the_bucket == [Edge(source="registry", target="object-storage", port=port)]


@pytest.mark.parametrize("storage", [KEYED_GCS, KEYLESS_GCS, AZURE], ids=str)
def test_a_vendor_s_api_is_outside(storage: dict[str, Any]) -> None:
    allowed = perimeter(settings(storage=storage), DATA_SERVICES)
    assert allowed.parties["object-storage"] == Addresses(ranges=("0.0.0.0/0", "::/0"))
    to_the_store = [edge for edge in allowed.edges if edge.target == "object-storage"]
    assert to_the_store == [Edge(source="registry", target="object-storage", port=443)]


def node_addresses(storage: dict[str, Any]) -> set[tuple[str, str, int]]:
    """(policy, address, port) of every link-local address that somebody may reach."""
    made = network_policies(perimeter(settings(storage=storage), DATA_SERVICES))
    return {
        (policy.name, peer["ipBlock"]["cidr"], port["port"])
        for policy in made
        for rule in policy.spec.get("egress", [])
        for peer in rule.get("to", [])
        if peer.get("ipBlock", {}).get("cidr", "").startswith("169.254.")
        for port in rule["ports"]
    }


def test_the_registry_alone_reaches_the_server_that_gives_it_an_identity() -> None:
    assert node_addresses(KEYLESS_GCS) == {
        ("harbor-registry", "169.254.169.254/32", 80),
        ("harbor-registry", "169.254.169.254/32", 8080),
        ("harbor-registry", "169.254.169.252/32", 987),
        ("harbor-registry", "169.254.169.252/32", 988),
    }


@pytest.mark.parametrize("storage", [BUCKET, KEYED_GCS, AZURE], ids=str)
def test_with_a_key_nobody_reaches_the_metadata_server(storage: dict[str, Any]) -> None:
    assert node_addresses(storage) == set()


def test_the_api_server_is_reached_by_its_addresses_where_cilium_does_not_know_it() -> None:
    stack = settings(networkPolicies=BEHIND_TRAEFIK)
    made = network_policies(perimeter(stack, DATA_SERVICES))
    database = next(policy for policy in made if policy.name == "harbor-database")
    assert {
        "to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}],
        "ports": [{"protocol": "TCP", "port": 6443}],
    } in database.spec["egress"]
