"""The page counts only what a test killed, and says why the rest lives."""

from __future__ import annotations

import datetime as dt

import pytest

from mutation import page
from mutation.areas import AREAS, ROOT
from mutation.explained import EXPLAINED
from mutation.page import Run, Scored, Tried
from mutation.trial import CRASHED, KILLED, SURVIVED, TIMED_OUT

RUN = Run(
    date=dt.date(2026, 1, 2),
    command="make mutation MUTANTS=4 SEED=7",
    processors=2,
    load=3.4,
    seconds=600,
)


def tried(outcome: str, diff: str = "-a\n+b") -> Tried:
    return Tried(path="components/ordering.py", line=3, diff=diff, outcome=outcome)


def test_only_the_killed_are_in_the_score() -> None:
    each = Scored(
        area=AREAS[0], total=40, tried=[*map(tried, (KILLED, SURVIVED, TIMED_OUT, CRASHED))]
    )
    assert each.score == 25
    assert f"| {AREAS[0].name} | 40 | 4 | 1 | 1 | 1 | 1 | 0 | 25 % |" in page.table([each])


def test_the_page_has_what_lives_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mutation.page.EXPLAINED", {("components/ordering.py", "-a\n+b"): "Equal by design."}
    )
    each = Scored(
        area=AREAS[0],
        total=40,
        tried=[tried(SURVIVED), tried(TIMED_OUT, "-c\n+d"), tried(KILLED, "-e\n+f")],
    )
    text = page.text(RUN, [each])
    assert RUN.command in text
    assert "line 3. Equal by design.\n\n```diff\n-a\n+b\n```" in text
    assert "line 3. timed out.\n\n```diff\n-c\n+d\n```" in text
    assert "-e" not in text
    assert "| 1 | 1 | 0 | 1 | 1 | 33 % |" in text


def test_what_is_explained_is_in_the_code() -> None:
    """A line that was changed needs another explanation."""
    for path, diff in EXPLAINED:
        before = [line[1:] for line in diff.splitlines() if line.startswith("-")]
        assert "\n".join(before) in (ROOT / path).read_text(), (path, diff)
