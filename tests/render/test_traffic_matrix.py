"""The NetworkPolicies allow the traffic matrix: no edge is missing, none is extra.

The pods are the rendered chart's, with their labels and ports. What the policies allow between
them is computed here by the rules of NetworkPolicy, from the policies as they are sent to the API
server, and compared with a matrix that was written by hand.

    TEST_HARBOR_CHART=/path/to/harbor-helm-1.18.3 pytest tests/render/test_traffic_matrix.py
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from typing import Any

import pulumi
import pytest

from components.context import Context
from components.data_services.valkey import ValkeyArgs, stateful_set_spec
from components.harbor.values import HarborValues, harbor_values
from components.harbor_inputs import Cache, Database, RemoteStorage, SecretNames, VolumeStorage
from components.monitoring import recorded
from components.network.exposure import chart_exposure
from components.network.policies import DATA_SERVICES
from components.network.rules import Policy, network_policies, perimeter
from components.object_storage.location import bucket_location, s3_driver
from components.registry_address import RegistryAddress
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings
from components.settings.storage.base import BucketSettings
from components.settings.valkey import DedicatedValkey
from tests.support import builders
from tests.support.rendering import CHART, Objects, needs, parsed, pods, rendered

pytestmark = needs("helm")

NAMESPACE = "registry"
"""Harbor's, and the one that `rendered` renders for."""

# --------------------------------------------------------------------------------------------------
# The matrix, on the ports of pods

MATRIX = """
gateway       core:8080 portal:8080
core          registry:5000,8080 jobservice:8080 portal:8080 trivy:8080
core          database:5432 cache:6379 internet:443 gateway:443 dns:53,53/UDP
jobservice    core:8080 registry:5000,8080 trivy:8080
jobservice    database:5432 cache:6379 internet:443 gateway:443 dns:53,53/UDP
registry      cache:6379 internet:443 dns:53,53/UDP
trivy         core:8080 cache:6379 internet:443 dns:53,53/UDP
operator      database:5432,8000
database      database:5432,8000 api-server:6443 dns:53,53/UDP
"""
WITH_METRICS = """
monitoring    core:8001 jobservice:8001 registry:8001 exporter:8001
exporter      core:8080 database:5432 cache:6379 dns:53,53/UDP
"""
WITH_MONITORING = f"""{WITH_METRICS.rstrip()}
monitoring    database:9187 recorded-metrics:8001
"""

Edge = tuple[str, str, int, str]
"""Source, target, port, protocol."""


def edges(matrix: str) -> set[Edge]:
    parsed_edges: set[Edge] = set()
    for line in matrix.strip().splitlines():
        source, *targets = line.split()
        for target in targets:
            name, _, ports = target.partition(":")
            for port in ports.split(","):
                number, _, protocol = port.partition("/")
                parsed_edges.add((source, name, int(number), protocol or "TCP"))
    return parsed_edges


# --------------------------------------------------------------------------------------------------
# Who there is


@dataclass(frozen=True)
class Party:
    """Somebody with an address; pods have a namespace and labels too."""

    name: str
    address: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    entity: str | None = None
    """What Cilium takes it for, instead of its labels or its address."""

    @property
    def is_ours(self) -> bool:
        return self.namespace == NAMESPACE and not self.name.startswith("stranger")


