"""DnsRecords: the registry's address records, in a zone that exists at Hetzner."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_hcloud as hcloud

from components.context import Context
from components.settings.dns import HetznerDns, LoadBalancer
from components.unknown import unknown


@dataclass(frozen=True, kw_only=True)
class DnsRecordsArgs:
    """Records of `host` in a zone that exists."""

    host: str
    settings: HetznerDns


class DnsRecords(pulumi.ComponentResource):
    """An A and an AAAA record, to a load balancer's addresses or to those given."""

    def __init__(
        self, name: str, args: DnsRecordsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:DnsRecords", name, None, opts)
        settings = args.settings
        if settings.load_balancer is not None:
            balancer = _load_balancer(settings.load_balancer, self)
            addresses: dict[str, pulumi.Input[str]] = {
                "A": balancer.ipv4.apply(public_address),
                "AAAA": balancer.ipv6.apply(public_address),
            }
        else:
            assert settings.addresses is not None  # settings demand one of the two
            given = {"A": settings.addresses.ipv4, "AAAA": settings.addresses.ipv6}
            addresses = {kind: text for kind, text in given.items() if text is not None}
        for kind, address in addresses.items():
            hcloud.ZoneRrset(
                f"{name}-{kind.lower()}",
                zone=settings.zone,
                name=settings.record_name(args.host),
                type=kind,
                ttl=settings.ttl,
                records=[{"value": address}],
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})


def _load_balancer(
    settings: LoadBalancer, parent: pulumi.Resource
) -> pulumi.Output[hcloud.GetLoadBalancerResult]:
    return hcloud.get_load_balancer_output(
        name=settings.name,
        with_selector=settings.selector,
        opts=pulumi.InvokeOutputOptions(parent=parent),
    )


def public_address(address: str | None) -> pulumi.Output[str]:
    """The address. In a preview without the token nobody can be asked, and it is unknown.

    Raises RunError when the load balancer has none.
    """
    if address:
        return pulumi.Output.from_input(address)
    if pulumi.runtime.is_dry_run():
        return unknown()
    raise pulumi.RunError(
        "sovereign-harbor:dns.loadBalancer has no public address of one kind\n"
        "  fix: set dns.addresses instead, to those that clients shall use"
    )


def hetzner_records(context: Context, settings: HetznerDns, token: pulumi.Input[str]) -> DnsRecords:
    """The records of the registry's host, by a provider of their own."""
    provider = hcloud.Provider("dns", token=token)
    args = DnsRecordsArgs(host=context.registry.host, settings=settings)
    options = pulumi.ResourceOptions(providers=[provider], depends_on=context.options.depends_on)
    return DnsRecords("dns", args, options)
