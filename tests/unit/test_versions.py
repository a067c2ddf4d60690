"""The lines of Harbor's chart: what is known of them, and the table of versions made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import versions_table
from components import harbor_lines, versions
from components.harbor_lines import LINES, harbor_of, line_of, number, step_towards
from components.settings import hints
from tests.support.builders import settings


def test_the_committed_table_is_what_is_pinned() -> None:
    assert versions_table.main([]) == 0, f"run {versions_table.COMMAND}"


def test_a_table_that_differs_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(versions_table, "TABLE", tmp_path / "reference" / "versions.md")
    assert versions_table.main([]) == 1
    assert versions_table.COMMAND in capsys.readouterr().err
    assert versions_table.main(["--write"]) == 0
    assert versions_table.main([]) == 0


def test_the_table_has_every_line_with_its_harbor() -> None:
    rows = versions_table.text().splitlines()
    for line in LINES:
        assert any(row.startswith(f"| {line.chart} | {line.harbor} | ") for row in rows)
    assert "| kyverno | 1.19.1 |" in rows


def test_the_default_is_a_tested_line_and_the_newest_is_the_last() -> None:
    assert [line.chart for line in LINES] == [versions.HARBOR_CHART, versions.NEWEST_HARBOR_CHART]
    assert sorted(LINES, key=lambda line: number(line.chart)) == list(LINES)


# harbor-helm, Chart.yaml of these tags.
@pytest.mark.parametrize(
    ("chart", "harbor"),
    [
        ("1.14.3", "2.10.3"),
        ("1.15.2", "2.11.2"),
        ("1.16.4", "2.12.4"),
        ("1.17.4", "2.13.4"),
        ("1.18.4", "2.14.4"),
        ("1.19.0", "2.15.0"),
    ],
)
def test_a_chart_installs_one_version_of_harbor(chart: str, harbor: str) -> None:
    assert harbor_of(chart) == harbor


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("1.18.3", (1, 18, 3)),
        ("1.19.0-rc.1", (1, 19, 0)),
        ("1.19.1+build.7", (1, 19, 1)),
        ("1.18", (1, 18, 0)),
        ("dev", (0, 0, 0)),
    ],
)
def test_versions_are_compared_by_their_numbers(
    version: str, numbers: tuple[int, int, int]
) -> None:
    assert number(version) == numbers


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        ("1.15.0", "1.19.1", "1.18.3"),
        ("1.16.0", "1.20.0", "1.19.1"),
        ("1.14.0", "1.19.1", None),
        ("1.18.3", "1.19.1", None),
    ],
)
def test_a_long_way_goes_by_the_newest_chart_that_takes_it(
    before: str, after: str, step: str | None
) -> None:
    assert step_towards(before, after) == step


def test_a_line_that_was_not_tested_is_warned_of() -> None:
    for version in ("1.18.4", "1.19.1"):
        assert not [*hints.of_the_chart(settings(harbor={"chart": {"version": version}}).harbor)]
        assert line_of(version) is not None
    (hint,) = hints.of_the_chart(settings(harbor={"chart": {"version": "1.20.0"}}).harbor)
    assert "harbor.chart.version 1.20.0" in hint
    assert "tested are 1.18.3 and 1.19.1" in hint
    assert line_of("1.20.0") is None
    assert harbor_lines.oldest_source("1.20.0") == 19
