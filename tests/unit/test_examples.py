"""The example stack files, and those that `make sovereign` writes: each one previews as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.settings.reading import refusals
from fleet import scaffold
from policy.resource import Sovereign
from policy.rules import violations
from tests.support.mocks import PROJECT
from tests.support.project import ROOT
from tests.unit import test_program
from tests.unit.policy.test_rules import recorded
from tests.unit.test_program import Program

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
program = test_program.program
"""The fixture."""


def sections(text: str) -> dict[str, Any]:
    """The project's keys of a stack's file."""
    config = yaml.safe_load(text)["config"]
    prefix = f"{PROJECT}:"
    return {
        key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)
    }


def previewed(text: str, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the program over that file without a cluster and without secrets, then every rule."""
    config = yaml.safe_load(text)["config"]
    monkeypatch.setattr(test_program, "config_of", lambda _: config)
    engine = program.preview_offline("dhofar", **sections(text))
    assert len(engine.resources) > 20
    assert list(violations(recorded(engine), Sovereign.of(config))) == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_a_whole_stack_file(
    file: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = file.read_text()
    reading = refusals.read(sections(text), stack="dhofar")
    assert reading.refusals == ()
    previewed(text, program, monkeypatch)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_has_one_name_to_replace(file: Path) -> None:
    (name,) = re.findall(r"fqdn: (\w+)\.omani\.works", file.read_text())
    replaced = sections(file.read_text().replace(name, "dhofar"))
    assert replaced["fqdn"] == "dhofar.omani.works"
    assert name not in str(replaced)


def test_every_example_is_in_the_list() -> None:
    listed = re.findall(r"\[`(\S+\.yaml)`\]\((\S+)\)", (ROOT / "examples/README.md").read_text())
    assert {text for text, _ in listed} == {file.name for file in EXAMPLES}
    assert all(text == link for text, link in listed)


@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_a_new_stack_file_of_every_kind_previews_as_it_is(
    kind: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = scaffold.text(scaffold.example(kind, "dhofar"))
    previewed(text, program, monkeypatch)
