"""The section `dns`: who writes the registry's address records. Pure.

Vendors are named here and in storage/, in no other section.
"""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.settings.schema.rules import (
    REMOVE,
    Section,
    SettingRule,
    matching,
    refuse,
    whole_number,
)
from components.settings.schema.secret_rules import AsksForSecrets, SecretRule, characters


def _address(version: int) -> SettingRule:
    example = f"<ipv{version}>"

    def check(text: str) -> str | None:
        try:
            return None if ipaddress.ip_address(text).version == version else ""
        except ValueError:
            return ""

    return SettingRule(allowed=f"an IPv{version} address", example=example, check=check)


_ZONE = SettingRule(
    allowed="the name of a zone: lower-case labels with dots between them, none at the end",
    example="<zone>",
    check=matching(r"(?=.{3,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z][-a-z0-9]{0,61}"),
)


class DnsKind(AsksForSecrets):
    """What the program asks every kind of DNS."""

    def problem_with(self, registry_fqdn: str) -> str | None:
        """Why this kind cannot write records of that host; None if it can."""
        del registry_fqdn
        return None


class NoDns(DnsKind):
    """Somebody else writes the records, such as external-dns, or a wildcard record covers the
    host."""

    also_called = ("external-dns", "wildcard", "manual")

    kind: Literal["none"] = "none"


class LoadBalancer(Section):
    """A load balancer of the same project, by name or by label."""

    name: (
        Annotated[
            str,
            SettingRule(
                allowed="the name of a load balancer",
                example="<load-balancer>",
                check=matching(r"[A-Za-z0-9]([-.\w]{0,61}[A-Za-z0-9])?"),
            ),
        ]
        | None
    ) = None
    """Name of the load balancer."""
    selector: (
        Annotated[
            str,
            SettingRule(
                allowed="a label selector that one load balancer has",
                example="<label>=<value>",
                check=matching(r"[\w./-]+(==?[\w.-]+)?(,[\w./-]+(==?[\w.-]+)?)*"),
            ),
        ]
        | None
    ) = None
    """A label selector that matches no other load balancer."""

    @model_validator(mode="after")
    def _is_named_in_one_way(self) -> Self:
        if (self.name is None) == (self.selector is None):
            refuse(
                "either dns.loadBalancer.name or dns.loadBalancer.selector",
                at=("name",),
                example=None if self.name is None else REMOVE,
            )
        return self


class FixedAddresses(Section):
    """Addresses that do not change."""

    ipv4: Annotated[str, _address(4)] | None = None
    """For the A record; none when unset."""
    ipv6: Annotated[str, _address(6)] | None = None
    """For the AAAA record; none when unset."""

    @model_validator(mode="after")
    def _is_one_at_least(self) -> Self:
        if self.ipv4 is None and self.ipv6 is None:
            refuse("at least one of ipv4 and ipv6", at=("ipv4",))
        return self


class HetznerDns(DnsKind):
    """A zone of Hetzner's DNS (the one in the Console's projects)."""

    secrets: ClassVar[Mapping[str, SecretRule]] = {
        "dnsToken": SecretRule(
            description="API token of the project that holds the DNS zone and the load balancer",
            shape=characters(32, 256),
            in_sandbox=characters(3, 256),
        )
    }

    kind: Literal["hetzner"]
    zone: Annotated[str, _ZONE]
    """Name of the zone that holds the registry's host; it exists already."""
    load_balancer: LoadBalancer | None = None
    """The load balancer in front of the Gateway, whose addresses the records get."""
    addresses: FixedAddresses | None = None
    """Fixed addresses, where there is no load balancer of the same project."""
    ttl: Annotated[int, whole_number(60, 86400, example=300)] = 300
    """Seconds that resolvers keep a record."""

    @model_validator(mode="after")
    def _points_somewhere(self) -> Self:
        if (self.load_balancer is None) == (self.addresses is None):
            refuse(
                "either dns.loadBalancer or dns.addresses",
                at=("loadBalancer",),
                example=None if self.load_balancer is None else REMOVE,
            )
        return self

    def problem_with(self, registry_fqdn: str) -> str | None:
        if f".{registry_fqdn}".endswith(f".{self.zone}"):
            return None
        return f"{registry_fqdn} is not in this zone"

    def record_name(self, registry_fqdn: str) -> str:
        """The host's name inside the zone; "@" for the zone's own."""
        return f".{registry_fqdn}".removesuffix(f".{self.zone}").removeprefix(".") or "@"


DnsSettings = Annotated[NoDns | HetznerDns, Field(discriminator="kind")]
