"""Rules between the ways into the Sovereign: policies, exposure and DNS. Pure."""

from collections.abc import Iterator
from typing import Final

from components.registry_address import RegistryAddress
from components.settings.database import (
    CommonDatabaseSettings,
    DatabaseSettings,
    DedicatedDatabase,
    SharedDatabase,
)
from components.settings.dns import DnsKind
from components.settings.exposure import CommonExposure, GatewayExposure, IngressExposure
from components.settings.metrics import MetricsSettings
from components.settings.network_policies import CiliumGateway, NetworkPoliciesSettings
from components.settings.schema.problems import CrossRule, Problem
from components.settings.trivy import TrivySettings
from components.settings.valkey import SharedValkey, ValkeySettings


def _policies_let_the_controller_in(
    *, exposure: GatewayExposure | IngressExposure, network_policies: NetworkPoliciesSettings
) -> Iterator[Problem]:
    is_cilium = isinstance(network_policies.gateway, CiliumGateway)
    if (
        network_policies.enabled
        and is_cilium
        and isinstance(exposure, IngressExposure)
        and exposure.class_name != "cilium"
    ):
        yield Problem(
            path=("networkPolicies", "gateway", "kind"),
            reason=f"namespace, and with it the namespace of the controller of class "
            f"{exposure.class_name}: as cilium its pods could not reach Harbor",
            example="namespace",
        )


def _database_reaches_the_api_server(
    *, database: CommonDatabaseSettings, network_policies: NetworkPoliciesSettings
) -> Iterator[Problem]:
    if (
        network_policies.enabled
        and isinstance(database, DedicatedDatabase)
        and not network_policies.is_cilium
        and (network_policies.api_server is None or network_policies.api_server.cidr is None)
    ):
        given = () if network_policies.api_server is None else ("cidr",)
        yield Problem(
            path=("networkPolicies", "apiServer", *given),
            reason="required for a dedicated database: its pods ask the API server who leads, and "
            "a policy cannot select the API server as pods",
        )


def _extra_rules_have_pods(
    *,
    network_policies: NetworkPoliciesSettings,
    database: DatabaseSettings,
    valkey: ValkeySettings,
    trivy: TrivySettings,
    metrics: MetricsSettings,
) -> Iterator[Problem]:
    absent = {
        "database": isinstance(database, SharedDatabase) and "database.mode is shared",
        "cache": isinstance(valkey, SharedValkey) and "valkey.mode is shared",
        "trivy": not trivy.enabled and "trivy.enabled is false",
        "exporter": not metrics.enabled and "metrics.enabled is false",
    }
    for index, rule in enumerate(network_policies.extra_rules):
        if reason := absent.get(rule.party):
            yield Problem(
                path=("networkPolicies", "extraRules", index, "party"),
                reason=f"a party that has pods here, and {rule.party} has none: {reason}",
                example="core",
            )


def _zone_holds_the_registry(
    *, dns: DnsKind, fqdn: str, exposure: CommonExposure
) -> Iterator[Problem]:
    reason = dns.problem_with(RegistryAddress(fqdn, exposure.host).host)
    if reason is not None:
        example = fqdn if exposure.host is None else exposure.host.partition(".")[2]
        yield Problem(path=("dns", "zone"), reason=reason, example=example)


RULES: Final[tuple[CrossRule, ...]] = (
    _policies_let_the_controller_in,
    _database_reaches_the_api_server,
    _extra_rules_have_pods,
    _zone_holds_the_registry,
)
