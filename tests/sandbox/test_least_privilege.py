"""A Sovereign is deployed with the rights of docs/howto/deployer.yaml and no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from checks.deployer_role import NAME
from engine.project import ROOT
from engine.stack import Stack
from sandbox import cluster
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import empty_bucket, remove

FILE = ROOT / "docs/howto/deployer.yaml"


@pytest.fixture(scope="module")
def deployer(sandbox: Sandbox) -> Path:
    """The kubeconfig of the deployer, for the sandbox's cluster and context."""
    state, tools = sandbox.state, sandbox.tools
    cluster.apply(state, tools, FILE)
    token = cluster.kubectl(state, tools, "create", "token", NAME, "-n", NAME).strip()
    document = yaml.safe_load(state.kubeconfig.read_text())
    for user in document["users"]:
        user["user"] = {"token": token}
    file = state.path("deployer-kubeconfig")
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(document))
    return file


def can(sandbox: Sandbox, kubeconfig: Path, *what: str) -> bool:
    answer = cluster.kubectl(
        sandbox.state, sandbox.tools, "--kubeconfig", str(kubeconfig), "auth", "whoami"
    )
    assert NAME in answer
    try:
        cluster.kubectl(
            sandbox.state, sandbox.tools, "--kubeconfig", str(kubeconfig), "auth", "can-i", *what
        )
    except cluster.SandboxError:
        return False
    return True


@pytest.fixture(scope="module")
def alone(sandbox: Sandbox, deployer: Path) -> Stack:
    """The local stack, driven by the deployer, with nothing of it in the cluster yet."""
    known = sandbox.stack()
    known.ensure()
    if "urn" in known.run("stack", "export", "-s", known.name).text:
        # A bucket that holds anything is not deleted.
        empty_bucket(sandbox, known.outputs())
        remove(known)
        shutil.copyfile(
            ROOT / f"Pulumi.{known.name}.yaml", sandbox.project / f"Pulumi.{known.name}.yaml"
        )
        cluster.apply(sandbox.state, sandbox.tools, FILE)  # the namespace, with its Role
    return sandbox.stack(KUBECONFIG=str(deployer))


def test_the_rights_are_no_administrator_s(sandbox: Sandbox, deployer: Path) -> None:
    assert can(sandbox, deployer, "create", "deployments.apps", "-n", "harbor")
    assert not can(sandbox, deployer, "get", "secrets", "-n", "kube-system")
    assert not can(sandbox, deployer, "create", "namespaces")
    assert not can(sandbox, deployer, "create", "clusterrolebindings.rbac.authorization.k8s.io")


def test_a_sovereign_is_previewed_deployed_and_left_unchanged_with_them(alone: Stack) -> None:
    previewed = alone.run("preview", "-s", alone.name)
    assert "forbidden" not in previewed.text
    alone.up()
    alone.up(expect_no_changes=True)
    alone.run("refresh", "-s", alone.name, "--yes", "--skip-preview")
