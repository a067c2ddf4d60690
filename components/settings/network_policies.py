"""The section `networkPolicies`: who may talk to Harbor's pods, and to whom they may. Pure."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from components.settings.schema.labels import LABELS
from components.settings.schema.rules import (
    DNS_LABEL,
    PORT,
    REMOVE,
    Check,
    Section,
    SettingRule,
    refuse,
)

LINK_LOCAL = {4: "169.254.0.0/16", 6: "fe80::/10"}
"""By IP version. A cloud's metadata service has an address in the first one."""


def _cidr(text: str) -> str | None:
    address, slash, length = text.partition("/")
    try:
        network = ipaddress.ip_network(text)
        ipaddress.ip_address(address)
    except ValueError as error:
        return "it has bits set behind the prefix" if "host bits" in str(error) else ""
    if not slash:
        return "without a prefix length"
    if not re.fullmatch(r"0|[1-9][0-9]{0,2}", length):
        return "a number of bits behind the slash, not a netmask"
    if "%" in address:
        return "without a zone"
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        return "an IPv4 address written as IPv6, which Kubernetes refuses; write it as IPv4"
    return None


def _ranges(text: str) -> Iterator[str]:
    try:
        yield str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return


CIDR = SettingRule(
    allowed="a range of addresses ADDRESS/PREFIX, IPv4 or IPv6",
    example="<range>",
    check=_cidr,
    suggest=_ranges,
)


def _and(*checks: Check) -> Check:
    def all_of(text: str) -> str | None:
        return next((reason for check in checks if (reason := check(text)) is not None), None)

    return all_of


def _no_link_local(text: str) -> str | None:
    network: Any = ipaddress.ip_network(text)
    if not network.subnet_of(ipaddress.ip_network(LINK_LOCAL[network.version])):
        return None
    return (
        "link-local addresses are a node's own services; a cloud's metadata service there gives "
        "the node's identity to whoever asks. Where a storage kind needs it, the policies open it"
    )


_OUTSIDE = replace(CIDR, check=_and(_cidr, _no_link_local))
_NAT64 = SettingRule(
    allowed="the prefix of a NAT64 gateway, 96 bits long",
    example="64:ff9b::/96",
    check=_and(
        _cidr,
        lambda text: None if ":" in text and text.endswith("/96") else "",
    ),
)


_ADDRESS_COMMAND = (
    "$(kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes "
    "-o jsonpath='{.items[0].endpoints[0].addresses[0]}')/32"
)
_HTTPS_PORT = replace(PORT, example="8443")


class CiliumGateway(Section):
    """Cilium's own Gateway or Ingress controller.

    Its traffic has the identity `ingress`, which no selector of pods matches, so
    CiliumNetworkPolicies are written in addition to the plain ones.
    """

    kind: Literal["cilium"] = "cilium"


class NamespaceGateway(Section):
    """A controller that runs as pods of one namespace: Traefik, nginx, Envoy Gateway."""

    also_called = ("traefik", "nginx", "envoy", "envoy-gateway", "istio", "calico", "contour")

    kind: Literal["namespace"]
    namespace: Annotated[str, DNS_LABEL]
    """Namespace of the controller's pods."""
    https_port: Annotated[int, _HTTPS_PORT] = 8443
    """Port on which its pods take HTTPS; core and jobservice reach the Sovereign's other hosts
    there, such as the one of single sign-on."""


class HostGateway(Section):
    """A controller on the host network of nodes. Its traffic has the nodes' addresses."""

    kind: Literal["host"]
    ranges: tuple[Annotated[str, CIDR], ...] = ()
    """Addresses of the nodes, and of their tunnel devices where the CNI has such: from another
    node, traffic comes from there. Needed unless cni is cilium, which knows nodes by name."""
    https_port: Annotated[int, _HTTPS_PORT] = 443
    """Port on which nodes take HTTPS."""


