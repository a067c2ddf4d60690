"""The mark by which a state knows the Sovereign that it made."""

from __future__ import annotations

from typing import Any

import pytest

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
