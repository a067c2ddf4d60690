"""Settings that are fixed once Valkey lives, and how its volume grows all the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from engine.stack import Stack
from sandbox import cluster
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import NAMESPACE, objects

SERVER, CLAIM = "harbor-valkey", "data-harbor-valkey-0"


def kubectl(sandbox: Sandbox, *arguments: str) -> str:
    return cluster.kubectl(sandbox.state, sandbox.tools, *arguments)


def one(sandbox: Sandbox, kind: str, name: str) -> dict[str, Any]:
    named = {item["metadata"]["name"]: item for item in objects(sandbox, kind)}
    return named[name]


@pytest.fixture
def larger(sandbox: Sandbox, sovereign: Stack) -> Iterator[Stack]:
    """The Sovereign with a larger volume in its file. Afterwards Valkey begins anew, as before."""
    expand = '{"allowVolumeExpansion": true}'
    kubectl(sandbox, "patch", "storageclass", "sandbox", "--type", "merge", "-p", expand)
    before = sandbox.section("valkey")
    sandbox.configure(valkey={"storageSize": "5Gi"})
    yield sovereign
    sandbox.configure(valkey=before)
    for target in (f"statefulset/{SERVER}", f"pvc/{CLAIM}"):
        kubectl(sandbox, "delete", target, "-n", NAMESPACE)
    sovereign.run("refresh", "-s", sovereign.name, "--yes", "--skip-preview")
    sovereign.up()


def test_the_printed_commands_let_a_volume_grow_under_its_running_pod(
    sandbox: Sandbox, larger: Stack
) -> None:
    pod = one(sandbox, "pods", f"{SERVER}-0")["metadata"]["uid"]
    # Other files, which rotate its password, may have changed the same Valkey.
    before = one(sandbox, "statefulsets", SERVER)["metadata"]["generation"]
    refused = larger.run("up", "-s", larger.name, "--yes", "--skip-preview", check=False)
    assert refused.code != 0
    assert "nothing was touched" in refused.text
    assert "valkey.storageSize = 5Gi, but the volume of Valkey is of 2Gi" in refused.text
    assert one(sandbox, "statefulsets", SERVER)["metadata"]["generation"] == before

    lines = [line.strip() for line in refused.text.splitlines()]
    commands = [line for line in lines if line.startswith("kubectl ")]
    assert len(commands) == 2
    environment = {**os.environ, **larger.environment}
    subprocess.run(["sh", "-ec", "\n".join(commands)], env=environment, check=True)
    assert any(
        line == f"pulumi refresh -s {larger.name}; pulumi up -s {larger.name}" for line in lines
    )
    larger.run("refresh", "-s", larger.name, "--yes", "--skip-preview")
    larger.up()

    (template,) = one(sandbox, "statefulsets", SERVER)["spec"]["volumeClaimTemplates"]
    for spec in (template["spec"], one(sandbox, "pvc", CLAIM)["spec"]):
        assert spec["resources"]["requests"]["storage"] == "5Gi"
    assert one(sandbox, "pods", f"{SERVER}-0")["metadata"]["uid"] == pod, "it was not restarted"
    larger.up(expect_no_changes=True)
