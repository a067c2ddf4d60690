"""Who may talk to whom in Harbor's namespace: one description, and the policies made of it. Pure.

A NetworkPolicy is applied after a Service's address has been replaced by that of a pod, so it
matches ports of pods: 8080 for core and portal, where their Services have 80.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from components.images import java_scanner_repositories, scanner_repositories
from components.kubernetes.naming import HARBOR_PODS
from components.settings.database import SharedDatabase
from components.settings.model import Settings
from components.settings.network_policies import (
    LINK_LOCAL,
    AddressGateway,
    ApiServer,
    CiliumGateway,
    ExtraRule,
    HostGateway,
    NamespaceGateway,
)
from components.settings.valkey import SharedValkey

Manifest = dict[str, Any]

NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
"""The API server puts it on every namespace."""

WEB: Final = 8080
"""Pod port of core, portal, jobservice, registryctl (in the registry's pod) and trivy."""
REGISTRY: Final = 5000
METRICS: Final = 8001
POSTGRES: Final = 5432
POSTGRES_STATUS: Final = 8000
"""Status port of CloudNativePG's instance manager, which the operator and other instances ask."""
POSTGRES_METRICS: Final = 9187
"""Port on which CloudNativePG's instance manager serves the database's metrics."""
HTTPS: Final = 443
DNS: Final = 53
VALKEY: Final = 6379

PRIVATE: Final = {
    4: ("10.0.0.0/8", "100.64.0.0/10", LINK_LOCAL[4], "172.16.0.0/12", "192.168.0.0/16"),
    6: ("fc00::/7", LINK_LOCAL[6]),
}
"""Left out of 0.0.0.0/0 and ::/0: pods, Services, nodes, and a cloud's metadata service."""

METADATA: Final = {
    4: (LINK_LOCAL[4], "100.100.100.200/32"),
    6: (LINK_LOCAL[6], "fd00:ec2::254/128", "fd20:ce::254/128"),
}
"""Left out of every wider range: addresses at which clouds answer with the node's identity."""

LOCAL_NAT64: Final = "64:ff9b:1::/48"
"""RFC 8215: prefixes of NAT64 gateways that an operator chooses. ::/0 leaves all of them out, since
any of them may lead to private addresses."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """`source` may open connections to `target`, both by name, at the pod's port."""

    source: str
    target: str
    port: int
    protocol: Literal["TCP", "UDP"] = "TCP"


@dataclass(frozen=True, kw_only=True)
class Pods:
    """Pods by label. `namespace` None: Harbor's own. No labels: all pods of the namespace."""

    labels: Mapping[str, str]
    namespace: str | None = None


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Hosts outside the cluster, or its nodes."""

    ranges: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A party that has no pods and that only Cilium can name."""

    names: tuple[Literal["ingress", "kube-apiserver", "host", "remote-node"], ...]


Party = Pods | Addresses | Entity


@dataclass(frozen=True, kw_only=True)
class DataServices:
    """Labels of the pods of a dedicated PostgreSQL and Valkey, and of the one that serves the
    recorded metrics."""

    database: Mapping[str, str]
    cache: Mapping[str, str]
    recorded_metrics: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Perimeter:
    """All that is allowed. `guarded`: the parties whose pods get policies."""

    parties: Mapping[str, Party]
    guarded: tuple[str, ...]
    edges: tuple[Edge, ...]
    nat64_prefixes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy object without its namespace."""

    name: str
    kind: Literal["NetworkPolicy", "CiliumNetworkPolicy"]
    spec: Manifest


# --- The description -----------------------------------------------------------------------------


def perimeter(settings: Settings, own: DataServices) -> Perimeter:
    """The connections that these settings make necessary, and no others."""
    harbor = ["core", "portal", "jobservice", "registry"]
    harbor += ["trivy"] if settings.trivy.enabled else []
    harbor += ["exporter"] if settings.metrics.enabled else []
    parties: dict[str, Party] = {name: _harbor_pods(name) for name in harbor}
    guarded = list(harbor)
    if isinstance(settings.database, SharedDatabase):
        parties["database"] = _host(settings.database.host, settings)
    else:
        parties["database"] = Pods(labels=own.database)
        guarded.append("database")
    if isinstance(settings.valkey, SharedValkey):
        parties["cache"] = _host(settings.valkey.host, settings)
    else:
        parties["cache"] = Pods(labels=own.cache)
        guarded.append("cache")
    if settings.monitoring.enabled and settings.monitoring.recorded_metrics:
        parties["recorded-metrics"] = Pods(labels=own.recorded_metrics)
        guarded.append("recorded-metrics")
    parties |= _surroundings(settings)
    extra = settings.network_policies.extra_rules
    parties |= {_extra(number): _other_end(rule) for number, rule in enumerate(extra)}
    edges = [
        edge
        for edge in (*_all_edges(settings, guarded), *_extra_edges(extra))
        if edge.source in parties and edge.target in parties
    ]
    edges += _mesh_edges(settings, parties, guarded, edges)
    return Perimeter(
        parties=parties,
        guarded=tuple(guarded),
        edges=tuple(dict.fromkeys(edges)),
        nat64_prefixes=settings.network_policies.nat64_prefixes,
    )


def _surroundings(settings: Settings) -> dict[str, Party]:
    section = settings.network_policies
    parties: dict[str, Party] = {
        "dns": Pods(labels={}, namespace=section.dns.namespace),
        "outside": Addresses(ranges=section.outside),
        "operator": Pods(labels={}, namespace=section.operator_namespace),
    }
    if section.dns.addresses:
        parties["dns-addresses"] = Addresses(ranges=section.dns.addresses)
        if section.is_cilium:
            parties["dns-node"] = Entity(names=("host",))
    if settings.metrics.enabled:
        parties["monitoring"] = Pods(labels={}, namespace=section.monitoring_namespace)
    parties["gateway"] = _gateway(settings)
    if section.is_cilium:
        parties["api-server"] = Entity(names=("kube-apiserver",))
    if section.api_server is not None and section.api_server.cidrs:
        parties["api-server-addresses"] = Addresses(ranges=section.api_server.cidrs)
    if section.mesh is not None and section.mesh.namespace is not None:
        parties["mesh"] = Pods(labels={}, namespace=section.mesh.namespace)
    if (endpoint := _bucket_endpoint(settings)) is not None:
        parties["object-storage"] = _host(endpoint[0], settings)
    for name, (host, _) in _backup_endpoints(settings).items():
        parties[name] = _host(host, settings)
    for address, _ in settings.storage.identity_servers:
        parties[f"identity-{address}"] = Addresses(ranges=(f"{address}/32",))
    return parties


def _gateway(settings: Settings) -> Party:
    section = settings.network_policies
    match section.gateway:
        case NamespaceGateway(namespace=namespace):
            return Pods(labels={}, namespace=namespace)
        case HostGateway(ranges=ranges) if not section.is_cilium:
            return Addresses(ranges=ranges)
        case HostGateway():
            return Entity(names=("host", "remote-node"))
        case AddressGateway(ranges=ranges):
            return Addresses(ranges=ranges)
        case CiliumGateway():
            return Entity(names=("ingress",))


def _all_edges(settings: Settings, guarded: list[str]) -> Iterator[Edge]:
    def to(sources: Iterable[str], target: str, port: int) -> Iterator[Edge]:
        for source in sources:
            yield Edge(source=source, target=target, port=port)

    database, cache = settings.database, settings.valkey
    database_port = database.port if isinstance(database, SharedDatabase) else POSTGRES
    cache_port = cache.port if isinstance(cache, SharedValkey) else VALKEY
    workers = ("core", "jobservice")

    yield from to(["gateway"], "core", WEB)
    yield from to(["gateway"], "portal", WEB)
    yield from to(workers, "registry", REGISTRY)
    yield from to(workers, "registry", WEB)  # registryctl
    yield from to(workers, "trivy", WEB)
    yield from to(["core"], "jobservice", WEB)
    yield from to(["core"], "portal", WEB)  # core's health answer includes it
    yield from to(["jobservice", "trivy", "exporter"], "core", WEB)
    yield from to([*workers, "exporter"], "database", database_port)
    yield from to([*workers, "registry", "trivy", "exporter"], "cache", cache_port)
    # Identity provider, upstream registries, webhooks. If they are behind this cluster's gateway,
    # some networks lead their public address to the gateway's pods directly.
    yield from to(workers, "outside", HTTPS)
    yield from to(workers, "gateway", _gateway_port(settings))
    yield from _scanner_databases(settings)
    if (endpoint := _bucket_endpoint(settings)) is not None:
        # With redirects on, whoever pulls is sent to the bucket, Harbor's own parts too.
        followers = [*workers, "trivy"] if settings.storage.redirects else []
        yield from to(["registry", *followers], "object-storage", endpoint[1])
    for name, (_, port) in _backup_endpoints(settings).items():
        yield from to(["database"], name, port)
    for address, port in settings.storage.identity_servers:
        yield from to(["registry"], f"identity-{address}", port)
    if "database" in guarded:
        yield from to(["operator", "database"], "database", POSTGRES)
        yield from to(["operator", "database"], "database", POSTGRES_STATUS)
        for port in _api_server_ports(settings):
            yield from to(["database"], "api-server", port)
            yield from to(["database"], "api-server-addresses", port)
    yield from to(["monitoring"], "core", METRICS)
    yield from to(["monitoring"], "jobservice", METRICS)
    yield from to(["monitoring"], "registry", METRICS)
    yield from to(["monitoring"], "exporter", METRICS)
    if settings.monitoring.enabled:
        yield from to(["monitoring"], "recorded-metrics", METRICS)
        if "database" in guarded:
            yield from to(["monitoring"], "database", POSTGRES_METRICS)
    # These open no connections, so they ask for no names.
    silent = ("portal", "cache", "recorded-metrics")
    for source in (name for name in guarded if name not in silent):
        at = settings.network_policies.dns.port
        yield Edge(source=source, target="dns", port=at)
        yield Edge(source=source, target="dns", port=at, protocol="UDP")
        for server in ("dns-addresses", "dns-node"):
            yield Edge(source=source, target=server, port=DNS)
            yield Edge(source=source, target=server, port=DNS, protocol="UDP")


def _mesh_edges(
    settings: Settings, parties: Mapping[str, Party], guarded: list[str], edges: list[Edge]
) -> list[Edge]:
    """What a mesh adds: its proxies' ports where pods talk to pods, and its control plane.

    Names are asked outside the mesh.
    """
    mesh = settings.network_policies.mesh
    if mesh is None:
        return []
    between = [
        Edge(source=edge.source, target=edge.target, port=port)
        for edge in edges
        if edge.protocol == "TCP" and edge.target != "dns"
        if isinstance(parties[edge.source], Pods) and isinstance(parties[edge.target], Pods)
        for port in mesh.ports
    ]
    asking = [
        Edge(source=source, target="mesh", port=port)
        for source in guarded
        for port in mesh.control_plane_ports
    ]
    return [*between, *asking]


def _extra(number: int) -> str:
    return f"extra-{number}"


def _other_end(rule: ExtraRule) -> Party:
    if rule.cidr is not None:
        return Addresses(ranges=(rule.cidr,))
    return Pods(labels=rule.pod_labels, namespace=rule.namespace)


def _extra_edges(rules: tuple[ExtraRule, ...]) -> Iterator[Edge]:
    for number, rule in enumerate(rules):
        ends = (rule.party, _extra(number))
        source, target = ends if rule.direction == "egress" else reversed(ends)
        for port in rule.ports:
            yield Edge(source=source, target=target, port=port, protocol=rule.protocol)


def _harbor_pods(component: str) -> Pods:
    return Pods(labels={**HARBOR_PODS, "component": component})


def _gateway_port(settings: Settings) -> int:
    gateway = settings.network_policies.gateway
    return HTTPS if isinstance(gateway, CiliumGateway) else gateway.https_port


def _api_server_ports(settings: Settings) -> tuple[int, ...]:
    return (settings.network_policies.api_server or ApiServer()).ports


def _scanner_databases(settings: Settings) -> Iterator[Edge]:
    if settings.trivy.offline:
        return
    for repository in (*scanner_repositories(settings), *java_scanner_repositories(settings)):
        host, _, port = repository.partition("/")[0].partition(":")
        if host == settings.registry_address.host:  # a mirror in this registry: see above
            yield Edge(source="trivy", target="gateway", port=_gateway_port(settings))
        yield Edge(source="trivy", target="outside", port=int(port or HTTPS))


def _bucket_endpoint(settings: Settings) -> tuple[str | None, int] | None:
    """Host and port of the bucket; host None where the vendor's client derives it."""
    if not settings.storage.is_remote:
        return None
    return _host_and_port(settings.storage.endpoint_url or "https:")


def _backup_endpoints(settings: Settings) -> dict[str, tuple[str | None, int]]:
    """Host and port of the buckets to which the database archives and from which it is restored."""
    places = {
        "backup-storage": settings.backup and settings.backup.destination,
        "restore-storage": settings.restore_source,
    }
    return {name: _host_and_port(place.endpoint) for name, place in places.items() if place}


def _host_and_port(endpoint: str) -> tuple[str | None, int]:
    url = urlsplit(endpoint)
    return url.hostname, url.port or {"http": 80, "https": HTTPS}[url.scheme]


def _host(host: str | None, settings: Settings) -> Party:
    """The party behind a host: an address, a Service (`name`, `name.namespace[.svc…]`), or outside.

    The port of such a Service must be that of its pods.
    """
    outside = Addresses(ranges=settings.network_policies.outside)
    if host is None:
        return outside
    try:
        return Addresses(ranges=(str(ipaddress.ip_network(host)),))
    except ValueError:
        pass
    match host.split("."):
        case [_]:
            return Pods(labels={})
        case [_, namespace] | [_, namespace, "svc", *_]:
            return Pods(labels={}, namespace=namespace)
        case _:
            return outside


# --- The policies --------------------------------------------------------------------------------


def network_policies(allowed: Perimeter) -> list[Policy]:
    """Default deny for all pods of Harbor, and for each guarded party what is allowed.

    Each policy denies what it does not allow to the pods it selects, both ways. Pods of others in
    the same namespace are not selected: an estate may run other things beside Harbor.
    """
    deny = Policy(
        name="harbor-default-deny",
        kind="NetworkPolicy",
        spec={
            "podSelector": {"matchLabels": HARBOR_PODS},
            "policyTypes": ["Ingress", "Egress"],
        },
    )
    made = [deny]
    for name in allowed.guarded:
        pods = allowed.parties[name]
        assert isinstance(pods, Pods)
        incoming = [edge for edge in allowed.edges if edge.target == name]
        outgoing = [edge for edge in allowed.edges if edge.source == name]
        labels = {"matchLabels": dict(pods.labels)}
        spec = {
            "podSelector": labels,
            "policyTypes": ["Ingress", "Egress"],
            **_non_empty(
                ingress=_rules(allowed, incoming, side="from"),
                egress=_rules(allowed, outgoing, side="to"),
            ),
        }
        made.append(Policy(name=f"harbor-{name}", kind="NetworkPolicy", spec=spec))
        entities = _non_empty(
            ingress=_entity_rules(allowed, incoming, side="from"),
            egress=_entity_rules(allowed, outgoing, side="to"),
        )
        if entities:
            spec = {"endpointSelector": labels, **entities}
            made.append(Policy(name=f"harbor-{name}", kind="CiliumNetworkPolicy", spec=spec))
    return made


def _non_empty(**rules: list[Manifest]) -> Manifest:
    """Without empty lists, which the API server drops and each `up` would write again."""
    return {direction: some for direction, some in rules.items() if some}


def _rules(allowed: Perimeter, edges: list[Edge], *, side: Literal["from", "to"]) -> list[Manifest]:
    """Rules of a NetworkPolicy. A rule without peers would allow everybody: it is left out."""
    rules: list[Manifest] = []
    for other, ports in _by_party(edges, side):
        peers = _peers(allowed.parties[other], allowed.nat64_prefixes)
        if peers:
            rules.append({side: peers, "ports": ports})
    return rules


def _peers(party: Party, nat64_prefixes: tuple[str, ...]) -> list[Manifest]:
    match party:
        case Pods():
            labels = {"matchLabels": dict(party.labels)} if party.labels else {}
            peer: Manifest = {"podSelector": labels}
            if party.namespace is not None:
                peer["namespaceSelector"] = {"matchLabels": {NAMESPACE_LABEL: party.namespace}}
            return [peer]
        case Addresses():
            return [{"ipBlock": _block(cidr, nat64_prefixes)} for cidr in party.ranges]
        case Entity():
            return []


def _block(cidr: str, nat64_prefixes: tuple[str, ...]) -> Manifest:
    network: Any = ipaddress.ip_network(cidr)
    closed = PRIVATE if network.prefixlen == 0 else METADATA
    left_out = closed[network.version]
    if network.version == 6:
        left_out += tuple(_as_nat64(v4, at) for at in nat64_prefixes for v4 in closed[4])
        if network.prefixlen == 0 and not any(_is_in(at, LOCAL_NAT64) for at in nat64_prefixes):
            left_out += (LOCAL_NAT64,)
    inside = [each for each in left_out if each != cidr and _is_in(each, cidr)]
    return {"cidr": cidr, "except": inside} if inside else {"cidr": cidr}


def _is_in(inner: str, outer: str) -> bool:
    network: Any = ipaddress.ip_network(inner)
    return network.subnet_of(ipaddress.ip_network(outer))


def _as_nat64(cidr: str, prefix: str) -> str:
    """The range of IPv4 addresses as a NAT64 gateway with this prefix of 96 bits spells it."""
    v4, v6 = ipaddress.IPv4Network(cidr), ipaddress.IPv6Network(prefix)
    start = int(v6.network_address) + int(v4.network_address)
    return str(ipaddress.IPv6Network((start, 96 + v4.prefixlen)))


def _entity_rules(
    allowed: Perimeter, edges: list[Edge], *, side: Literal["from", "to"]
) -> list[Manifest]:
    """Rules of a CiliumNetworkPolicy, for the parties that a NetworkPolicy cannot name."""
    rules: list[Manifest] = []
    for other, ports in _by_party(edges, side):
        party = allowed.parties[other]
        if isinstance(party, Entity):
            texts = [{**port, "port": str(port["port"])} for port in ports]
            rules.append({f"{side}Entities": list(party.names), "toPorts": [{"ports": texts}]})
    return rules


def _by_party(
    edges: list[Edge], side: Literal["from", "to"]
) -> Iterator[tuple[str, list[Manifest]]]:
    grouped: dict[str, list[Manifest]] = {}
    for edge in edges:
        other = edge.source if side == "from" else edge.target
        grouped.setdefault(other, []).append({"protocol": edge.protocol, "port": edge.port})
    yield from grouped.items()
