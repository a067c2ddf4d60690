"""The objects of the External Secrets Operator, and what their templates come to."""

import pytest

from components.delivery import objects
from components.delivery.objects import (
    PASSWORD,
    URL_QUOTED,
    Remote,
    external_secret_spec,
    literal,
    proof_manifest,
    push_secret_spec,
    remote_key,
)
from components.harbor_inputs import Cache, cache_secret
from components.sealing.opened import REVISION_ANNOTATION
from components.settings.secrets import ExternalDelivery, StoreSettings
from policy import plaintext
from sandbox.stand_ins.external_secrets import rendered

STORE = StoreSettings(name="platform")


def test_an_external_secret_reads_each_key_and_writes_the_revision_with_the_data() -> None:
    spec = external_secret_spec(
        STORE,
        remotes={"tls.key": Remote(key="k", part="tls.key"), "a": Remote(key="whole")},
        refresh_interval="30m",
        kind="kubernetes.io/tls",
        labels={"team": "registry"},
        revision="0a1b",
    )
    assert spec == {
        "refreshInterval": "30m",
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": "platform"},
        "target": {
            "creationPolicy": "Owner",
            "deletionPolicy": "Retain",
            "template": {
                "engineVersion": "v2",
                "type": "kubernetes.io/tls",
                "metadata": {
                    "labels": {"team": "registry"},
                    "annotations": {REVISION_ANNOTATION: "0a1b"},
                },
            },
        },
        "data": [
            {"secretKey": "a", "remoteRef": {"key": "whole"}},
            {"secretKey": "tls.key", "remoteRef": {"key": "k", "property": "tls.key"}},
        ],
    }


def test_what_is_pushed_names_its_owner_and_is_never_deleted() -> None:
    spec = push_secret_spec(
        STORE, source="one-pushed", key="omantel-one", keys=["password"], refresh_interval="1h"
    )
    assert (spec["updatePolicy"], spec["deletionPolicy"]) == ("Replace", "None")
    assert [each["match"]["remoteRef"]["property"] for each in spec["data"]] == [
        "password",
        "sovereign-harbor-owner",
    ]
    assert {each["match"]["remoteRef"]["remoteKey"] for each in spec["data"]} == {"omantel-one"}


def test_a_missing_key_is_no_error_of_the_proof() -> None:
    manifest = proof_manifest(
        "registry", "one-in-store", store={"kind": "SecretStore", "name": "s"}, key="k", labels={}
    )
    assert manifest["spec"]["target"]["deletionPolicy"] == "Delete"
    assert manifest["spec"]["dataFrom"] == [{"extract": {"key": "k"}}]


def external(prefix: str | None = None) -> ExternalDelivery:
    return ExternalDelivery(delivery="external", store=STORE, prefix=prefix)


@pytest.mark.parametrize(
    ("fqdn", "prefix"),
    [
        ("omantel.omani.works", "omantel-omani-works-"),
        ("a-b.c", "a-b-c-"),
        (f"{'a' * 60}.{'b' * 60}.test", f"{'a' * 60}-{'b' * 29}-"),
    ],
)
def test_the_default_prefix_is_the_domain_in_characters_of_every_store(
    fqdn: str, prefix: str
) -> None:
    made = external().prefix_for(fqdn)
    assert made.startswith(prefix)
    assert len(made) <= 100
    assert external(prefix="kup6s/").prefix_for(fqdn) == "kup6s/"


def test_two_long_domains_have_two_prefixes() -> None:
    long = "a" * 60 + "." + "b" * 60
    assert external().prefix_for(f"{long}.one") != external().prefix_for(f"{long}.two")


def test_a_secret_of_another_namespace_has_a_key_of_its_own() -> None:
    assert remote_key("p-", "object-storage") == "p-object-storage"
    assert remote_key("p-", "pull", namespace="web") == "p-web--pull"
    keys = {remote_key("", "b-c", namespace="a"), remote_key("", "c", namespace="a-b")}
    assert len(keys) == 2


PASSWORDS = ["plain", "with space", "a+b", "p@ss:/?#[]!$&'()*,;=%", "{{ .password }}", "ä→", "~-_."]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("tls", [False, True])
def test_the_template_of_the_cache_comes_to_what_is_sealed(password: str, tls: bool) -> None:
    cache = Cache(host="2001:db8::7", port=6379, secret_name="s", username="harbor", tls=tls)
    template = cache_secret(cache, PASSWORD, URL_QUOTED)
    values = {"password": password}
    assert {key: rendered(text, values) for key, text in template.items()} == cache_secret(
        cache, password
    )


@pytest.mark.parametrize("text", ["-----BEGIN CERTIFICATE-----\nMII\n", "a {{ b }} c", "{{{{"])
def test_a_literal_comes_out_as_it_is(text: str) -> None:
    assert rendered(literal(text), {}) == text


def test_the_policy_knows_the_secrets_that_are_pushed_by_the_same_key() -> None:
    assert getattr(plaintext, "_OWNER_KEY") == objects.OWNER_KEY  # noqa: B009
