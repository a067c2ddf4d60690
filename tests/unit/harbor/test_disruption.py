"""Disruption budgets: for components with several pods, and for no others."""

from __future__ import annotations

from typing import Any

import pytest

from components.harbor import disruption
from tests.support import builders
from tests.support.builders import settings
from tests.support.mocks import fresh_engine

BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
METRICS = {"metrics": {"enabled": True}}
SEVERAL = {"replicas": {"core": 2, "exporter": 2, "trivy": 2}}


@pytest.mark.parametrize(
    ("sections", "components"),
    [
        ({}, ()),
        ({"harbor": {"replicas": {"core": 2}}}, ("core",)),
        ({"harbor": SEVERAL}, ("core", "trivy")),
        ({"harbor": SEVERAL, **METRICS}, ("core", "trivy", "exporter")),
        ({"harbor": SEVERAL, "trivy": {"enabled": False}}, ("core",)),
        ({"profile": "ha"}, ("core", "portal", "jobservice", "registry", "trivy")),
    ],
)
def test_components_with_several_pods_have_one(
    sections: dict[str, Any], components: tuple[str, ...]
) -> None:
    assert disruption.replicated(settings(**sections)) == components


def budgets(certificate: str, **sections: Any) -> dict[str, Any]:
    with fresh_engine() as engine:
        config = builders.config(**sections)
        engine.run(lambda: disruption.create(config, builders.context_of(certificate)))
        return {each.name: each.inputs for each in engine.all(BUDGET)}


@pytest.mark.parametrize(
    "sections",
    [{}, {"harbor": {"replicas": {"core": 2}}}, {"harbor": {"disruptionBudgets": True}}],
)
def test_a_stack_that_asks_for_none_gets_none(
    sections: dict[str, Any], sealing_certificate: str
) -> None:
    assert budgets(sealing_certificate, **sections) == {}


def test_a_drain_takes_one_pod_at_a_time(sealing_certificate: str) -> None:
    made = budgets(sealing_certificate, profile="ha")
    assert len(made) == 5
    core = made["disruption-budgets-core"]
    assert core["metadata"]["namespace"] == builders.NAMESPACE
    assert core["spec"] == disruption.budget("core")
    assert core["spec"]["maxUnavailable"] == 1
