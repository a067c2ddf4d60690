"""A Sovereign is deployed with the rights that `make deployer-role` prints for it, and no others.

tests/sandbox/test_leaks.py deploys one with those of docs/howto/deployer.yaml.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.kubernetes.naming import RECORDED_METRICS
from components.monitoring.own_metrics import CONFIG_MAP
from engine.project import ROOT
from engine.stack import Stack
from operations.deployer.rights import NAME
from sandbox import cluster
from tests.sandbox.conftest import Sandbox
from tests.sandbox.test_backup import DESTINATION
from tests.sandbox.test_monitoring import SECTION
from tests.support.monitoring import METRICS
from tests.support.sandbox import edit_state, objects, without_sovereign

FILE = ROOT / "docs/howto/deployer.yaml"
VERB = """
import sys
from pathlib import Path
from engine import stacks
from operations.__main__ import main
stacks.file_of = lambda name: Path(sys.argv[1])
sys.exit(main(sys.argv[2:]))
"""
"""A verb of operations, on the scratch copy of the stack's file."""


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


def operated(
    sandbox: Sandbox, kubeconfig: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """The verb, for the local stack."""
    file = sandbox.project / "Pulumi.local.yaml"
    return subprocess.run(
        [sys.executable, "-c", VERB, str(file), *arguments],
        cwd=ROOT,
        env={**sandbox.variables, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def alone(sandbox: Sandbox, deployer: Path) -> Iterator[Stack]:
    """The local stack, driven by the deployer, with nothing of it in the cluster yet."""
    with without_sovereign(sandbox):
        cluster.apply(sandbox.state, sandbox.tools, FILE)  # the namespace, with its Role
        stack = sandbox.stack(KUBECONFIG=str(deployer))
        stack.ensure()
        yield stack
        recorded = ("configmap", CONFIG_MAP, "-n", "harbor", "--ignore-not-found")
        cluster.kubectl(sandbox.state, sandbox.tools, "delete", *recorded)


def test_the_rights_are_no_administrator_s(sandbox: Sandbox, deployer: Path) -> None:
    assert can(sandbox, deployer, "create", "deployments.apps", "-n", "harbor")
    assert not can(sandbox, deployer, "get", "secrets", "-n", "kube-system")
    assert not can(sandbox, deployer, "create", "namespaces")
    assert not can(sandbox, deployer, "create", "clusterrolebindings.rbac.authorization.k8s.io")


@pytest.fixture(scope="module")
def with_all_sections(sandbox: Sandbox, alone: Stack, deployer: Path) -> Iterator[Stack]:
    """The sections besides `registry`, which the local stack has; and the rights for them alone."""
    lasting = {**sandbox.section("storage"), "versioning": {"noncurrentDays": 30}}
    with sandbox.configured(
        storage=lasting,
        # Backups of another database, which other files left, would be refused.
        backup={"destination": {**DESTINATION, "bucket": "deployer-backup"}},
        backupAccessKey="${SANDBOX_S3_ACCESS_KEY}",
        backupSecretKey="${SANDBOX_S3_SECRET_KEY}",
        metrics=METRICS,
        monitoring=SECTION,
        harbor={"disruptionBudgets": True, "replicas": {"core": 2}},
    ):
        only_the_printed_rights(sandbox, deployer)
        yield alone


def only_the_printed_rights(sandbox: Sandbox, deployer: Path) -> None:
    printed = operated(sandbox, deployer, "deployer-role", "local")
    assert printed.returncode == 0, printed.stderr
    for kinds in ("clusterroles,clusterrolebindings", "roles,rolebindings"):
        of_the_deployer = (kinds, "-A", f"--field-selector=metadata.name={NAME}")
        cluster.kubectl(sandbox.state, sandbox.tools, "delete", *of_the_deployer)
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    cluster.kubectl(sandbox.state, sandbox.tools, *apply, stdin=printed.stdout)


def test_a_sovereign_is_previewed_deployed_and_left_unchanged_with_them(
    sandbox: Sandbox, with_all_sections: Stack
) -> None:
    stack = with_all_sections
    previewed = stack.run("preview", "-s", stack.name)
    assert "forbidden" not in previewed.text
    stack.up()
    for kinds in ("scheduledbackups.postgresql.cnpg.io", "prometheusrules", "poddisruptionbudgets"):
        assert objects(sandbox, kinds), kinds
    stack.up(expect_no_changes=True)
    stack.run("refresh", "-s", stack.name, "--yes", "--skip-preview")


def test_it_is_examined_with_them_and_what_is_found_recorded(
    sandbox: Sandbox, with_all_sections: Stack, deployer: Path
) -> None:
    done = operated(sandbox, deployer, "doctor", "local", "--json", "--record")
    assert done.returncode in (0, 1), done.stderr
    told = done.stdout + done.stderr
    assert "forbidden" not in told
    assert "it needs the right" not in told
    assert {each["check"] for each in json.loads(done.stdout)["checks"]} >= {"backup", "secrets"}
    recorded = {each["metadata"]["name"] for each in objects(sandbox, "configmaps")}
    assert RECORDED_METRICS in recorded


def test_a_drill_may_do_what_it_does(sandbox: Sandbox, deployer: Path) -> None:
    """tests/unit/test_least_privilege.py has every call of a drill."""
    executes = ("create", "pods", "--subresource=exec")
    for what in (
        ("create", "clusters.postgresql.cnpg.io"),
        ("create", "secrets"),
        executes,
        ("list", "events"),
    ):
        assert can(sandbox, deployer, *what, "-n", "harbor-drill"), what
    assert not can(sandbox, deployer, *executes, "-n", "harbor")


def test_a_destroy_needs_no_more_even_where_all_data_goes(with_all_sections: Stack) -> None:
    def let_go(resource: dict[str, Any]) -> None:
        # Who may delete a namespace may do it with whatever is inside: an administrator made it.
        if resource["type"] != "kubernetes:core/v1:Namespace":
            resource.pop("retainOnDelete", None)

    edit_state(with_all_sections, let_go)
    destroyed = with_all_sections.run(
        "destroy", "-s", with_all_sections.name, "--yes", "--skip-preview"
    )
    assert "forbidden" not in destroyed.text
