"""The registry's route is awaited: an `up` that ends is reachable."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.dynamic import Config, ConfigureRequest

from components.kubernetes import client
from components.network import accepted
from components.network.accepted import NotAccepted, RouteAcceptedProvider, refusals
from components.sealing import waiting
from tests.support import builders
from tests.support.builders import Build, Cluster
from tests.support.mocks import RELEASE, ROUTE_ACCEPTED, Engine

PARENT = {"name": "edge", "namespace": "gateways", "sectionName": "https"}
PATH = "/apis/gateway.networking.k8s.io/v1/namespaces/harbor/httproutes/harbor-route"
INPUTS: dict[str, Any] = {
    "namespace": "harbor",
    "parents": [PARENT],
    "hosts": ["registry.omantel.omani.works"],
    "timeoutSeconds": 2.0,
    "__provider": "…",
}


def entry(
    parent: dict[str, str] = PARENT,
    *,
    status: str = "True",
    message: str = "",
    generation: int | None = None,
    resolved: str = "True",
) -> dict[str, Any]:
    condition: dict[str, Any] = {"type": "Accepted", "status": status, "message": message}
    if generation is not None:
        condition["observedGeneration"] = generation
    refs = {"type": "ResolvedRefs", "status": resolved, "message": "no such Service"}
    return {"parentRef": parent, "conditions": [condition, refs]}


def route(*entries: dict[str, Any], generation: int = 2) -> dict[str, Any]:
    metadata = {"namespace": "harbor", "generation": generation}
    return {"metadata": metadata, "status": {"parents": list(entries)}}


@pytest.mark.parametrize(
    "served",
    [
        entry(),
        entry(generation=2),
        entry({"name": "edge", "namespace": "gateways"}),
    ],
    ids=["accepted", "of this generation", "for every listener"],
)
def test_a_route_that_its_gateway_accepted_is_served(served: dict[str, Any]) -> None:
    assert refusals(route(served), [PARENT]) == []


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (None, "the route is not there"),
        ({"metadata": {}}, "no controller has looked at it"),
        (route(), "no controller has looked at it"),
        (route(entry({**PARENT, "name": "other"})), "no controller has looked at it"),
        (route(entry({**PARENT, "namespace": "other"})), "no controller has looked at it"),
        (route(entry({**PARENT, "sectionName": "other"})), "no controller has looked at it"),
        (route(entry(status="False", message="NotAllowedByListeners")), "NotAllowedByListeners"),
        (route(entry(status="Unknown")), "not yet"),
        (route(entry(generation=1)), "has not looked at the change"),
        (route(entry(resolved="False")), "no such Service"),
    ],
)
def test_a_route_that_nobody_serves_has_a_reason(found: dict[str, Any] | None, word: str) -> None:
    (reason,) = refusals(found, [PARENT])
    assert word in reason


def test_every_gateway_has_to_accept_it() -> None:
    other = {**PARENT, "name": "internal"}
    (reason,) = refusals(route(entry()), [PARENT, other])
    assert "Gateway gateways/internal, listener https" in reason


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    stand_in = Cluster()
    monkeypatch.setattr(client, "ClusterClient", stand_in)
    return stand_in


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were slept."""
    pauses: list[float] = []
    monkeypatch.setattr(waiting.time, "sleep", pauses.append)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: sum(pauses))
    return pauses


def configured() -> RouteAcceptedProvider:
    provider = RouteAcceptedProvider()
    section = {"sovereign-harbor:cluster": '{"context": "admin@omantel"}'}
    provider.configure(ConfigureRequest(Config(section, "sovereign-harbor")))
    return provider


def test_an_up_waits_until_the_route_is_accepted(cluster: Cluster, clock: list[float]) -> None:
    answers = iter([None, route(), route(entry(generation=1)), route(entry(generation=2))])
    cluster.objects = {PATH: lambda: next(answers)}
    created = configured().create(INPUTS)
    assert created.id == "harbor/harbor-route"
    assert created.outs == {k: v for k, v in INPUTS.items() if k != "__provider"}
    assert cluster.contexts == ["admin@omantel"]
    assert len(clock) == 3


def test_an_up_ends_with_what_the_controller_says(cluster: Cluster, clock: list[float]) -> None:
    cluster.objects = {PATH: route(entry(status="False", message="no matching listener hostname"))}
    with pytest.raises(NotAccepted, match="no matching listener hostname") as refusal:
        RouteAcceptedProvider().update("harbor/harbor-route", INPUTS, INPUTS)
    assert "registry.omantel.omani.works was not accepted within 2 s" in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "is_awaited_again"),
    [
        ({}, False),
        ({"timeoutSeconds": 60}, False),
        ({"parents": []}, True),
        ({"hosts": ["registry.other"]}, True),
        ({"namespace": "other"}, True),
    ],
)
def test_it_is_awaited_again_when_the_route_changes(
    change: dict[str, Any], is_awaited_again: bool
) -> None:
    diff = RouteAcceptedProvider().diff("id", INPUTS, {**INPUTS, **change})
    assert (diff.changes, diff.replaces) == (is_awaited_again, [])


def test_the_route_is_awaited_after_the_release(engine: Engine, build: Build) -> None:
    build(builders.harbor)
    awaited = engine.one(ROUTE_ACCEPTED)
    assert engine.one(RELEASE).urn in awaited.dependencies
    assert awaited["hosts"] == ["registry.omantel.omani.works"]
    assert (awaited["namespace"], awaited["timeoutSeconds"]) == ("registry", accepted.SECONDS)
    assert awaited["parents"] == [
        {"name": "cilium-gateway", "namespace": "kube-system", "sectionName": "https"}
    ]


def test_an_ingress_has_no_route(engine: Engine, build: Build) -> None:
    exposure = {"kind": "ingress", "className": "nginx", "clusterIssuer": "ca"}
    build(builders.harbor, exposure=exposure, networkPolicies={"enabled": False})
    assert engine.all(ROUTE_ACCEPTED) == []
