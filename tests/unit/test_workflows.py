"""What CI runs: pinned, with the least rights, and by targets that exist.

`make check` runs zizmor over the workflows too. It asks for full SHAs, refuses triggers that run a
fork's code with secrets and expressions that are pasted into scripts. What stands here it does not
see: it accepts a job that writes, and `persist-credentials: true` where somebody wrote it down.
"""

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
from fleet import gitlab
from tests.support.project import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
CHECK = ROOT / ".github/workflows/check.yaml"
GITLAB = ROOT / ".gitlab-ci.yml"
(PULUMI,) = (
    requirement.partition("==")[2]
    for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    if requirement.startswith("pulumi==")
)
"""The version of the engine that the program is pinned to."""


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


def child_jobs(verb: str, *names: str) -> dict[str, dict[str, Any]]:
    """The jobs of the pipeline that GitLab starts for these Sovereigns."""
    child = yaml.safe_load(gitlab.pipeline(verb, names, parsed(GITLAB)))
    reserved = {"stages", "default", "variables", ".pulumi"}
    assert child["stages"] == [verb]
    return {name: job for name, job in child.items() if name not in reserved}


def targets() -> set[str]:
    lines = re.findall(r"^([a-z][a-z -]*):(?!=)", (ROOT / "Makefile").read_text(), re.M)
    return {target for line in lines for target in line.split()}


def made(script: str) -> set[str]:
    """The targets of every `make` in a script."""
    arguments = " ".join(re.findall(r"\bmake ([^\n;&|)]*)", script)).split()
    return {word for word in arguments if "=" not in word and not word.startswith("-")}


def test_the_workflows_are_those_that_are_documented() -> None:
    page = (ROOT / "docs/howto/pull-requests.md").read_text()
    documented = re.findall(r"^\| `(\.github/workflows/\S+|\.gitlab-ci\.yml)` \|", page, re.M)
    files = [*WORKFLOWS, GITLAB]
    assert sorted(documented) == sorted(file.relative_to(ROOT).as_posix() for file in files)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_pin_of_an_action_has_its_version_beside_it(file: Path) -> None:
    # zizmor asks for the SHA. The comment tells people and renovate which version it is.
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
    on_gitlab = [line for job in gitlab_jobs().values() for line in job.get("script", [])]
    called = {target for script in [*github, *on_gitlab] for target in made(script)}
    needed = {"check", "coverage", "test-sandbox", "preview", "fleet-up", "fleet-drift", "stacks"}
    assert needed <= called
    assert called <= targets(), called - targets()


def test_both_ci_systems_do_the_same() -> None:
    github = {
        t for file in WORKFLOWS for job in jobs(file).values() for s in runs(job) for t in made(s)
    }
    on_gitlab = {
        t for job in gitlab_jobs().values() for s in job.get("script", []) for t in made(s)
    }
    by_matrix = {"stacks", "sovereigns", "preview"}
    assert github - by_matrix == on_gitlab - {"fleet-preview", "gitlab-sovereigns"}


