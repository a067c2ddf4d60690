"""What holds for every component, whoever writes it: parents, labels, provider, secrets, data.

A component that has no builder here fails the first test.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pulumi
import pytest

import components
from components.context import Context
from components.data_services import database
from components.harbor import disruption
from components.image_policy import component as image_policy
from components.image_policy.component import ImagePolicy
from components.monitoring import component as monitoring
from components.monitoring.component import Monitoring
from components.network import dns, exposure, policies
from components.network.policies import NetworkPolicies
from components.registry import component as registry
from tests.support import builders
from tests.support.builders import FQDN, Cluster, context_of
from tests.support.contract import (
    DATA,
    assert_data_is_kept,
    assert_labelled,
    assert_no_secret_in_the_clear,
    assert_one_cluster,
)
from tests.support.mocks import (
    CERTIFICATE,
    MARK,
    NAMESPACE,
    PASSWORD,
    POSTGRES_CLUSTER,
    PUSHED,
    RELEASE,
    SEAL,
    SEALED_SECRET,
    Engine,
    fresh_engine,
    is_secret,
    text,
)
from tests.support.monitoring import WIDE

DNS = {"kind": "hetzner", "zone": "omani.works", "loadBalancer": {"name": "ingress"}}
INGRESS = {"kind": "ingress", "className": "cilium", "clusterIssuer": "letsencrypt"}


def dns_records(context: Context) -> Any:
    token = pulumi.Output.secret(f"{MARK}-token")
    return dns.create(builders.config(secrets={"dnsToken": token}, dns=DNS), context)


def certificate(context: Context) -> Any:
    return exposure.create(builders.config(exposure=INGRESS), context)


def image_policies(context: Context) -> ImagePolicy:
    section = {"rewrite": {"enabled": True}}
    harbor = pulumi.Output.from_input("2.14.3")
    config = builders.config(imagePolicy=section, registry=builders.CACHES)
    return image_policy.create(config, context, harbor)


def disruption_budgets(context: Context) -> Any:
    return disruption.create(builders.config(profile="ha"), context)


def monitored(context: Context) -> Monitoring | None:
    return monitoring.create(builders.config(**WIDE), context)


def network_policies(context: Context) -> NetworkPolicies:
    return policies.create(builders.config(), context)


def tenant_database(context: Context) -> Any:
    section = {"mode": "shared", "create": {"cluster": "pg", "namespace": "databases"}}
    stack = builders.config(database=section)
    return database.create(stack, context, builders.credentials(context))


REGISTRY: dict[str, Any] = {
    "projects": {"apps": {"robots": {"ci": {"permissions": ["push"], "rotation": 2}}}},
    "proxyCaches": {"proxy-ghcr": {"upstream": {"type": "github-ghcr"}}},
    "robots": {
        "cluster": {
            "permissions": {"apps": ["pull"]},
            "pullSecret": {"namespaces": ["web"], "serviceAccounts": {"web": ["default"]}},
        }
    },
}


def registry_of(context: Context) -> Any:
    config = builders.config(registry=REGISTRY)
    minted = builders.credentials(context)
    harbor = builders.harbor_on(context, config, minted)
    return registry.create(config, context, harbor, minted)


def sealed_secret(context: Context) -> Any:
    parent = pulumi.ComponentResource(
        "sovereign-harbor:test:Parent", "parent", None, context.options
    )
    return context.sealed("one", "secret", {"password": builders.password()}, parent=parent)


def external_secret(context: Context) -> Any:
    return sealed_secret(replace(context, external=builders.EXTERNAL))


BUILDERS: dict[str, Callable[[Context], Any]] = {
    "Backup": builders.backup,
    "Credentials": builders.credentials,
    "DisruptionBudgets": disruption_budgets,
    "DnsRecords": dns_records,
    "ExternalSecret": external_secret,
    "HarborRegistry": builders.harbor,
    "ImagePolicy": image_policies,
    "Monitoring": monitored,
    "NetworkPolicies": network_policies,
    "ObjectStorage": builders.object_storage,
    "Postgres": builders.postgres,
    "Registry": registry_of,
    "RegistryCertificate": certificate,
    "SealedSecret": sealed_secret,
    "SharedCredentials": builders.shared_credentials,
    "TenantDatabase": tenant_database,
    "Valkey": builders.valkey,
}


def declared_components() -> Iterator[type[pulumi.ComponentResource]]:
    for module in pkgutil.walk_packages(components.__path__, "components."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(cls, pulumi.ComponentResource) and cls.__module__ == module.name:
                yield cls


def test_every_component_is_under_contract() -> None:
    assert sorted(BUILDERS) == sorted(cls.__name__ for cls in declared_components())


def built_alone(
    name: str, certificate: str, *, preview: bool = False, protect: bool = True, retain: bool = True
) -> Engine:
    """The engine after that component was built. Read-only: several tests look at it."""
    with fresh_engine() as engine, pytest.MonkeyPatch.context() as monkeypatch:
        Cluster().stand_in(monkeypatch).put_secret(builders.SHARED, builders.PASSWORD)
        engine.run(
            lambda: BUILDERS[name](context_of(certificate, protect=protect, retain=retain)),
            preview=preview,
        )
    return engine


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def built(name: str, sealing_certificate: str) -> Engine:
    return built_alone(name, sealing_certificate)


@pytest.fixture(scope="module")
def whole(sealing_certificate: str) -> Engine:
    """Harbor with all that it stands on."""
    return built_alone("HarborRegistry", sealing_certificate)


# --- Names and places --------------------------------------------------------------------------


def test_the_type_says_the_class(name: str, built: Engine) -> None:
    component = built.all(f"sovereign-harbor:index:{name}")[0]
    assert component.is_component
    assert not component.custom


def test_every_child_stands_under_its_component(name: str, built: Engine) -> None:
    by_urn = {resource.urn: resource for resource in built.resources}
    for resource in built.resources:
        if resource.typ.startswith("pulumi:providers:"):
            continue
        if resource.is_component and resource.parent not in by_urn:
            continue  # a component of the program itself
        parent = by_urn[resource.parent]
        assert parent.is_component, f"{resource} stands under {parent}"
        assert resource.name.startswith(f"{parent.name}-") or parent.name == "parent", resource


def test_outputs_are_registered(name: str, built: Engine) -> None:
    # Without register_outputs the engine shows a component as never finished.
    for resource in built.resources:
        if resource.is_component and resource.name != "parent":
            assert resource.urn in built.finished, resource


def test_every_object_carries_the_labels_of_its_sovereign(name: str, built: Engine) -> None:
    assert_labelled(built, FQDN)


def test_every_object_goes_to_the_one_cluster(name: str, built: Engine) -> None:
    assert_one_cluster(built)


# --- Data --------------------------------------------------------------------------------------


def test_what_holds_data_is_protected_and_outlives_the_stack(name: str, built: Engine) -> None:
    assert_data_is_kept(built)


def test_nothing_is_protected_where_the_settings_say_so(
    name: str, sealing_certificate: str
) -> None:
    engine = built_alone(name, sealing_certificate, protect=False, retain=False)
    for resource in engine.resources:
        assert not resource.protect, resource
        assert not resource.retain, resource


@pytest.mark.parametrize(("protect", "retain"), [(True, False), (False, True)])
def test_protecting_and_retaining_are_two_settings(
    protect: bool, retain: bool, sealing_certificate: str
) -> None:
    engine = built_alone("Postgres", sealing_certificate, protect=protect, retain=retain)
    cluster = engine.one(POSTGRES_CLUSTER)
    assert (cluster.protect, cluster.retain) == (protect, retain)


def test_what_holds_data_is_there_to_be_protected(whole: Engine) -> None:
    of_components = DATA - {(NAMESPACE, "namespace")}
    assert {(resource.typ, resource.name) for resource in whole.resources} >= of_components


# --- Secrets -----------------------------------------------------------------------------------


def test_no_secret_goes_anywhere_in_the_clear(name: str, built: Engine) -> None:
    assert_no_secret_in_the_clear(built)


def test_what_is_sealed_is_a_secret_value(name: str, built: Engine) -> None:
    for seal in built.all(SEAL):
        assert MARK in text(seal.inputs["data"]), f"{seal} seals nothing that is secret"


def test_there_is_no_plain_secret_object(name: str, built: Engine) -> None:
    # One from which a value is pushed has it encrypted in the state, and in the cluster where its
    # reader is.
    for secret in built.all(PUSHED):
        assert name == "ExternalSecret"
        assert is_secret(secret.inputs["data"])


def test_the_contract_sees_secrets_at_all(whole: Engine) -> None:
    holders = {resource.typ for resource in whole.resources if MARK in text(resource.inputs)}
    # The certificate is made from the private key.
    assert holders == {SEAL, CERTIFICATE}
    assert whole.all(SEALED_SECRET)
    assert whole.all(RELEASE)


def test_random_values_are_never_public(name: str, built: Engine) -> None:
    for resource in built.resources:
        if resource.typ.startswith("random:"):
            assert resource.typ == PASSWORD, f"{resource} is kept in the clear"


# --- Previews ----------------------------------------------------------------------------------


def test_before_anything_exists_a_preview_shows_what_an_update_makes(
    name: str, built: Engine, sealing_certificate: str
) -> None:
    assert built_alone(name, sealing_certificate, preview=True).names == built.names
