"""A provider that looks into the cluster: one client, and no error where nobody answers."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.config import Config

from components.sealing import cluster_provider
from components.sealing.cluster_provider import ClusterProvider
from tests.support.builders import Cluster

OBJECT = "/api/v1/namespaces/n/pods/p"
EVENTS = "/api/v1/namespaces/n/events?fieldSelector=involvedObject.uid%3Du-1"
SEALED = "/apis/bitnami.com/v1alpha1/namespaces/n/sealedsecrets/s"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster().stand_in(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still."""
    time = [1000.0]
    monkeypatch.setattr(cluster_provider.time, "monotonic", lambda: time[0])
    return time


def test_there_is_one_client_of_the_stack_s_context(cluster: Cluster) -> None:
    provider = ClusterProvider()
    section = {"sovereign-harbor:cluster": '{"context": "admin@omantel"}'}
    provider.configure(ConfigureRequest(Config(section, "sovereign-harbor")))
    assert provider.client() is provider.client()
    assert cluster.contexts == ["admin@omantel"]


def test_what_is_missing_is_told_from_an_api_server_that_does_not_answer(cluster: Cluster) -> None:
    cluster.objects = {OBJECT: {"kind": "Pod"}}
    provider = ClusterProvider()
    assert provider.look(OBJECT) == (True, {"kind": "Pod"})
    assert provider.look("/api/v1/nodes") == (True, None)
    cluster.refused = {OBJECT: 403}
    assert provider.look(OBJECT) == (False, None)


def test_an_api_server_that_does_not_answer_is_left_in_peace_for_a_while(
    cluster: Cluster, clock: list[float]
) -> None:
    cluster.objects = {OBJECT: {"kind": "Pod"}}
    cluster.refused = {OBJECT: None}
    provider = ClusterProvider()
    assert provider.look(OBJECT) == (False, None)
    cluster.refused = {}
    clock[0] += cluster_provider.SILENT_SECONDS - 1
    assert provider.look(OBJECT) == (False, None)
    assert cluster.asked == [OBJECT]
    clock[0] += 1
    assert provider.look(OBJECT) == (True, {"kind": "Pod"})


@pytest.mark.parametrize(
    ("owners", "objects", "is_up", "stays"),
    [
        ([], {}, True, True),
        ([{"kind": "SealedSecret"}], {SEALED: {"metadata": {}}}, True, True),
        ([{"kind": "SealedSecret"}], {}, True, False),
        ([{"kind": "SealedSecret"}], {}, False, True),
    ],
    ids=["by itself", "made by what is there", "left behind", "nobody answers"],
)
def test_a_secret_stays_as_long_as_what_made_it(
    owners: list[Any], objects: dict[str, Any], is_up: bool, stays: bool, cluster: Cluster
) -> None:
    cluster.objects, cluster.is_up = objects, is_up
    secret = {"metadata": {"ownerReferences": owners}}
    assert ClusterProvider().stays(secret, "n", "s") is stays


@pytest.mark.parametrize(
    ("metadata", "events"),
    [
        ({"uid": "u-1", "namespace": "n"}, {"items": []}),
        ({"uid": "u-2", "namespace": "n"}, None),
        ({"uid": "u-1"}, None),
        ({"namespace": "n"}, None),
    ],
)
def test_events_are_those_of_the_object(
    metadata: dict[str, str], events: Any, cluster: Cluster
) -> None:
    cluster.objects = {EVENTS: {"items": []}}
    assert ClusterProvider().events({"metadata": metadata}) == events
    assert ("uid" in metadata and "namespace" in metadata) is bool(cluster.asked)
