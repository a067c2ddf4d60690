"""The provider of the stack's cluster: what of it enters the state."""

from __future__ import annotations

from typing import Any

import pytest

from components.cluster import provider
from components.settings.cluster import ClusterSettings
from tests.support.mocks import KUBERNETES_PROVIDER, Engine


def inputs(engine: Engine, **section: Any) -> dict[str, Any]:
    engine.run(lambda: provider(ClusterSettings(**section)))
    return engine.one(KUBERNETES_PROVIDER).inputs


@pytest.mark.parametrize(
    ("section", "identity"),
    [
        (
            {"name": "omantel", "context": "admin"},
            {"context": "admin", "cluster": "omantel", "clusterIdentifier": "omantel"},
        ),
        ({"name": "omantel"}, {"cluster": "omantel", "clusterIdentifier": "omantel"}),
        ({"context": "kwok"}, {"context": "kwok", "clusterIdentifier": "kwok"}),
    ],
)
def test_the_state_holds_the_cluster_s_identity_and_nothing_of_the_environment(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    section: dict[str, Any],
    identity: dict[str, str],
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/somebody/.kube/config")
    for variable in (
        "DELETE_UNREACHABLE",
        "SKIP_UPDATE_UNREACHABLE",
        "ENABLE_CONFIGMAP_MUTABLE",
        "ENABLE_SECRET_MUTABLE",
        "SUPPRESS_DEPRECATION_WARNINGS",
        "SUPPRESS_HELM_HOOK_WARNINGS",
    ):
        monkeypatch.setenv(f"PULUMI_K8S_{variable}", "true")
    kept = inputs(engine, **section)
    assert kept == {**identity, "enableServerSideApply": "true"}
