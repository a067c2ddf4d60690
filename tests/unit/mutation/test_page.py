"""The page counts only what a test killed, and says why the rest lives."""

from __future__ import annotations

import pytest

from mutation import page
from mutation.areas import AREAS, ROOT
from mutation.explained import EXPLAINED
from mutation.page import Scored, Tried
from mutation.trial import CRASHED, SURVIVED, TIMED_OUT

COMMAND = "make mutation MUTANTS=4 SEED=7"


def tried(outcome: str, diff: str = "-a\n+b") -> Tried:
    return Tried(path="components/ordering.py", line=3, diff=diff, outcome=outcome)


def scored(*alive: Tried, area: int = 0, count: int = 4) -> Scored:
    return Scored(
        **{"area": AREAS[area].name, "date": "2026-01-02", "command": COMMAND, "minutes": 3},
        **{"total": 40, "count": count, "alive": alive},
    )


def test_only_the_killed_are_in_the_score() -> None:
    each = scored(*map(tried, (SURVIVED, TIMED_OUT, CRASHED)))
    assert each.score == 25
    row = f"| {AREAS[0].name} | 40 | 4 | 1 | 1 | 1 | 1 | 0 | 25 % (5 to 70) |"
    assert row in page.table([each])


def test_the_page_has_what_lives_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {("components/ordering.py", "-a\n+b"): "Equal by design."}
    monkeypatch.setattr("mutation.page.EXPLAINED", reasons)
    text = page.text([scored(tried(SURVIVED), tried(TIMED_OUT, "-c\n+d"))])
    assert COMMAND in text
    assert f"Not tried yet: {', '.join(area.name for area in AREAS[1:])}." in text
    assert "line 3. Equal by design.\n\n```diff\n-a\n+b\n```" in text
    assert "line 3, timed out.\n\n```diff\n-c\n+d\n```" in text
    assert "| 2 | 1 | 1 | 0 | 1 | 50 % (15 to 85) |" in text


def test_a_run_of_one_area_keeps_the_others() -> None:
    before = [scored(tried(SURVIVED), area=1), scored(area=0)]
    now = [scored(area=1, count=9)]
    kept = page.loaded(page.dumped(page.merged(before, now)))
    assert [(each.area, each.count) for each in kept] == [(AREAS[0].name, 4), (AREAS[1].name, 9)]
    assert page.loaded(page.dumped([before[0]]))[0].alive == [tried(SURVIVED)]


def test_what_is_explained_is_in_the_code() -> None:
    """A line that was changed needs another explanation."""
    for path, diff in EXPLAINED:
        before = [line[1:] for line in diff.splitlines() if line.startswith("-")]
        assert "\n".join(before) in (ROOT / path).read_text(), (path, diff)


def test_the_page_is_made_of_the_outcomes() -> None:
    assert page.PAGE.read_text() == page.text(page.loaded(page.OUTCOMES.read_text()))
