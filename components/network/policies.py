"""NetworkPolicies: default deny in Harbor's namespace, then exactly what the parts need."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Context
from components.data_services.postgres import CLUSTER
from components.data_services.valkey import NAME as VALKEY
from components.kubernetes.naming import FIELD_MANAGER, RECORDED_METRICS
from components.network.rules import DataServices, Policy, network_policies, perimeter
from components.stack_config import StackConfig

DATA_SERVICES = DataServices(
    # CloudNativePG puts this label on the pods of its Cluster and of its jobs.
    database={"cnpg.io/cluster": CLUSTER},
    cache={"app.kubernetes.io/name": VALKEY},
    recorded_metrics={"app.kubernetes.io/name": RECORDED_METRICS},
)


@dataclass(frozen=True, kw_only=True)
class NetworkPoliciesArgs:
    """`policies`: see rules.py; empty where networkPolicies.enabled is false."""

    policies: list[Policy]
    context: Context


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
                    "namespace": args.context.namespace,
                    "labels": args.context.labels("network-policy"),
                    "annotations": FIELD_MANAGER,
                },
                spec=policy.spec,
                opts=child,
            )
        self.register_outputs({})


def create(config: StackConfig, context: Context) -> NetworkPolicies:
    """The policies that the setting `networkPolicies` asks for."""
    settings = config.settings
    is_enabled = settings.network_policies.enabled
    policies = network_policies(perimeter(settings, DATA_SERVICES)) if is_enabled else []
    args = NetworkPoliciesArgs(policies=policies, context=context)
    return NetworkPolicies("network-policies", args, context.options)
