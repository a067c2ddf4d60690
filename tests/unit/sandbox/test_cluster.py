"""The sandbox's cluster: what a file of an earlier one is given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from sandbox import cluster
from sandbox.state import State

EARLIER = """\
apiVersion: config.kwok.x-k8s.io/v1alpha1
components:
- args:
  - --node-port=43001
  - --enable-crds=Stage
  binary: bin/kwok-controller
kind: KwokctlConfiguration
options:
  enableCRDs:
  - Stage
  enableMetricsServer: false
"""


def test_a_cluster_made_before_them_gets_the_kinds_of_port_forwards() -> None:
    changed = yaml.safe_load(cluster.with_kinds(EARLIER))
    assert changed["options"] == {"enableCRDs": list(cluster.KINDS), "enableMetricsServer": False}
    assert changed["components"][0]["args"] == [
        "--node-port=43001",
        "--enable-crds=Stage,PortForward,ClusterPortForward",
    ]


def test_a_cluster_that_has_them_stays_as_it_is() -> None:
    once = cluster.with_kinds(EARLIER)
    assert cluster.with_kinds(once) == once


@pytest.mark.parametrize("kind", ["Stage", "PortForward", "ClusterPortForward"])
def test_kwok_reads_these_kinds_from_objects(kind: str) -> None:
    assert kind in cluster.KINDS


def test_no_controller_ends_for_want_of_a_lease(tmp_path: Path) -> None:
    """Nobody would start it again."""
    tools: Any = SimpleNamespace(path=lambda name: tmp_path / name)
    made: Any = cluster._configuration(State(tmp_path), tools)
    patched = {each["name"]: each["extraArgs"] for each in made["componentsPatches"]}
    for name in ("kube-controller-manager", "kube-scheduler"):
        assert patched[name] == [{"key": "leader-elect", "value": "false"}]
