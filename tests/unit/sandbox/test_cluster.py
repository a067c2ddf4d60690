"""The sandbox's cluster: what a file of an earlier one is given."""

from __future__ import annotations

import pytest
import yaml

from sandbox import cluster

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
