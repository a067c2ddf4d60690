"""A Sovereign is deployed with the rights that `make deployer-role` prints for it, and no others.

tests/sandbox/test_leaks.py deploys one with those of docs/howto/deployer.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.kubernetes.naming import RECORDED_METRICS
from components.monitoring.own_metrics import CONFIG_MAP
from engine.stack import Stack
from operations.deployer.rights import NAME
from sandbox import cluster
from tests.sandbox.conftest import Sandbox
from tests.sandbox.test_backup import DESTINATION
from tests.sandbox.test_monitoring import SECTION
from tests.support.deployer import (
    SHIPPED,
    kubeconfig_of_deployer,
    only_the_printed_rights,
    operated,
)
from tests.support.monitoring import METRICS
from tests.support.sandbox import edit_state, objects, without_sovereign


@pytest.fixture(scope="module")
def deployer(sandbox: Sandbox) -> Path:
    """The kubeconfig of the deployer with the shipped rights."""
    cluster.apply(sandbox.state, sandbox.tools, SHIPPED)
    return kubeconfig_of_deployer(sandbox)


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
def alone(sandbox: Sandbox, deployer: Path) -> Iterator[Stack]:
    """The local stack, driven by the deployer, with nothing of it in the cluster yet."""
    with without_sovereign(sandbox):
        cluster.apply(sandbox.state, sandbox.tools, SHIPPED)  # the namespace, with its Role
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
def with_all_sections(sandbox: Sandbox, alone: Stack) -> Iterator[Stack]:
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
        only_the_printed_rights(sandbox)
        yield alone


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
    done = operated(sandbox, "doctor", "--json", "--record", kubeconfig=deployer)
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
