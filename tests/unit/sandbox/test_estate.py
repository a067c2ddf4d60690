"""Estates in the sandbox: the committed stack file, and what is said to differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.settings.reading import refusals
from engine import stacks
from engine.project import ROOT, data_folder
from sandbox import commands, estate, guard
from sandbox.processes import SandboxError
from sandbox.state import STACK, State

ESTATES = estate.names()[1:]
SANDBOX = "sovereign-harbor:"


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": "text"}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({}, {"a": None}, {}),
    ],
    ids=str,
)
def test_a_patch_is_a_json_merge_patch(document: Any, patch: Any, merged: Any) -> None:
    before = repr(document)
    assert estate.merged(document, patch) == merged
    assert repr(document) == before


def test_the_local_stack_and_the_estates_run_in_a_sandbox() -> None:
    assert estate.names() == ["local", "gitlabbda"]


def test_a_stack_without_a_file_of_differences_is_refused_with_the_file_that_is_missing() -> None:
    with pytest.raises(SandboxError, match=r"runs local, gitlabbda, not omantel") as refused:
        estate.of("omantel")
    assert "sandbox/estates/omantel/stack.yaml" in str(refused.value)


def test_the_local_stack_runs_in_the_repository_by_its_committed_file(tmp_path: Path) -> None:
    local = estate.of(STACK)
    assert local.project(State(tmp_path)) == ROOT
    assert local.document == yaml.safe_load(stacks.file_of(STACK).read_text())
    assert (local.namespace, local.manifests) == ("harbor", [])
    assert (local.has_kyverno, local.has_sealing) == (True, True)
    assert local.state.folder == data_folder()


@pytest.mark.parametrize("name", ESTATES)
def test_an_estate_runs_in_a_copy_and_its_committed_file_stays(name: str, tmp_path: Path) -> None:
    committed = stacks.file_of(name).read_bytes()
    project = estate.of(name).project(State(tmp_path))
    assert project == tmp_path / "project"
    assert stacks.is_sandbox(name, project)
    assert not stacks.is_sandbox(name)
    assert stacks.file_of(name).read_bytes() == committed
    assert estate.of(name).state.folder == data_folder() / "estates" / name


def test_an_estate_s_sandbox_has_the_parts_that_its_stack_asks_for() -> None:
    gitlab = estate.of("gitlabbda")
    assert (gitlab.namespace, gitlab.has_kyverno, gitlab.has_sealing) == ("gitlabbda", False, False)
    assert gitlab.issuers == ["https://gitlab.staging.bluedynamics.eu"]
    assert [file.name for file in gitlab.manifests] == ["cluster.yaml"]


MAY_DIFFER = {
    *("sandbox", "protect", "cluster", "storage"),
    *("s3AccessKey", "s3SecretKey", "gitlabSecret"),
}
"""Sections that a sandbox needs otherwise. All others are the estate's own."""


@pytest.mark.parametrize("name", ESTATES)
def test_an_estate_differs_only_where_a_sandbox_has_to(name: str) -> None:
    committed = yaml.safe_load(stacks.file_of(name).read_text())["config"]
    here = estate.of(name).document["config"]
    differs = {key for key in committed | here if committed.get(key) != here.get(key)}
    assert {key.removeprefix(SANDBOX) for key in differs} <= MAY_DIFFER
    storage = f"{SANDBOX}storage"
    changed = {k for k in here[storage] if here[storage][k] != committed[storage].get(k)}
    assert changed == {"kind", "endpoint"}


@pytest.mark.parametrize("name", ESTATES)
def test_each_difference_is_explained(name: str) -> None:
    lines = (estate.ESTATES / name / "stack.yaml").read_text().splitlines()
    config = lines[lines.index("config:") + 1 :]
    assert config[0].strip().startswith("#")
    for index, line in enumerate(config):
        if line.startswith(f"  {SANDBOX}") and "${SANDBOX_" not in line:
            assert config[index - 1].strip().startswith("#"), line


@pytest.mark.parametrize("name", ESTATES)
def test_an_estate_s_settings_are_accepted_in_the_sandbox(name: str) -> None:
    environ = {
        "SANDBOX_KUBE_CONTEXT": "kwok-sovereign",
        "SANDBOX_S3_ENDPOINT": "http://127.0.0.1:7070",
    }
    config = estate.of(name).document["config"]
    sections = {
        key.removeprefix(SANDBOX): value
        for key, value in config.items()
        if key.startswith(SANDBOX) and not str(value).startswith("${")
    }
    assert refusals.read(sections, stack=name, environ=environ).refusals == ()


def test_the_shared_password_is_made_once_and_has_signs_that_a_url_escapes(tmp_path: Path) -> None:
    password = State(tmp_path).shared_password()
    assert State(tmp_path).shared_password() == password
    assert len(password) >= 32
    assert {"+", "/", "="} <= set(password)


@pytest.mark.parametrize(
    ("stack", "hint"),
    [("gitlabbda", ", or here: make up STACK=gitlabbda SANDBOX=1"), ("omantel", "")],
)
def test_without_pulumi_a_real_sovereign_is_refused_with_what_can_be_done_here(
    stack: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands.shutil, "which", lambda _: None)
    with pytest.raises(SandboxError) as refused:
        commands.real_up(stack)
    assert str(refused.value).endswith(f"make preview STACK={stack}{hint}")


def test_the_shell_of_an_estate_serves_its_copy_and_never_the_committed_file(
    tmp_path: Path,
) -> None:
    project = estate.of("gitlabbda").project(State(tmp_path))
    environ = {"PULUMI_CONFIG_PASSPHRASE": "sandbox", "PULUMI_BACKEND_URL": "file:///b"}
    line = ["config", "set", "--secret", "gitlabSecret", "-s", "gitlabbda"]
    assert guard.refusal(line, environ, backend="file:///b", root=project) is None
    assert guard.refusal(line, environ, backend="file:///b") is not None
    guard.write(tmp_path / "guard", Path("/usr/bin/true"), "file:///b", project)
    assert f'\ncd "{project}" || exit 1\nexec' in (tmp_path / "guard" / "pulumi").read_text()
