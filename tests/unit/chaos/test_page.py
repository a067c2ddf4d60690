"""The order of faults is the seed's, and the page counts what was tried."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from chaos import page, record
from chaos.__main__ import each_once, order
from chaos.attempt import FAILED, MISSED, REPAIRED, SKIPPED, SURVIVED, Tried
from chaos.faults import KINDS

RUN = page.Run(
    date=dt.date(2026, 1, 2),
    seed=7,
    command="make chaos CHAOS_SEED=7",
    processors=2,
    load=3.4,
    workers=2,
    seconds=600,
)


def tried(kind: str, outcome: str, faults: int = 1, *problems: str, runs: int = 1) -> Tried:
    return Tried(
        kind=kind,
        change="release",
        outcome=outcome,
        faults=faults,
        seconds=1,
        runs=runs,
        problems=problems,
    )


def test_a_seed_repeats_the_faults_and_their_dice() -> None:
    def names(seed: int, worker: int) -> list[tuple[int, str, float]]:
        return [
            (n, name, dice.random())
            for n, name, dice in islice(order(seed, worker, 2, [*KINDS]), 90)
        ]

    assert names(1, 1) == names(1, 1)
    assert names(1, 1) != names(2, 1)
    assert names(1, 1) != names(1, 2)


def test_each_fault_comes_as_often_as_its_weight() -> None:
    total = sum(kind.weight for kind in KINDS.values())
    # All of them once come first.
    names = [name for _, name, _ in islice(order(1, 1, 1, [*KINDS]), len(KINDS) + total)]
    assert names[: len(KINDS)] == [*KINDS]
    names = names[len(KINDS) :]
    assert {name: names.count(name) for name in KINDS} == {
        name: kind.weight for name, kind in KINDS.items()
    }


def test_workers_share_the_faults_that_are_tried_once() -> None:
    turns = [turn for worker in (1, 2) for turn in each_once(1, worker, 2, [*KINDS])]
    assert sorted(name for _, name, _ in turns) == sorted(KINDS)


def test_the_page_counts_tries_and_faults_by_outcome() -> None:
    told = [
        tried("api-slow", SURVIVED, 40),
        tried("api-slow", REPAIRED, 10, runs=2),
        tried("api-slow", MISSED, 0),
        tried("etcd-killed", FAILED, 1, "Secret harbor/a changed"),
        tried("disk-full", SKIPPED, 0, "no file system of its own can be mounted here"),
    ]
    text = page.text([RUN], told)
    assert "**3 tries with 51 injected faults, 1 did not converge.**" in text
    assert f"| {KINDS['api-slow'].told} | 2 | 50 | 1 | 1 | 0 | 2 |" in text
    assert f"| {KINDS['etcd-killed'].told} | 1 | 1 | 0 | 0 | 1 | 1 |" in text
    assert "50 of them are calls that came late and were answered; 1 are not." in text
    assert "The goal is 1,000 without the late ones: 999 are missing." in text
    assert "No try took more than 2 runs" in text
    assert f"- {KINDS['disk-full'].told}: no file system" in text
    assert f"- {KINDS['s3-slow'].told}: no run got that far" in text
    assert "Secret harbor/a changed" in text
    assert "1 more tries are not counted" in text
    assert "make chaos CHAOS_SEED=7" in text


def test_the_page_says_that_the_goal_is_reached_without_what_only_came_late() -> None:
    told = [tried("api-storm", REPAIRED, 1000, runs=6), tried("api-slow", SURVIVED, 40)]
    text = page.text([RUN], told)
    assert "1,040 injected faults" in text
    assert "The goal is 1,000 without the late ones: it is reached." in text


def test_a_record_keeps_what_several_runs_told(tmp_path: Path) -> None:
    file = tmp_path / "record"
    first = tried("etcd-killed", FAILED, 1, "Secret harbor/a changed")
    assert record.added(file, RUN, [first]) == ([RUN], [first])
    again = replace(RUN, date=dt.date(2026, 1, 3), command="make chaos CHAOS_SEED=8", workers=1)
    second = tried("api-storm", REPAIRED, 60, runs=4)
    assert record.added(file, again, [second]) == ([RUN, again], [first, second])
    assert record.read(file) == ([RUN, again], [first, second])
    text = page.text(*record.read(file))
    assert "On 2026-01-02 and 2026-01-03: **2 tries with 61 injected faults" in text
    assert "- `make chaos CHAOS_SEED=8`: one sandbox on 2 processors, load 3, 10 minutes" in text


def test_without_a_record_a_run_tells_of_itself(tmp_path: Path) -> None:
    assert record.added(None, RUN, []) == ([RUN], [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ['{"run": {}}', '{"tried": {"kind": 1}}', "[1]", "{", "{}"])
def test_another_file_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "record").write_text(text)
    with pytest.raises(ValueError, match="is no record of faults"):
        record.read(tmp_path / "record")
