"""Rules between sections: each is asked, and each reads sections that there are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.settings.cross.every_rule import RULES, problems_between, sections_of
from components.settings.model import Settings
from components.settings.schema.problems import CrossRule
from engine.project import ROOT

FILES = [
    *sorted((ROOT / "components/settings/cross").glob("*.py")),
    ROOT / "components/settings/registry/cross.py",
]


def rules_written(file: Path) -> Iterator[str]:
    """Functions whose result is Iterator[Problem] and whose parameters are keywords alone."""
    for node in ast.parse(file.read_text()).body:
        if (
            isinstance(node, ast.FunctionDef)
            and node.args.kwonlyargs
            and not node.args.args
            and node.returns is not None
            and ast.unparse(node.returns) == "Iterator[Problem]"
        ):
            yield node.name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_reads_sections_that_the_settings_have(rule: CrossRule) -> None:
    assert sections_of(rule)
    assert set(sections_of(rule)) <= set(Settings.model_fields)


def test_every_rule_that_is_written_is_asked() -> None:
    asked = sorted(rule.__name__ for rule in RULES)
    assert asked == sorted(name for file in FILES for name in rules_written(file))


def test_a_rule_is_not_asked_while_a_section_that_it_reads_is_refused() -> None:
    assert problems_between({}) == []
