"""The mark by which a state knows the Sovereign that it made."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pulumi.dynamic import Config, ConfigureRequest

from components.cluster import adopts_sovereign
from components.ownership.state_mark import StateMarkProvider
from tests.support import builders
from tests.support.builders import Cluster

PATH = "/api/v1/namespaces/registry/configmaps/sovereign-harbor-state"
INPUTS: dict[str, Any] = {"namespace": "registry", "adopting": False, "stack": "omantel"}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster().stand_in(monkeypatch)


def checked(olds: dict[str, Any], **changes: Any) -> dict[str, Any]:
    result = StateMarkProvider().check(olds, {**INPUTS, **changes})
    assert result.failures == []
    return result.inputs


def test_a_mark_is_minted_once(cluster: Cluster) -> None:
    first = checked({})
    assert len(first["mark"]) == 32
    cluster.objects = {PATH: {"data": {"mark": first["mark"]}}}
    assert checked(first)["mark"] == first["mark"]
    assert checked({}, adopting=True)["mark"] != first["mark"]


@pytest.mark.parametrize("olds", [{}, {**INPUTS, "mark": "another"}], ids=["none", "another"])
def test_a_cluster_with_the_mark_of_another_state_is_refused(
    olds: dict[str, Any], cluster: Cluster
) -> None:
    cluster.objects = {PATH: {"data": {"mark": "theirs"}}}
    (failure,) = StateMarkProvider().check(olds, INPUTS).failures
    for part in (
        "a Sovereign lives in namespace registry that this stack's state does not know",
        "nothing was touched",
        "pulumi stack import -s omantel --file <backup>",
        "harborSecretKey, harborAdminPassword and databasePassword",
        "docs/runbooks/state-lost.md",
    ):
        assert part in failure.reason


@pytest.mark.parametrize(
    ("there", "adopting", "warns"),
    [("own", True, True), ("own", False, False), ("theirs", True, False), (None, True, False)],
    ids=["left set", "removed", "interrupted", "not yet marked"],
)
def test_settings_that_adopt_what_is_the_state_s_own_are_told(
    there: str | None,
    *,
    adopting: bool,
    warns: bool,
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.objects = {PATH: {"data": {"mark": there}}} if there else {}
    checked({**INPUTS, "mark": "own"}, adopting=adopting)
    said = capsys.readouterr().err
    assert ("pulumi config rm --path 'harbor.adopt' -s omantel" in said) is warns


@pytest.mark.parametrize("objects", [{}, {PATH: {}}, {PATH: {"data": None}}])
def test_a_cluster_without_a_mark_is_accepted(objects: dict[str, Any], cluster: Cluster) -> None:
    cluster.objects = objects
    checked({})
    checked({**INPUTS, "mark": "own"})


def test_without_a_cluster_nothing_is_refused(cluster: Cluster) -> None:
    cluster.is_up = False
    assert checked({**INPUTS, "mark": "own"})["mark"] == "own"


def test_a_mark_that_was_adopted_is_a_change(cluster: Cluster) -> None:
    provider = StateMarkProvider()
    assert provider.create({**INPUTS, "mark": "own"}).outs == {"mark": "own"}
    assert provider.diff("omantel", {"mark": "own"}, {**INPUTS, "mark": "own"}).changes is False
    assert provider.diff("omantel", {"mark": "own"}, {**INPUTS, "mark": "new"}).changes is True


@pytest.mark.parametrize(
    ("sections", "adopts"),
    [
        ({}, False),
        ({"harbor": {"adopt": True}}, False),
        ({"database": {"adopt": True}}, False),
        ({"harbor": {"adopt": True}, "database": {"adopt": True}}, True),
    ],
)
def test_a_sovereign_is_adopted_with_its_database(sections: dict[str, Any], adopts: bool) -> None:
    assert adopts_sovereign(builders.settings(**sections)) is adopts


# --- What stayed of a Sovereign that was taken down --------------------------------------------

KEPT = {
    "harbor-minted-secret-key": ("secretKey", "TOPSECRET-key-16"),
    "harbor-minted-admin-password": ("HARBOR_ADMIN_PASSWORD", "TOPSECRET-admin"),
    "harbor-pg-credentials": ("password", "TOPSECRET-database"),
}
GIVEN = {
    "harborSecretKey": "TOPSECRET-key-16",
    "harborAdminPassword": "changed in Harbor",
    "databasePassword": "TOPSECRET-database",
}
CORE = "/apis/apps/v1/namespaces/registry/deployments/harbor-core"


def stayed(**names: tuple[str, str]) -> dict[str, Any]:
    """The objects of Secrets (name → key and value) that stayed, with their SealedSecrets."""
    objects: dict[str, Any] = {}
    for name, (key, value) in names.items():
        objects[f"/api/v1/namespaces/registry/secrets/{name}"] = {
            "metadata": {
                "annotations": {"sovereign-harbor/revision": "kept"},
                "ownerReferences": [{"kind": "SealedSecret", "name": name}],
            },
            "data": {key: base64.b64encode(value.encode()).decode()},
        }
        path = f"/apis/bitnami.com/v1alpha1/namespaces/registry/sealedsecrets/{name}"
        objects[path] = {"metadata": {}}
    return objects


def refusal(given: dict[str, str], olds: dict[str, Any] | None = None, **changes: Any) -> str:
    """Why a provider whose stack gives these secrets refuses; "" when it does not."""
    provider = StateMarkProvider()
    raw = {f"sovereign-harbor:{key}": value for key, value in given.items()}
    provider.configure(ConfigureRequest(config=Config(raw, "sovereign-harbor")))
    failures = provider.check(olds or {}, {**INPUTS, **changes}).failures
    words = "\n".join(failure.reason for failure in failures)
    assert "TOPSECRET" not in words
    return words


def test_a_new_state_is_given_the_values_that_stayed(cluster: Cluster) -> None:
    cluster.objects = stayed(**KEPT)
    words = refusal({})
    assert "nothing was touched" in words
    assert "pulumi stack import -s omantel --file <backup>" in words
    for (name, (key, _)), config in zip(KEPT.items(), GIVEN, strict=True):
        assert (
            f"kubectl get secret {name} -n registry -o jsonpath='{{.data.{key}}}' | base64 -d | "
            f"pulumi config set --secret {config} -s omantel"
        ) in words
    assert f"kubectl delete sealedsecret {' '.join(KEPT)} -n registry" in words
    assert refusal(GIVEN) == ""


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({**GIVEN, "harborSecretKey": "another-key-of16"}, ["harbor-minted-secret-key"]),
        ({**GIVEN, "harborAdminPassword": ""}, ["harbor-minted-admin-password"]),
        ({"harborSecretKey": GIVEN["harborSecretKey"]}, [*KEPT][1:]),
    ],
    ids=["another key", "one is missing", "two are missing"],
)
def test_only_what_is_missing_is_asked_for(
    given: dict[str, str], named: list[str], cluster: Cluster
) -> None:
    cluster.objects = stayed(**KEPT)
    words = refusal(given)
    assert [name for name in KEPT if f"kubectl get secret {name} " in words] == named


def test_a_key_that_was_given_counts_before_a_minted_one(cluster: Cluster) -> None:
    of_the_estate = {"harbor-given-secret-key": ("secretKey", "TOPSECRET-estate")}
    cluster.objects = stayed(**KEPT, **of_the_estate)
    assert "kubectl get secret harbor-given-secret-key -n registry" in refusal(GIVEN)
    assert refusal({**GIVEN, "harborSecretKey": "TOPSECRET-estate"}) == ""


def test_whoever_has_the_state_or_adopts_is_asked_for_nothing(cluster: Cluster) -> None:
    cluster.objects = stayed(**KEPT)
    assert refusal({}, {**INPUTS, "mark": "own"}) == ""
    assert refusal({}, adopting=True) == ""


def test_a_harbor_that_lives_is_adopted_instead(cluster: Cluster) -> None:
    # Of a version before the mark: its Secrets say so (tests/unit/sealing).
    cluster.objects = {**stayed(**KEPT), CORE: {"metadata": {}}}
    assert refusal({}) == ""


@pytest.mark.parametrize("gone", ["sealedsecrets", "annotations"])
def test_what_goes_or_is_of_others_has_not_stayed(gone: str, cluster: Cluster) -> None:
    objects = stayed(**KEPT)
    for path in [*objects]:
        if gone in path:
            del objects[path]
        else:
            objects[path]["metadata"].pop(gone, None)
    cluster.objects = objects
    assert refusal({}) == ""


def test_what_the_store_s_operator_keeps_is_taken_away_by_its_own_kind(cluster: Cluster) -> None:
    cluster.objects = stayed(**KEPT)
    for path, secret in [*cluster.objects.items()]:
        if "/secrets/" in path:
            name = path.rpartition("/")[2]
            secret["metadata"]["ownerReferences"] = [{"kind": "ExternalSecret", "name": name}]
            made = "/apis/external-secrets.io/v1/namespaces/registry/externalsecrets"
            cluster.objects[f"{made}/{name}"] = {"metadata": {}}
    assert f"kubectl delete externalsecret {' '.join(KEPT)} -n registry" in refusal({})
