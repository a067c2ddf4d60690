"""The section `networkPolicies`: who may talk to Harbor's pods, and to whom they may. Pure."""

import ipaddress
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.settings.schema.rules import DNS_LABEL, PORT, REMOVE, Section, SettingRule, refuse


def _cidr(text: str) -> str | None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        return "it has bits set behind the prefix" if "host bits" in str(error) else ""
    return None if "/" in text else "without a prefix length"


CIDR = SettingRule(
    allowed="a range of addresses ADDRESS/PREFIX, IPv4 or IPv6",
    example="10.20.0.0/16",
    check=_cidr,
)


_ADDRESS_COMMAND = (
    "$(kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes "
    "-o jsonpath='{.items[0].endpoints[0].addresses[0]}')/32"
)


class CiliumGateway(Section):
    """Cilium's own Gateway or Ingress controller.

    Its traffic has the identity `ingress`, which no selector of pods matches, so
    CiliumNetworkPolicies are written in addition to the plain ones.
    """

    kind: Literal["cilium"] = "cilium"


class NamespaceGateway(Section):
    """A controller that runs as pods of one namespace: Traefik, nginx, Envoy Gateway."""

    kind: Literal["namespace"]
    namespace: Annotated[str, replace(DNS_LABEL, example="traefik")]
    """Namespace of the controller's pods."""
    https_port: Annotated[int, replace(PORT, example="8443")] = 8443
    """Port on which its pods take HTTPS; core and jobservice reach the Sovereign's other hosts
    there, such as the one of single sign-on."""


class ApiServer(Section):
    """Where the API server answers, as addresses: no policy can select it as pods."""

    cidr: Annotated[str, replace(CIDR, example=_ADDRESS_COMMAND)]
    """Range that holds all endpoints of the Service `kubernetes`: the control plane's nodes."""
    port: Annotated[int, replace(PORT, example="6443")] = 6443
    """Port of those endpoints: policies apply after the Service's address is translated."""


class NetworkPoliciesSettings(Section):
    """Every connection of pods in Harbor's namespace is denied, except those that Harbor's parts
    need."""

    enabled: bool = True
    """Whether policies are written."""
    gateway: Annotated[CiliumGateway | NamespaceGateway, Field(discriminator="kind")] = (
        CiliumGateway()
    )
    """The controller through which clients reach Harbor's core and portal."""
    monitoring_namespace: Annotated[str, DNS_LABEL] = "monitoring"
    """Namespace whose pods scrape Harbor when metrics are on."""
    operator_namespace: Annotated[str, DNS_LABEL] = "cnpg-system"
    """Namespace of the CloudNativePG operator, which checks the health of each database pod."""
    api_server: ApiServer | None = None
    """Where the database's instance managers reach the API server. Needed unless gateway.kind is
    cilium, whose policies know the API server by name."""
    outside: tuple[Annotated[str, CIDR], ...] = ("0.0.0.0/0", "::/0")
    """Address ranges outside the cluster that Harbor may reach: identity provider, upstream
    registries, scanner databases, bucket. 0.0.0.0/0 and ::/0 leave private ranges out; a store with
    a private address needs a range of its own. With an empty list Harbor reaches nothing
    outside."""

    @model_validator(mode="after")
    def _cilium_needs_no_address(self) -> Self:
        if isinstance(self.gateway, CiliumGateway) and self.api_server is not None:
            refuse(
                "not with gateway.kind cilium: there addresses do not match the cluster's own "
                "nodes, and the API server is allowed by name",
                at=("apiServer",),
                example=REMOVE,
            )
        return self
