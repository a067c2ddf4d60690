"""docs/reference/threat-model.md: each claim names tests, and these exist."""

from __future__ import annotations

import re

from tests.support.project import ROOT

PAGE = ROOT / "docs/reference/threat-model.md"


def rows() -> list[list[str]]:
    table = PAGE.read_text().partition("## Who can do what")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


def test_each_row_says_who_what_protects_and_which_tests_show_it() -> None:
    assert len(rows()) > 12
    for row in rows():
        named = re.findall(r"`((?:unit|sandbox|render)/[\w/]+\.py)`", row[-1])
        assert named, row[0]
        for test in named:
            assert (ROOT / "tests" / test).is_file(), test
            assert "\ndef test_" in (ROOT / "tests" / test).read_text(), test
