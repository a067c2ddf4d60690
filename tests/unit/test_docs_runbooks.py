"""Runbooks have one form, and their commands name what exists. Tasks have no failure to begin with.

tests/sandbox/test_runbooks.py follows pages against a Sovereign.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from components.settings.reading.secrets import SECRETS
from components.settings.reading.spec import is_known
from tests.support import runbook
from tests.support.monitoring import every_alert
from tests.support.project import ROOT
from tests.support.raw_settings import GOOD
from tests.unit.test_docs_registry import key_path

FOLDER = ROOT / "docs" / "runbooks"
TASKS = {
    "adopt-a-release",
    "enforce-signatures",
    "lock-down-a-bucket",
    "rotate-a-credential",
    "take-down",
    "upgrade",
}
"""Pages of something to do, which nothing went wrong before."""
PAGES = sorted(FOLDER.glob("*.md"))
FAILURES = [page for page in PAGES if page.stem not in TASKS]
FORM = ["What you see", "Why", "Look", "Mend", "Proof", "When it does not help"]
FAMILY = {
    *("helm-release-stuck", "sealing-key", "s3-key-leaked", "bucket-locked-out"),
    *("database-dirty-migration", "kyverno-blocks-everything", "wrong-cluster", "state-lost"),
    *("restore", "move-blobs", "gc-not-shrinking", "large-pushes-fail", "schedules-do-not-run"),
    *("admin-locked-out", "database-webhook-x509", "trivy-disk-full", "robot-expired"),
}
"""Failures that operators of such registries met, each with a page."""


def sections(page: Path) -> dict[str, str]:
    """Heading of the second level → the text below it, with headings of lower levels."""
    parts = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]
    return {heading: text for heading, _, text in (part.partition("\n") for part in parts)}


def typed(text: str) -> list[str]:
    """The lines of the blocks of commands; one that is continued is one."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("page", FAILURES, ids=lambda page: page.stem)
def test_a_page_of_a_failure_has_its_sections_in_order_each_with_a_text(page: Path) -> None:
    found = sections(page)
    assert list(found) == FORM
    assert all(text.strip() for text in found.values())


@pytest.mark.parametrize("page", FAILURES, ids=lambda page: page.stem)
def test_looking_mending_and_proving_are_done_by_commands(page: Path) -> None:
    found = sections(page)
    assert [name for name in ("Look", "Mend", "Proof") if not typed(found[name])] == []
    runbook.commands(page.stem)  # a section that a test follows has one block


@pytest.mark.parametrize("page", FAILURES, ids=lambda page: page.stem)
def test_who_looks_changes_nothing(page: Path) -> None:
    changes = (
        r"kubectl .*\b(delete|apply|create|patch|scale|annotate|label|cordon|drain|edit|rollout)\b"
        r"|pulumi (up|destroy|cancel|import|state|config (set|rm)|stack (rm|import|init))\b"
        r"|pulumi refresh(?!.* --preview-only)|\b(update|delete from|drop|insert)\b .*\bset\b"
        r"|aws s3api (put|delete)|\bhelm (install|upgrade|uninstall|rollback)"
    )
    lines = typed(sections(page)["Look"])
    assert [line for line in lines if re.search(changes, line)] == []


def test_who_looks_and_changes_something_is_recognised() -> None:
    page = FOLDER / "helm-release-stuck.md"
    lines = typed(sections(page)["Mend"])
    assert "pulumi up -s omantel" in lines


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_setting_that_a_command_names_is_accepted(page: Path) -> None:
    for line in typed(page.read_text()):
        for key in re.findall(r"config (?:set|rm|get) --path '([^']+)'", line):
            assert is_known(key_path(key), GOOD), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_secret_that_a_command_asks_for_is_one_of_the_stack(page: Path) -> None:
    named = re.findall(r"config set --secret (\w+) -s", page.read_text())
    # The section `registry` names secrets as a person likes.
    assert {name for name in named if name != "ghcrToken"} <= set(SECRETS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(), re.M))
    targets |= set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    called = re.findall(r"\bmake ([a-z-]+) STACK=", page.read_text())
    assert set(called) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_an_output_that_a_command_reads_is_one_of_the_program(page: Path) -> None:
    source = "".join(file.read_text() for file in (ROOT / "components").rglob("outputs.py"))
    source += (ROOT / "__main__.py").read_text()
    for name in re.findall(r"pulumi stack output (\w+)", page.read_text()):
        assert f'"{name}"' in source, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_line_of_a_block_is_a_whole_command(page: Path) -> None:
    """No quote is left open, except in a block that the shell reads as a whole."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE):
        assert shlex.split(block.replace("<<'EOF'", ""), comments=True)


def test_each_alert_has_a_page_that_names_it() -> None:
    for alert in every_alert():
        page = FOLDER / f"{alert.runbook}.md"
        assert page in FAILURES, alert.name
        seen = sections(page)["What you see"]
        stem = re.sub("Soon$", "", alert.name)
        assert f"`{stem}`" in seen, f"{page.stem} does not say `{stem}`"


def test_every_failure_of_the_family_has_a_page() -> None:
    assert {page.stem for page in FAILURES} >= FAMILY


def test_the_index_lists_failures_by_what_is_seen_and_tasks_apart() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    runbooks, tasks = (
        re.search(rf"^## {name}\n(.*?)^## ", index, re.DOTALL | re.MULTILINE)
        for name in ("Runbooks", "Tasks")
    )
    assert runbooks is not None
    assert tasks is not None
    found = set(re.findall(r"\(runbooks/([\w-]+)\.md\)", runbooks[1]))
    assert found == {page.stem for page in FAILURES}
    assert set(re.findall(r"\(runbooks/([\w-]+)\.md\)", tasks[1])) == TASKS
