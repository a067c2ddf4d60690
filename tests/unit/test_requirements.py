"""The locked requirements are installed as they are locked."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from tests.support.project import ROOT

INSTALLERS = ("Makefile", "docs/howto/restore-drill.md", "toolchain/go.py")
LOCKS = [f"requirements{part}.lock" for part in ("", "-dev", "-audit", "-mutation")]


@pytest.mark.parametrize("name", INSTALLERS)
def test_pip_looks_for_nothing_that_the_lock_does_not_name(name: str) -> None:
    # A command over several lines is one; Python's commands stand in brackets.
    commands = re.split(r"(?<!\\)\n\t*(?![ ])", (ROOT / name).read_text())
    installing = [each for each in commands if "--require-hashes" in each]
    assert installing
    assert [each for each in installing if "--no-deps" not in each] == []


@pytest.mark.parametrize("name", LOCKS)
def test_each_line_of_a_lock_is_a_version_with_hashes(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
    assert [each for each in entries if "==" not in each or "--hash=sha256:" not in each] == []


def test_what_runs_is_what_is_locked() -> None:
    locked = dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / LOCKS[1]).read_text()))
    assert {name: version(name) for name in ("pulumi", "coverage", "pytest")} == {
        name: locked[name] for name in ("pulumi", "coverage", "pytest")
    }