class AddressGateway(Section):
    """A load balancer outside the cluster that sends requests to pods directly."""

    kind: Literal["addresses"]
    ranges: tuple[Annotated[str, replace(CIDR, example="10.0.8.0/24")], ...]
    """Addresses from which the requests come."""
    https_port: Annotated[int, _HTTPS_PORT] = 443
    """Port on which it takes HTTPS."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if not self.ranges:
            refuse("without one nobody reaches Harbor", at=("ranges",))
        return self


GatewaySettings = CiliumGateway | NamespaceGateway | HostGateway | AddressGateway


class ClusterDns(Section):
    """The cluster's name servers, as pods reach them."""

    namespace: Annotated[str, replace(DNS_LABEL, example="kube-system")] = "kube-system"
    """Namespace of their pods."""
    port: Annotated[int, replace(PORT, example="5353")] = 53
    """Port on which their pods answer: policies apply after the Service's port is translated."""
    addresses: tuple[Annotated[str, replace(CIDR, example="169.254.20.10/32")], ...] = ()
    """Addresses of name servers that are no pods, at port 53, such as the one of NodeLocal DNSCache
    on each node. With Cilium the policies name the node itself too, since a node's addresses are
    the node to it."""


class ApiServer(Section):
    """Where the API server answers, as addresses: no policy can select it as pods."""

    cidr: Annotated[str, replace(CIDR, example=_ADDRESS_COMMAND)] | None = None
    """Range that holds all endpoints of the Service `kubernetes`: the control plane's nodes. Needed
    for a dedicated database unless cni is cilium, whose policies know the API server by name."""
    extra_cidrs: tuple[Annotated[str, CIDR], ...] = ()
    """Further such ranges. With Cilium too: addresses outside the cluster, such as a load
    balancer's."""
    port: Annotated[int, replace(PORT, example="6443")] = 6443
    """Port of those endpoints: policies apply after the Service's address is translated."""
    extra_ports: tuple[Annotated[int, replace(PORT, example="443")], ...] = ()
    """Further such ports."""

    @property
    def cidrs(self) -> tuple[str, ...]:
        """All ranges."""
        return (*(() if self.cidr is None else (self.cidr,)), *self.extra_cidrs)

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports."""
        return (self.port, *self.extra_ports)


class Mesh(Section):
    """A service mesh that Harbor's pods are in."""

    ports: tuple[Annotated[int, replace(PORT, example="15008")], ...] = ()
    """Ports of its proxies, at which connections between pods arrive besides the pods' own: 15008
    for Istio's ambient mode, 4143 for Linkerd, none for Istio's sidecars."""
    namespace: Annotated[str, replace(DNS_LABEL, example="istio-system")] | None = None
    """Namespace of its control plane, which the proxies in the pods ask; none in ambient mode."""
    control_plane_ports: tuple[Annotated[int, replace(PORT, example="15012")], ...] = ()
    """Ports of the control plane's pods."""

    @model_validator(mode="after")
    def _control_plane_has_ports(self) -> Self:
        if self.namespace is not None and not self.control_plane_ports:
            refuse("at least one, with namespace", at=("controlPlanePorts",))
        if self.namespace is None and self.control_plane_ports:
            refuse("required with controlPlanePorts", at=("namespace",))
        return self


PartyName = Literal[
    "core", "portal", "jobservice", "registry", "trivy", "exporter", "database", "cache"
]


