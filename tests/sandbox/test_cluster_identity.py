"""Refresh and destroy, which do not run the program, reach the cluster that the state names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.stack import Stack
from tests.sandbox.conftest import Sandbox
from tests.support.recording import by_name
from tests.support.sandbox import generations

CLUSTER = "kwok-sovereign"


@pytest.fixture(scope="module")
def named(sandbox: Sandbox, sovereign: Stack) -> Iterator[Stack]:
    """The Sovereign, with the name of its cluster as on every real one."""
    section = sandbox.section("cluster")
    with sandbox.configured(cluster={**section, "name": CLUSTER}):
        sovereign.up()
        yield sovereign
    sovereign.up()


def kubeconfig(sandbox: Sandbox) -> Any:
    return yaml.safe_load(Path(sandbox.variables["KUBECONFIG"]).read_text())


def exported(stack: Stack) -> dict[str, Any]:
    return json.loads(stack.run("stack", "export", "-s", stack.name).text)


def test_the_state_names_the_cluster_and_no_path(sandbox: Sandbox, named: Stack) -> None:
    inputs = by_name(exported(named))["cluster"]["inputs"]
    assert inputs["cluster"] == CLUSTER
    assert "kubeconfig" not in inputs
    assert sandbox.variables["KUBECONFIG"] not in json.dumps(inputs)


def test_a_refresh_works_from_another_path(sandbox: Sandbox, named: Stack, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.yaml"
    other.write_text(yaml.safe_dump(kubeconfig(sandbox)))
    elsewhere = sandbox.stack(KUBECONFIG=str(other))
    elsewhere.run("refresh", "-s", named.name, "--yes", "--skip-preview", "--expect-no-changes")


REFUSED = (
    ("refresh", "--preview-only"),
    ("refresh", "--yes", "--skip-preview"),
    ("destroy", "--yes", "--skip-preview"),
)


def test_another_cluster_under_the_same_path_is_refused(
    sandbox: Sandbox, named: Stack, tmp_path: Path
) -> None:
    """On a copy of the state: the outcome must not depend on this test's success."""
    other = kubeconfig(sandbox)
    (entry,) = other["clusters"]
    entry["name"] = "otech"
    for context in other["contexts"]:
        context["context"]["cluster"] = "otech"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(other))
    (tmp_path / "backend").mkdir()
    copy = sandbox.stack(
        KUBECONFIG=str(tmp_path / "kubeconfig"),
        PULUMI_BACKEND_URL=(tmp_path / "backend").as_uri(),
    )
    state = tmp_path / "state.json"
    state.write_text(json.dumps(exported(named)))
    copy.run("stack", "init", named.name, "--no-select")
    copy.run("stack", "import", "-s", named.name, "--file", str(state))
    before = generations(sandbox)
    kept = by_name(exported(copy))

    kubernetes = {name for name, one in kept.items() if one["type"].startswith("kubernetes:")}
    for command in REFUSED:
        refused = copy.run(*command, "-s", named.name, check=False)
        assert refused.code != 0
        assert f'cluster "{CLUSTER}" does not exist' in refused.text
        assert "to delete" not in refused.text
        assert generations(sandbox) == before
        assert kubernetes <= set(by_name(exported(copy)))