BEHIND_CILIUM = [
    Party("gateway", "10.42.0.9", entity="ingress"),
    Party("api-server", "10.0.0.2", entity="kube-apiserver"),
]
BEHIND_TRAEFIK = [
    Party("gateway", "10.42.9.9", "traefik", {"app.kubernetes.io/name": "traefik"}),
    Party("api-server", "10.0.0.2"),
]
TRAEFIK_ON_CILIUM = [
    Party("gateway", "10.42.9.9", "traefik", {"app.kubernetes.io/name": "traefik"}),
    Party("api-server", "10.0.0.2", entity="kube-apiserver"),
]
ON_HOSTS_OF_CILIUM = [
    Party("gateway", "10.0.0.3", entity="remote-node"),
    Party("gateway", "10.0.0.4", entity="host"),
    Party("api-server", "10.0.0.2", entity="kube-apiserver"),
]
ON_HOSTS = [Party("gateway", "10.0.0.3"), Party("api-server", "10.0.0.2")]
OUTSIDE_THE_CLUSTER = [
    Party("gateway", "10.0.8.3"),
    Party("api-server", "10.0.0.2", entity="kube-apiserver"),
]
MANAGED = [
    Party("gateway", "10.42.0.9", entity="ingress"),
    Party("api-server", "10.7.0.2", entity="kube-apiserver"),
    Party("api-server-vip", "10.8.0.2"),
]
CACHED_NAMES = Party("dns-cache", "169.254.20.10", entity="host")
IN_A_MESH = [*BEHIND_CILIUM, Party("istiod", "10.42.8.8", "istio-system", {"app": "istiod"})]
WITH_NEIGHBOURS = [
    *BEHIND_CILIUM,
    Party("keycloak", "10.42.8.1", "keycloak", {"app": "keycloak"}),
    Party("keycloak-database", "10.42.8.2", "keycloak", {"app": "pg"}),
    Party("dump", "10.42.8.3", "backup", {"app": "dump"}),
]
OTHERS = [
    Party("dns", "10.42.0.53", "kube-system", {"k8s-app": "kube-dns"}),
    Party("operator", "10.42.0.77", "cnpg-system", {"app.kubernetes.io/name": "cloudnative-pg"}),
    Party("monitoring", "10.42.0.90", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    Party("internet", "203.0.113.7"),
    Party("internet6", "2a01:4f8::7"),
    # None of these may ever talk to us, or we to them.
    Party("stranger", "10.42.0.66", "default", {"app": "harbor", "component": "core"}),
    Party("stranger-beside-us", "10.42.0.67", NAMESPACE, {"app": "blog"}),
    Party("stranger-named-core", "10.42.0.68", NAMESPACE, {"component": "core"}),
    Party("stranger-of-another-release", "10.42.0.69", NAMESPACE, {"app": "harbor"}),
    Party("stranger-on-the-lan", "192.168.7.7"),
    Party("stranger-with-metadata", "169.254.169.254"),
    Party("stranger-node", "10.0.0.99"),
]


def harbor_pods(settings: Settings) -> Iterator[tuple[Party, set[int]]]:
    """The chart's pods, the database's and the cache's, each with the ports it opens."""
    rendering = parsed(rendered(values_of(settings), CHART))
    for number, (name, pod) in enumerate(pods(rendering).items()):
        labels = pod["metadata"]["labels"]
        yield Party(name, f"10.42.1.{number}", NAMESPACE, labels), ports_of(pod, rendering)
    if isinstance(settings.valkey, DedicatedValkey):
        args = ValkeyArgs(settings=settings.valkey, password="", context=CONTEXT)
        valkey = stateful_set_spec(args, secret_name="s", revision="r")["template"]
        labels = valkey["metadata"]["labels"]
        yield Party("cache", "10.42.2.1", NAMESPACE, labels), ports_of(valkey, {})
    if settings.monitoring.recorded_metrics:
        spec = recorded.deployment_spec(settings.harbor, CONTEXT.labels("recorded-metrics"))
        labels = spec["template"]["metadata"]["labels"]
        yield (
            Party("recorded-metrics", "10.42.2.2", NAMESPACE, labels),
            ports_of(spec["template"], {}),
        )
    if isinstance(settings.database, DedicatedDatabase):
        # As CloudNativePG labels them; two, since one asks the other.
        for number in (1, 2):
            labels = {
                "cnpg.io/cluster": "harbor-pg",
                "cnpg.io/instanceName": f"harbor-pg-{number}",
                "cnpg.io/podRole": "instance",
            }
            yield Party("database", f"10.42.3.{number}", NAMESPACE, labels), {5432, 8000, 9187}


CONTEXT = Context(
    registry=RegistryAddress(builders.FQDN),
    kube_context=None,
    namespace=NAMESPACE,
    certificate="",
    unseal_seconds=1,
    protect=True,
    retain=True,
    options=pulumi.ResourceOptions(),
)


def ports_of(pod: dict[str, Any], rendering: Objects) -> set[int]:
    """Ports that the containers declare, and those that a Service sends traffic to."""
    declared = [
        port for container in pod["spec"]["containers"] for port in container.get("ports") or []
    ]
    named = {port.get("name"): port["containerPort"] for port in declared}
    labels = pod["metadata"]["labels"]
    targets = [
        port.get("targetPort", port["port"])
        for (kind, _), item in rendering.items()
        if kind == "Service" and item["spec"]["selector"].items() <= labels.items()
        for port in item["spec"]["ports"]
    ]
    return {port["containerPort"] for port in declared} | {
        target if isinstance(target, int) else named[target] for target in targets
    }


def values_of(settings: Settings) -> dict[str, Any]:
    storage: RemoteStorage | VolumeStorage = VolumeStorage(size="1Gi")
    if isinstance(settings.storage, BucketSettings):
        location = bucket_location(settings.storage)
        storage = RemoteStorage(
            driver="s3",
            options=s3_driver(location, "bucket"),
            redirect=settings.storage.redirect,
        )
    pinned = SecretNames(
        admin_password="admin",
        secret_key="key",
        core_secret="core",
        csrf_key="csrf",
        token_certificate="token",
        jobservice_secret="jobservice",
        registry_http_secret="http",
        registry_user="user",
    )
    spec = HarborValues(
        settings=settings,
        storage=storage,
        database=Database(
            host="pg",
            port=5432,
            name="registry",
            username="harbor",
            sslmode="require",
            secret_name="pg",
            max_open_connections=30,
        ),
        cache=Cache(host="valkey", port=6379, secret_name="valkey"),
        secrets=pinned,
        exposure=chart_exposure(settings),
    )
    return harbor_values(spec)


# --------------------------------------------------------------------------------------------------
# What policies mean


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, f"this evaluator does not know {selector}"
    return (selector.get("matchLabels") or {}).items() <= labels.items()


@cache
def network(cidr: str) -> Any:
    return ipaddress.ip_network(cidr)


def is_peer(peer: Mapping[str, Any], party: Party) -> bool:
    """One element of `from` or `to`."""
    assert set(peer) <= {"podSelector", "namespaceSelector", "ipBlock"}, peer
    if "ipBlock" in peer:
        assert set(peer) == {"ipBlock"}, "an ipBlock stands alone"
        block = peer["ipBlock"]
        for exception in block.get("except", []):
            # The API server refuses it otherwise.
            assert network(exception).subnet_of(network(block["cidr"]))
        ranges = [block["cidr"], *block.get("except", [])]
        inside, *excepted = [
            network(party.address).subnet_of(network(cidr))
            if network(party.address).version == network(cidr).version
            else False
            for cidr in ranges
        ]
        return inside and not any(excepted) and party.entity is None
    if party.namespace is None:
        return False
    if "namespaceSelector" in peer:
        names = {"kubernetes.io/metadata.name": party.namespace}
        if not selects(peer["namespaceSelector"], names):
            return False
    elif party.namespace != NAMESPACE:
        return False
    return selects(peer.get("podSelector", {}), party.labels)


def is_port(ports: Sequence[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    if not ports:
        return True
    return any(one["port"] == port and one["protocol"] == protocol for one in ports)


def lets(policy: Policy, direction: str, peer: Party, port: int, protocol: str) -> bool:
    """Whether a policy, of a pod that it selects, allows this."""
    side = {"ingress": "from", "egress": "to"}[direction]
    for rule in policy.spec.get(direction) or []:
        if policy.kind == "NetworkPolicy":
            assert set(rule) <= {side, "ports"}, rule
            # No peers means everybody.
            matches = not rule.get(side) or any(is_peer(one, peer) for one in rule[side])
            ports = rule.get("ports")
        else:
            assert set(rule) == {f"{side}Entities", "toPorts"}, rule
            matches = peer.entity in rule[f"{side}Entities"]
            texts = [one for group in rule["toPorts"] for one in group["ports"]]
            assert all(isinstance(one["port"], str) for one in texts), "Cilium wants texts"
            ports = [{**one, "port": int(one["port"])} for one in texts]
        if matches and is_port(ports, port, protocol):
            return True
    return False


def governing(made: list[Policy], pod: Party, direction: str) -> list[Policy]:
    """The policies that select the pod for a direction; without any, all of it is allowed."""
    if pod.namespace != NAMESPACE:
        return []
    selecting: list[Policy] = []
    for policy in made:
        selector = policy.spec.get("podSelector", policy.spec.get("endpointSelector"))
        assert selector is not None
        if policy.kind == "NetworkPolicy":
            applies = direction.capitalize() in policy.spec["policyTypes"]
        else:
            applies = direction in policy.spec
        if applies and selects(selector, pod.labels):
            selecting.append(policy)
    return selecting


def allowed_ports(
    made: list[Policy], source: Party, target: Party, ports: Iterable[int]
) -> set[tuple[int, str]]:
    """A connection needs the consent of both its ends."""
    leaving = governing(made, source, "egress")
    arriving = governing(made, target, "ingress")

    def is_allowed(port: int, protocol: str) -> bool:
        leaves = not leaving or any(lets(p, "egress", target, port, protocol) for p in leaving)
        return leaves and (
            not arriving or any(lets(p, "ingress", source, port, protocol) for p in arriving)
        )

    return {one for one in product(ports, ("TCP", "UDP")) if is_allowed(*one)}


OTHER_PORTS = {53, 80, 443, 2379, 4143, 5353, 6443, 8443, 9443, 15012}
"""Ports of parties that are not rendered here, and ports that nobody may reach."""


@dataclass(frozen=True)
class Estate:
    """The rendered pods and everybody around them, and the policies between them."""

    made: list[Policy]
    opened: list[tuple[Party, set[int]]]
    parties: list[Party]

    @property
    def ours(self) -> list[Party]:
        return [party for party, _ in self.opened]

    @cached_property
    def allowed(self) -> set[Edge]:
        ports = {80, 443, 2379, 4143, 5353, 6443, 8443, 9443, 15012, 53}.union(
            *(ports for _, ports in self.opened)
        )
        return {
            (source.name, target.name, *port)
            for source in self.parties
            for target in self.parties
            if source.is_ours or target.is_ours
            for port in allowed_ports(self.made, source, target, ports)
        }


@cache
def estate_of(case: Case) -> Estate:
    return estate_with(around=case.around, **case.sections)


def estate_with(*, around: list[Party] | None = None, **sections: Any) -> Estate:
    storage = {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"}
    settings = builders.settings(**{"storage": storage, **sections})
    opened = list(harbor_pods(settings))
    return Estate(
        made=network_policies(perimeter(settings, DATA_SERVICES)),
        opened=opened,
        parties=[party for party, _ in opened] + OTHERS + (around or BEHIND_CILIUM),
    )


def with_internet6(expected: set[Edge]) -> set[Edge]:
    """Outside has addresses of both kinds."""
    both = {(a, "internet6", *rest) for a, b, *rest in expected if b == "internet"}
    return expected | both  # type: ignore[return-value]


# --------------------------------------------------------------------------------------------------
# The comparison

S3 = {"kind": "s3", "region": "r", "bucket": "omantel-harbor", "endpoint": "https://s3.example.com"}
FILESYSTEM = {"kind": "filesystem", "size": "50Gi"}
TRAEFIK = {
    "gateway": {"kind": "namespace", "namespace": "traefik"},
    "apiServer": {"cidr": "10.0.0.2/32"},
}
ON_9443 = {**S3, "endpoint": "https://s3.example.com:9443"}
ON_NODES = {
    "kind": "aws",
    "region": "eu-central-1",
    "bucket": "omantel-harbor",
    "access": {"mode": "node-role", "role": "omantel-nodes"},
}
PRIVATE_STORE = {**S3, "endpoint": "https://192.168.7.7:9443"}


@dataclass(frozen=True, eq=False)
class Case:
    """Sections of the config, and what differs from the matrix."""

    name: str
    sections: dict[str, Any]
    more: str = ""
    less: str = ""
    around: list[Party] | None = None

    def __str__(self) -> str:
        return self.name


MESH_PORTS = {4143}
"""The mesh's proxy opens these in each pod; the chart knows nothing of it."""

CASES = [
    Case("as it comes", {}),
    Case("no object storage", {"storage": FILESYSTEM}, less="registry internet:443"),
    Case(
        "a store on another port is for the registry alone",
        {"storage": ON_9443},
        more="registry internet:9443",
        less="registry internet:443",
    ),
    Case(
        "redirects send Harbor's own parts to the store too",
        {"storage": {**ON_9443, "redirect": True}},
        more="registry internet:9443\ncore internet:9443\njobservice internet:9443\n"
        "trivy internet:9443",
        less="registry internet:443",
    ),
    Case(
        "a store with a private address is reached there only",
        {"storage": PRIVATE_STORE},
        more="registry stranger-on-the-lan:9443",
        less="registry internet:443",
    ),
    Case(
        "a registry that uses its node's role asks the node's metadata, and nobody else does",
        {"storage": ON_NODES},
        more="registry stranger-with-metadata:80",
    ),
    Case("metrics", {"metrics": {"enabled": True}}, more=WITH_METRICS),
    Case(
        "monitoring",
        {
            "metrics": {"enabled": True, "serviceMonitor": True},
            "monitoring": {"enabled": True, "recordedMetrics": True},
        },
        more=WITH_MONITORING,
    ),
    Case(
        "no scanner",
        {"trivy": {"enabled": False}},
        less="trivy core:8080 cache:6379 internet:443 dns:53,53/UDP\n"
        "core trivy:8080\njobservice trivy:8080",
    ),
    Case("a scanner that asks nobody", {"trivy": {"offline": True}}, less="trivy internet:443"),
    Case(
        "a scanner that follows redirects asks the store only",
        {"trivy": {"offline": True}, "storage": {**S3, "redirect": True}},
    ),
    Case(
        "a scanner with a mirror of its own",
        {
            "trivy": {
                "dbRepositories": ["mirror.example.com:8443/trivy-db"],
                "javaDbRepositories": ["registry.omantel.omani.works/mirror/trivy-java-db"],
            }
        },
        more="trivy internet:8443 gateway:443",
    ),
    Case(
        "nothing outside",
        {"networkPolicies": {"outside": []}},
        less="core internet:443\njobservice internet:443\nregistry internet:443\n"
        "trivy internet:443",
    ),
    Case(
        "a range of the own network",
        {"networkPolicies": {"outside": ["192.168.7.0/24"]}},
        more="core stranger-on-the-lan:443\njobservice stranger-on-the-lan:443\n"
        "registry stranger-on-the-lan:443\ntrivy stranger-on-the-lan:443",
        less="core internet:443\njobservice internet:443\nregistry internet:443\n"
        "trivy internet:443",
    ),
    Case(
        "an ordinary ingress controller",
        {
            "networkPolicies": TRAEFIK,
            "exposure": {"kind": "ingress", "className": "traefik", "tlsSecret": "tls"},
        },
        more="core gateway:8443\njobservice gateway:8443",
        less="core gateway:443\njobservice gateway:443",
        around=BEHIND_TRAEFIK,
    ),
    Case(
        "pods of Traefik in front of Cilium",
        {"networkPolicies": {"cni": "cilium", "gateway": TRAEFIK["gateway"]}},
        more="core gateway:8443\njobservice gateway:8443",
        less="core gateway:443\njobservice gateway:443",
        around=TRAEFIK_ON_CILIUM,
    ),
    Case(
        "a controller on the nodes of Cilium",
        {"networkPolicies": {"cni": "cilium", "gateway": {"kind": "host"}}},
        around=ON_HOSTS_OF_CILIUM,
    ),
    Case(
        "a controller on the nodes of another network",
        {
            "networkPolicies": {
                "gateway": {"kind": "host", "ranges": ["10.0.0.3/32"]},
                "apiServer": {"cidr": "10.0.0.2/32"},
            }
        },
        around=ON_HOSTS,
    ),
    Case(
        "a load balancer outside the cluster",
        {
            "networkPolicies": {
                "cni": "cilium",
                "gateway": {"kind": "addresses", "ranges": ["10.0.8.0/24"]},
            }
        },
        around=OUTSIDE_THE_CLUSTER,
    ),
    Case(
        "an API server on another port, and behind a load balancer too",
        {
            "networkPolicies": {
                "apiServer": {"port": 443, "extraPorts": [9443], "extraCidrs": ["10.8.0.2/32"]}
            }
        },
        more="database api-server:443,9443 api-server-vip:443,9443",
        less="database api-server:6443",
        around=MANAGED,
    ),
    Case(
        "a name server on each node, and pods with another port in another namespace",
        {
            "networkPolicies": {
                "dns": {
                    "namespace": "openshift-dns",
                    "port": 5353,
                    "addresses": ["169.254.20.10/32"],
                }
            }
        },
        more="\n".join(
            f"{name} dns-pods:5353,5353/UDP dns-cache:53,53/UDP"
            for name in ("core", "jobservice", "registry", "trivy", "database")
        ),
        less="\n".join(
            f"{name} dns:53,53/UDP"
            for name in ("core", "jobservice", "registry", "trivy", "database")
        ),
        around=[
            *BEHIND_CILIUM,
            CACHED_NAMES,
            Party("dns-pods", "10.42.8.8", "openshift-dns", {"dns": "default"}),
        ],
    ),
    Case(
        "a mesh whose proxies are in the pods",
        {
            "networkPolicies": {
                "mesh": {"ports": [4143], "namespace": "istio-system", "controlPlanePorts": [15012]}
            }
        },
        more="""
core          registry:4143 jobservice:4143 portal:4143 trivy:4143 database:4143 cache:4143
jobservice    core:4143 registry:4143 trivy:4143 database:4143 cache:4143
registry      cache:4143
trivy         core:4143 cache:4143
operator      database:4143
database      database:4143
core          istiod:15012
portal        istiod:15012
jobservice    istiod:15012
registry      istiod:15012
trivy         istiod:15012
database      istiod:15012
cache         istiod:15012
""",
        around=IN_A_MESH,
    ),
    Case(
        "connections that somebody asked for",
        {
            "networkPolicies": {
                "extraRules": [
                    {
                        "party": "core",
                        "direction": "egress",
                        "namespace": "keycloak",
                        "podLabels": {"app": "keycloak"},
                        "ports": [9443],
                    },
                    {
                        "party": "database",
                        "direction": "ingress",
                        "namespace": "backup",
                        "ports": [5432],
                    },
                    {
                        "party": "jobservice",
                        "direction": "egress",
                        "cidr": "192.168.7.7/32",
                        "ports": [9443],
                    },
                ]
            }
        },
        more="core keycloak:9443\ndump database:5432\njobservice stranger-on-the-lan:9443",
        around=WITH_NEIGHBOURS,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_allowed_is_the_matrix(case: Case) -> None:
    expected = (edges(MATRIX) - edges(case.less)) | edges(case.more)
    allowed = estate_of(case).allowed
    missing = with_internet6(expected) - allowed
    extra = allowed - with_internet6(expected)
    assert not missing, f"missing: {sorted(missing)}"
    assert not extra, f"extra: {sorted(extra)}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_pod_is_denied_by_default_both_ways(case: Case) -> None:
    estate = estate_of(case)
    assert len(estate.ours) >= 7
    for pod in estate.ours:
        for direction in ("ingress", "egress"):
            governed = governing(estate.made, pod, direction)
            plain = [policy for policy in governed if policy.kind == "NetworkPolicy"]
            assert plain, f"{pod.name} has no policy for {direction}"


def test_a_pod_of_harbor_that_nobody_thought_of_is_denied() -> None:
    estate = estate_with()
    migration = Party(
        "migrator",
        "10.42.1.99",
        NAMESPACE,
        {"app": "harbor", "release": "harbor", "component": "migrator"},
    )
    for other in estate.parties:
        for ends in ((migration, other), (other, migration)):
            assert not allowed_ports(estate.made, *ends, (53, 443, 5432, 6379, 8080))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_edge_to_a_pod_ends_at_a_port_that_it_opens(case: Case) -> None:
    estate = estate_of(case)
    opened = {party.name: ports for party, ports in estate.opened}
    for source, target, port, _ in estate.allowed:
        if target in opened and port not in MESH_PORTS:
            assert port in opened[target], f"{source} may reach {target}:{port}, which is closed"


@pytest.mark.parametrize("enabled", [True, False])
def test_no_port_of_a_component_is_left_without_a_caller(enabled: bool) -> None:
    """A port nobody may reach is a forgotten edge."""
    estate = estate_with(metrics={"enabled": enabled})
    reached = {(target, port) for _, target, port, _ in estate.allowed}
    # 5001 of the registry is for debugging and listens on localhost; 9187 of the database has
    # figures that nobody has asked for.
    unreached = {(p.name, port) for p, ports in estate.opened for port in ports} - reached
    assert unreached <= {("registry", 5001), ("database", 9187)}


def test_shared_services_are_reached_in_their_own_namespace_only() -> None:
    sections: dict[str, Any] = {
        "database": {
            "mode": "shared",
            "host": "pg-rw.databases",
            "port": 6432,
            "username": "harbor",
            "secret": {"namespace": "databases", "name": "pg"},
        },
        "valkey": {
            "mode": "shared",
            "host": "valkey-primary.valkey.svc.cluster.local",
            "secret": {"namespace": "valkey", "name": "valkey"},
        },
    }
    estate = estate_with(**sections)
    theirs = [
        Party("their-pg", "10.42.5.1", "databases", {"app": "pg"}),
        Party("their-valkey", "10.42.5.2", "valkey", {"app": "valkey"}),
    ]
    reached = {
        (pod.name, other.name, port)
        for pod in estate.ours
        for other in theirs
        for port, _ in allowed_ports(estate.made, pod, other, (443, 5432, 6379, 6432))
    }
    assert reached == {
        ("core", "their-pg", 6432),
        ("jobservice", "their-pg", 6432),
        ("core", "their-valkey", 6379),
        ("jobservice", "their-valkey", 6379),
        ("registry", "their-valkey", 6379),
        ("trivy", "their-valkey", 6379),
    }
    assert {p.name for p in estate.made} == {
        f"harbor-{name}"
        for name in ("default-deny", "core", "portal", "jobservice", "registry", "trivy")
    }