class ExtraRule(Section):
    """Connections that are allowed besides those that Harbor's parts need."""

    party: PartyName
    """Whose pods open or take the connections."""
    direction: Literal["egress", "ingress"]
    """egress: the party opens them. ingress: the party takes them."""
    cidr: Annotated[str, CIDR] | None = None
    """The other end, as a range of addresses. 0.0.0.0/0 and ::/0 leave private ranges out."""
    namespace: Annotated[str, replace(DNS_LABEL, example="keycloak")] | None = None
    """The other end, as the pods of a namespace."""
    pod_labels: Annotated[dict[str, str], LABELS] = Field(default_factory=dict)
    """Only those of its pods that have these labels; all of them when empty."""
    ports: tuple[Annotated[int, replace(PORT, example="8443")], ...]
    """Ports of the pods that take the connections, or of the addresses."""
    protocol: Literal["TCP", "UDP"] = "TCP"
    """Protocol of the connections."""

    @model_validator(mode="after")
    def _has_one_other_end(self) -> Self:
        if (self.cidr is None) == (self.namespace is None):
            refuse(
                "either cidr or namespace",
                at=("cidr",),
                example=None if self.cidr is None else REMOVE,
            )
        if self.pod_labels and self.namespace is None:
            refuse("only with namespace", at=("podLabels",), example=REMOVE)
        if not self.ports:
            refuse("at least one: without ports all would be open", at=("ports",))
        return self


class NetworkPoliciesSettings(Section):
    """Every connection of pods in Harbor's namespace is denied, except those that Harbor's parts
    need."""

    enabled: bool = True
    """Whether policies are written."""
    cni: Literal["cilium", "other"] | None = None
    """Which network enforces the policies. Cilium does not match its own nodes and API server by
    address, so CiliumNetworkPolicies name them. When unset: cilium where gateway.kind is cilium,
    else other."""
    gateway: Annotated[GatewaySettings, Field(discriminator="kind")] = CiliumGateway()
    """The controller through which clients reach Harbor's core and portal."""
    dns: ClusterDns = ClusterDns()
    """Where Harbor's pods ask for names."""
    monitoring_namespace: Annotated[str, DNS_LABEL] = "monitoring"
    """Namespace whose pods scrape Harbor when metrics are on."""
    operator_namespace: Annotated[str, DNS_LABEL] = "cnpg-system"
    """Namespace of the CloudNativePG operator, which checks the health of each database pod."""
    api_server: ApiServer | None = None
    """Where the database's instance managers reach the API server. Needed unless cni is cilium,
    whose policies know the API server by name, at port 6443 unless apiServer.port says another."""
    outside: tuple[Annotated[str, _OUTSIDE], ...] = ("0.0.0.0/0", "::/0")
    """Address ranges outside the cluster that Harbor may reach: identity provider, upstream
    registries, scanner databases, bucket. 0.0.0.0/0 and ::/0 leave private ranges out; a store with
    a private address needs a range of its own. No range includes link-local addresses. With an
    empty list Harbor reaches nothing outside."""
    nat64_prefixes: tuple[Annotated[str, _NAT64], ...] = ("64:ff9b::/96",)
    """Prefixes under which a NAT64 gateway reaches IPv4. What is left out as IPv4 is left out in
    these forms too."""
    mesh: Mesh | None = None
    """The service mesh that Harbor's pods are in, if they are in one."""
    extra_rules: tuple[ExtraRule, ...] = ()
    """Connections that are allowed besides those that Harbor's parts need."""

    @property
    def is_cilium(self) -> bool:
        """Whether CiliumNetworkPolicies are written beside the plain ones."""
        return self.cni == "cilium" or isinstance(self.gateway, CiliumGateway)

    @model_validator(mode="after")
    def _the_network_knows_the_gateway(self) -> Self:
        if self.cni == "other" and isinstance(self.gateway, CiliumGateway):
            refuse("cilium with gateway.kind cilium", at=("cni",), example="cilium")
        if isinstance(self.gateway, HostGateway):
            if self.is_cilium and self.gateway.ranges:
                refuse(
                    "not with cni cilium, which does not match nodes by address and knows them by "
                    "name",
                    at=("gateway", "ranges"),
                    example=REMOVE,
                )
            if not self.is_cilium and not self.gateway.ranges:
                refuse("at least one, unless cni is cilium", at=("gateway", "ranges"))
        return self