def test_the_matrix_is_computed_from_the_files() -> None:
    for target, names in (("stacks", stacks.names()), ("sovereigns", stacks.sovereigns())):
        completed = subprocess.run(
            ["make", "-s", target], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert json.loads(completed.stdout) == names


def test_ci_uses_the_pulumi_that_the_program_is_pinned_to() -> None:
    text = "".join(file.read_text() for file in WORKFLOWS)
    assert set(re.findall(r"pulumi-version: (\S+)", text)) == {PULUMI}
    assert parsed(GITLAB)["variables"]["PULUMI_VERSION"] == PULUMI


def test_on_gitlab_each_sovereign_has_its_own_environment_and_approval() -> None:
    ups, drifts = (child_jobs(verb, "omantel", "otech") for verb in ("up", "drift"))
    assert [job["environment"]["name"] for job in ups.values()] == ["omantel", "otech"]
    assert all(rule["when"] == "manual" for job in ups.values() for rule in job["rules"])
    assert [job["resource_group"] for job in ups.values()] == ["stack-omantel", "stack-otech"]
    # A comparison needs nobody's approval, and never runs beside an update of the same stack.
    for up, compared in zip(ups.values(), drifts.values(), strict=True):
        assert "rules" not in compared
        assert compared["environment"] == {**up["environment"], "action": "access"}
        assert compared["resource_group"] == up["resource_group"]
        assert compared["variables"] == up["variables"]


def test_on_gitlab_the_sovereigns_are_those_with_a_file() -> None:
    for verb in gitlab.VERBS:
        written = subprocess.run(
            ["make", "-s", "gitlab-sovereigns", f"VERB={verb}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert yaml.safe_load(written).keys() >= {f"{verb} {name}" for name in stacks.sovereigns()}
        trigger = gitlab_jobs()[verb]["trigger"]
        assert trigger["include"] == [{"artifact": f"{verb}.yml", "job": "sovereigns"}]
        assert f"VERB={verb} OUTPUT={verb}.yml" in "\n".join(gitlab_jobs()["sovereigns"]["script"])


def test_on_gitlab_a_fleet_without_a_sovereign_has_a_pipeline_too() -> None:
    assert list(child_jobs("up")) == ["no Sovereign"]


def test_on_gitlab_no_run_on_a_stack_is_cancelled() -> None:
    all_jobs = {**gitlab_jobs(), **child_jobs("up", "a"), **child_jobs("drift", "a")}
    for name in ("preview", "up a", "drift a"):
        assert all_jobs[all_jobs[name]["extends"]]["interruptible"] is False
    assert re.search(r":\d+\.\d+\.\d+", parsed(GITLAB)["default"]["image"])


def test_the_cache_of_tools_follows_all_that_they_are_built_from() -> None:
    keys = [step.get("with", {}).get("key", "") for step in jobs(CHECK)["sandbox"]["steps"]]
    assert any("hashFiles('toolchain/**')" in key for key in keys)
    patterns = gitlab_jobs()["sandbox"]["cache"]["key"]["files"]
    assert len(patterns) <= 2, "GitLab takes no more"
    followed = {file for pattern in patterns for file in ROOT.glob(pattern)}
    sources = [file for file in (ROOT / "toolchain").rglob("*") if file.is_file()]
    assert {file for file in sources if file.suffix != ".pyc"} <= followed


def test_renovate_reads_every_annotated_version_and_every_pin_of_the_engine() -> None:
    versions, engine = json.loads((ROOT / "renovate.json").read_text())["customManagers"]
    text = (ROOT / "components/versions.py").read_text()
    assert matches(versions, text) == text.count("# renovate: ")
    for file in (*WORKFLOWS, GITLAB, ROOT / "fleet/operator.py"):
        text = file.read_text()
        assert matches(engine, text) == text.count(PULUMI)


def matches(manager: dict[str, Any], text: str) -> int:
    """How often renovate's patterns, which name groups as JavaScript does, match a text."""
    patterns = [re.sub(r"\(\?<(\w+)>", r"(?P<\1>", each) for each in manager["matchStrings"]]
    return sum(len(re.findall(pattern, text)) for pattern in patterns)


SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "vendor.github-workflows"),
    GITLAB: "vendor.gitlab-ci",
    ROOT / "renovate.json": "vendor.renovate",
}


@pytest.mark.parametrize("verb", gitlab.VERBS)
def test_the_pipeline_of_the_sovereigns_is_what_gitlab_s_schema_says(
    verb: str, tmp_path: Path
) -> None:
    file = tmp_path / "child.yml"
    file.write_text(gitlab.pipeline(verb, ["omantel"], parsed(GITLAB)))
    assert_valid(file, SCHEMAS[GITLAB])


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_the_file_is_what_its_schema_says(file: Path) -> None:
    assert_valid(file, SCHEMAS[file])


def assert_valid(file: Path, schema: str) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)],
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
