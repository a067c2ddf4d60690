"""What CI runs: pinned, with the least rights, and by targets that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import stacks
from tests.support.project import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
GITLAB = ROOT / ".gitlab-ci.yml"


def parsed(file: Path) -> dict[Any, Any]:
    return yaml.safe_load(file.read_text())


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    return parsed(file)["jobs"]


def job_rows() -> list[Any]:
    return [
        pytest.param(job, id=f"{file.stem}.{name}")
        for file in WORKFLOWS
        for name, job in jobs(file).items()
    ]


def runs(job: dict[str, Any]) -> Iterator[str]:
    for step in job["steps"]:
        if "run" in step:
            yield step["run"]


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    reserved = {"workflow", "stages", "default", "variables"}
    return {name: job for name, job in parsed(GITLAB).items() if name not in reserved}


def targets() -> set[str]:
    found = re.findall(r"^([a-z][a-z -]*):(?!=)", (ROOT / "Makefile").read_text(), re.M)
    return {target for line in found for target in line.split()}


def made(script: str) -> set[str]:
    """The targets of every `make` in a script."""
    found: set[str] = set()
    for words in re.findall(r"\bmake ([^\n;&|)]*)", script):
        found |= {word for word in words.split() if "=" not in word and not word.startswith("-")}
    return found


def test_the_workflows_are_those_that_are_documented() -> None:
    assert [file.name for file in WORKFLOWS] == [
        "check.yaml",
        "drift.yaml",
        "preview.yaml",
        "up.yaml",
    ]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_pinned_by_its_full_sha_with_its_version_beside_it(file: Path) -> None:
    used = re.findall(r"uses: *(.*)", file.read_text())
    assert used
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_one_version_everywhere() -> None:
    pins = re.findall(r"uses: *(\S+)@(\S+)", "".join(file.read_text() for file in WORKFLOWS))
    assert len(set(pins)) == len({action for action, _ in pins})


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_rights_are_given_job_by_job_and_only_the_comment_may_write(file: Path) -> None:
    top = parsed(file)["permissions"]
    assert top in ({}, {"contents": "read"})
    for name, job in jobs(file).items():
        rights = job.get("permissions", top)
        writes = {right for right, level in rights.items() if level != "read"}
        assert writes == ({"pull-requests"} if name == "comment" else set())


def test_the_job_that_may_write_runs_nothing_of_the_pull_request() -> None:
    comment = jobs(ROOT / ".github/workflows/preview.yaml")["comment"]
    assert not [step for step in comment["steps"] if "actions/checkout" in step.get("uses", "")]
    assert made("\n".join(runs(comment))) == set()
    assert "secrets." not in json.dumps(comment)
    assert "head.repo.full_name == github.repository" in comment["if"], (
        "a fork's token is read-only"
    )


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_code_of_a_fork_never_runs_with_secrets(file: Path) -> None:
    # YAML 1.1 reads the key `on` as a boolean.
    triggers = parsed(file)[True]
    assert "pull_request_target" not in triggers
    assert "workflow_run" not in triggers


@pytest.mark.parametrize("job", job_rows())
def test_no_expression_is_pasted_into_a_script(job: dict[str, Any]) -> None:
    for script in runs(job):
        assert "${{" not in script, "a branch's name would be run as a command: use env"


@pytest.mark.parametrize("job", job_rows())
def test_every_job_ends_and_leaves_no_token_behind(job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 90
    assert job["runs-on"] == "ubuntu-24.04"
    for step in job["steps"]:
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("job", job_rows())
def test_a_run_on_a_stack_is_alone_and_never_cancelled(job: dict[str, Any]) -> None:
    if "strategy" not in job:
        return
    assert job["strategy"]["fail-fast"] is False, "one stack does not stop the others"
    assert re.search(r"fromJSON\(needs\.\w+\.outputs\.stacks\)", job["strategy"]["matrix"]["stack"])
    assert job["concurrency"]["cancel-in-progress"] is False
    assert "${{ matrix.stack }}" in job["concurrency"]["group"]


def test_up_and_drift_of_a_stack_never_run_at_the_same_time() -> None:
    groups = {
        jobs(ROOT / f".github/workflows/{name}.yaml")[name]["concurrency"]["group"]
        for name in ("up", "drift")
    }
    assert len(groups) == 1


def test_up_waits_for_the_approval_of_the_sovereign_s_environment() -> None:
    file = ROOT / ".github/workflows/up.yaml"
    up = jobs(file)["up"]
    assert up["environment"] == "${{ matrix.stack }}"
    assert set(parsed(file)[True]) == {"push", "workflow_dispatch"}
    assert parsed(file)[True]["push"]["branches"] == ["main"]
    shared = re.findall(r"secrets\.(PREVIEW_\w+)", json.dumps(up))
    assert shared == [], "what changes a Sovereign is not lent to pull requests"


def test_drift_is_scheduled() -> None:
    assert parsed(ROOT / ".github/workflows/drift.yaml")[True]["schedule"]


def test_every_target_that_ci_calls_exists() -> None:
    github = [script for file in WORKFLOWS for job in jobs(file).values() for script in runs(job)]
    gitlab = [line for job in gitlab_jobs().values() for line in job.get("script", [])]
    called = {target for script in [*github, *gitlab] for target in made(script)}
    wanted = {"check", "test-unit", "test-sandbox", "preview", "fleet-up", "fleet-drift", "stacks"}
    assert wanted <= called
    assert called <= targets(), called - targets()


def test_both_ci_systems_do_the_same() -> None:
    github = {
        t for file in WORKFLOWS for job in jobs(file).values() for s in runs(job) for t in made(s)
    }
    gitlab = {t for job in gitlab_jobs().values() for s in job.get("script", []) for t in made(s)}
    by_matrix = {"stacks", "sovereigns", "preview"}
    assert github - by_matrix == gitlab - {"fleet-preview"}


def test_the_matrix_is_computed_from_the_files() -> None:
    for target, wanted in (("stacks", stacks.names()), ("sovereigns", stacks.sovereigns())):
        told = subprocess.run(
            ["make", "-s", target], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert json.loads(told.stdout) == wanted


def test_ci_uses_the_pulumi_that_the_program_is_pinned_to() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [pinned] = [d.partition("==")[2] for d in project["dependencies"] if d.startswith("pulumi==")]
    text = "".join(file.read_text() for file in WORKFLOWS)
    assert set(re.findall(r"pulumi-version: (\S+)", text)) == {pinned}
    assert parsed(GITLAB)["variables"]["PULUMI_VERSION"] == pinned


def test_on_gitlab_up_is_approved_alone_and_never_cancelled() -> None:
    found = gitlab_jobs()
    up = found["up"]
    assert up["environment"]["name"] == "sovereigns"
    assert all(rule["when"] == "manual" for rule in up["rules"])
    assert up["resource_group"] == found["drift"]["resource_group"]
    for name in ("preview", "drift", "up"):
        assert found[found[name]["extends"]]["interruptible"] is False
    assert re.search(r":\d+\.\d+\.\d+", parsed(GITLAB)["default"]["image"])


SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "vendor.github-workflows"),
    GITLAB: "vendor.gitlab-ci",
}


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_the_file_is_what_its_schema_says(file: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[file], str(file)],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout + told.stderr
