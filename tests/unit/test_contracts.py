"""What holds for every component, whoever writes it: parents, labels, provider, secrets, data.

A component that has no builder here fails the first test.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pytest

import components
from components.context import Context
from components.image_policy import component as image_policy
from components.image_policy.component import ImagePolicy
from components.kubernetes import naming
from components.network import dns, exposure, policies
from components.network.policies import NetworkPolicies
from tests.support import builders
from tests.support.builders import FQDN, Cluster, context_of, settings
from tests.support.mocks import (
    BUCKET,
    CERTIFICATE,
    MARK,
    PASSWORD,
    POSTGRES_CLUSTER,
    RELEASE,
    SEAL,
    SEALED_SECRET,
    Engine,
    Registered,
    fresh_engine,
    is_secret,
    text,
)

DNS = {"kind": "hetzner", "zone": "omani.works", "loadBalancer": {"name": "ingress"}}
INGRESS = {"kind": "ingress", "className": "cilium", "clusterIssuer": "letsencrypt"}


def dns_records(_: Context) -> Any:
    token = pulumi.Output.secret(f"{MARK}-token")
    return dns.create(builders.config(secrets={"dnsToken": token}, dns=DNS))


def certificate(given: Context) -> Any:
    return exposure.create(settings(exposure=INGRESS), given)


def image_policies(given: Context) -> ImagePolicy:
    section = {"rewrite": {"enabled": True}}
    harbor = pulumi.Output.from_input("2.14.3")
    return image_policy.create(settings(imagePolicy=section), given, harbor)


def network_policies(given: Context) -> NetworkPolicies:
    return policies.create(settings(), given)


def sealed_secret(given: Context) -> Any:
    parent = pulumi.ComponentResource("sovereign-harbor:test:Parent", "parent", None, given.options)
    return given.sealed("one", "secret", {"password": builders.password()}, parent=parent)


BUILDERS: dict[str, Callable[[Context], Any]] = {
    "Credentials": builders.credentials,
    "DnsRecords": dns_records,
    "HarborRegistry": builders.harbor,
    "ImagePolicy": image_policies,
    "NetworkPolicies": network_policies,
    "ObjectStorage": builders.object_storage,
    "Postgres": builders.postgres,
    "RegistryCertificate": certificate,
    "SealedSecret": sealed_secret,
    "SharedCredentials": builders.shared_credentials,
    "Valkey": builders.valkey,
}


def declared_components() -> Iterator[type[pulumi.ComponentResource]]:
    for module in pkgutil.walk_packages(components.__path__, "components."):
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(found, pulumi.ComponentResource) and found.__module__ == module.name:
                yield found


def test_every_component_is_under_contract() -> None:
    assert sorted(BUILDERS) == sorted(found.__name__ for found in declared_components())


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


def manifests(engine: Engine) -> list[Registered]:
    return [found for found in engine.resources if found.is_manifest]


# --- Names and places --------------------------------------------------------------------------


def test_the_type_says_the_class(name: str, built: Engine) -> None:
    (found,) = built.all(f"sovereign-harbor:index:{name}")[:1]
    assert found.is_component
    assert not found.custom


def test_every_child_stands_under_its_component(name: str, built: Engine) -> None:
    by_urn = {found.urn: found for found in built.resources}
    for found in built.resources:
        if found.typ.startswith("pulumi:providers:"):
            continue
        if found.is_component and found.parent not in by_urn:
            continue  # a component of the program itself
        parent = by_urn[found.parent]
        assert parent.is_component, f"{found} stands under {parent}"
        assert found.name.startswith(f"{parent.name}-") or parent.name == "parent", found


def test_outputs_are_registered(name: str, built: Engine) -> None:
    # Without register_outputs the engine shows a component as never finished.
    for found in built.resources:
        if found.is_component and found.name != "parent":
            assert found.urn in built.finished, found


def test_every_object_carries_the_labels_of_its_sovereign(name: str, built: Engine) -> None:
    expected = naming.labels(FQDN, "any")
    component = expected.pop("app.kubernetes.io/component")
    for found in manifests(built):
        labels = found["metadata"]["labels"]
        assert expected.items() <= labels.items(), found
        assert labels["app.kubernetes.io/component"] not in ("", component), found


def test_every_object_names_its_field_manager(name: str, built: Engine) -> None:
    for found in manifests(built):
        annotations = found["metadata"]["annotations"]
        assert naming.FIELD_MANAGER.items() <= annotations.items(), found


def test_every_object_goes_to_the_one_cluster(name: str, built: Engine) -> None:
    # Without a provider the engine would use whatever kubeconfig is at hand.
    for found in built.resources:
        if found.typ.startswith("kubernetes:"):
            assert found.provider.endswith("::cluster::id-of-cluster"), found


# --- Data --------------------------------------------------------------------------------------

DATA = {
    (BUCKET, "object-storage-bucket"),
    (POSTGRES_CLUSTER, "database-cluster"),
    (PASSWORD, "credentials-secret-key"),
}
"""What cannot be made again: images, database, the key that decrypts what stands in it."""


def holds_data(found: Registered) -> bool:
    return (found.typ, found.name) in DATA


def test_what_holds_data_is_protected_and_outlives_the_stack(name: str, built: Engine) -> None:
    for found in built.resources:
        assert found.protect is holds_data(found), found
        assert found.retain is holds_data(found), found


def test_nothing_is_protected_where_the_settings_say_so(
    name: str, sealing_certificate: str
) -> None:
    engine = built_alone(name, sealing_certificate, protect=False, retain=False)
    for found in engine.resources:
        assert not found.protect, found
        assert not found.retain, found


@pytest.mark.parametrize(("protect", "retain"), [(True, False), (False, True)])
def test_protecting_and_retaining_are_two_settings(
    protect: bool, retain: bool, sealing_certificate: str
) -> None:
    engine = built_alone("Postgres", sealing_certificate, protect=protect, retain=retain)
    cluster = engine.one(POSTGRES_CLUSTER)
    assert (cluster.protect, cluster.retain) == (protect, retain)


def test_what_holds_data_is_there_to_be_protected(whole: Engine) -> None:
    assert {(found.typ, found.name) for found in whole.resources} >= DATA


# --- Secrets -----------------------------------------------------------------------------------


def test_a_secret_is_flagged_wherever_it_goes(name: str, built: Engine) -> None:
    for found in built.resources:
        for key, value in found.inputs.items():
            if MARK in text(value):
                assert is_secret(value), f"{key} of {found} shows a secret"


def test_no_object_of_the_cluster_holds_a_secret(name: str, built: Engine) -> None:
    # A Release's values stand in a Secret that is base64, not encryption.
    for found in built.resources:
        if found.typ.startswith("kubernetes:"):
            assert MARK not in text(found.inputs), found
            assert not is_secret(found.inputs), f"{found} has {found.inputs}"


def test_what_is_sealed_is_secret(name: str, built: Engine) -> None:
    for seal in built.all(SEAL):
        assert is_secret(seal.inputs["data"]), seal
        assert {key for key, value in seal.inputs.items() if is_secret(value)} == {"data"}
        assert MARK in text(seal.inputs["data"]), f"{seal} seals nothing that is secret"


def test_there_is_no_plain_secret_object(name: str, built: Engine) -> None:
    assert built.all("kubernetes:core/v1:Secret") == []


def test_the_contract_sees_secrets_at_all(whole: Engine) -> None:
    holders = {found.typ for found in whole.resources if MARK in text(found.inputs)}
    # The certificate is made from the private key.
    assert holders == {SEAL, CERTIFICATE}
    assert whole.all(SEALED_SECRET)
    assert whole.all(RELEASE)


def test_random_values_are_never_public(name: str, built: Engine) -> None:
    for found in built.resources:
        if found.typ.startswith("random:"):
            assert found.typ == PASSWORD, f"{found} is kept in the clear"


# --- Previews ----------------------------------------------------------------------------------


def test_before_anything_exists_a_preview_shows_what_an_update_makes(
    name: str, built: Engine, sealing_certificate: str
) -> None:
    assert built_alone(name, sealing_certificate, preview=True).names == built.names
