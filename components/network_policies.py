"""NetworkPolicies: default deny in Harbor's namespace, then exactly what the parts need."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.naming import FIELD_MANAGER
from components.network_rules import DataServices, Policy, perimeter, policies
from components.postgres import CLUSTER
from components.settings.model import Settings
from components.site import Site
from components.valkey import NAME as VALKEY

DATA_SERVICES = DataServices(
    # CloudNativePG labels the pods of its Cluster so, and those of its jobs.
    database={"cnpg.io/cluster": CLUSTER},
    cache={"app.kubernetes.io/name": VALKEY},
)


@dataclass(frozen=True, kw_only=True)
class NetworkPoliciesArgs:
    """`policies`: see network_rules.py; none where networkPolicies.enabled is false."""

    policies: list[Policy]
    site: Site


class NetworkPolicies(pulumi.ComponentResource):
    """The policies of Harbor, its database and its cache."""

    def __init__(
        self, name: str, args: NetworkPoliciesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:NetworkPolicies", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        for policy in args.policies:
            is_plain = policy.kind == "NetworkPolicy"
            short = policy.name.removeprefix("harbor-")
            CustomResource(
                f"{name}-{short}" if is_plain else f"{name}-{short}-entities",
                api_version="networking.k8s.io/v1" if is_plain else "cilium.io/v2",
                kind=policy.kind,
                metadata={
                    "name": policy.name,
                    "namespace": args.site.namespace,
                    "labels": args.site.labels("network-policy"),
                    "annotations": FIELD_MANAGER,
                },
                spec=policy.spec,
                opts=child,
            )
        self.register_outputs({})


def network_policies_args(settings: Settings, site: Site) -> NetworkPoliciesArgs:
    """The args that `settings` amount to."""
    made: list[Policy] = []
    if settings.network_policies.enabled:
        made = policies(perimeter(settings, DATA_SERVICES))
    return NetworkPoliciesArgs(policies=made, site=site)
