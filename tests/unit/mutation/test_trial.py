"""A mutant is killed by a test that fails, and by nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mutation import trial
from mutation.areas import AREAS, ROOT, Area
from mutation.trial import CRASHED, KILLED, SURVIVED, TIMED_OUT, Baseline

NUMBER = "def number():\n    return 1\n"
SHOWN = "from thing import code\ndef test_it():\n    assert code.number() == 1\n"


@pytest.fixture
def area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Area:
    """A project of one module and its test."""
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "code.py").write_text(NUMBER + "def unseen():\n    return 1\n")
    (tmp_path / "test_code.py").write_text(SHOWN + "def test_nothing():\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nmarkers = fuzz: none\n")
    monkeypatch.setattr(trial, "ROOT", tmp_path)
    monkeypatch.setattr("mutation.areas.ROOT", tmp_path)
    return Area(name="thing", sources=("thing",), tests=("test_code.py",))


@pytest.fixture
def before(area: Area) -> Baseline:
    return trial.baseline(area)


def test_the_tests_that_reach_a_line_are_known(before: Baseline) -> None:
    assert before.tests["thing/code.py", 2] == {"test_code.py::test_it"}
    assert before.tests["thing/code.py", 1] == {""}
    assert ("thing/code.py", 4) not in before.tests
    assert {*before.seconds} == {"test_code.py::test_it", "test_code.py::test_nothing"}


@pytest.mark.parametrize(
    ("line", "code", "outcome"),
    [
        (2, "def number():\n    return 2\n", KILLED),
        (2, "raise ImportError\n", KILLED),
        (2, "def number():\n    return True\n", SURVIVED),
        (4, NUMBER, SURVIVED),
        (2, "import os\ndef number():\n    os.kill(os.getpid(), 9)\n", CRASHED),
    ],
)
def test_a_mutant_lives_as_long_as_every_test_passes(
    area: Area, before: Baseline, line: int, code: str, outcome: str
) -> None:
    assert trial.tried(area, before, "thing/code.py", line, code) == outcome
    assert (trial.ROOT / "thing" / "code.py").read_text().startswith(NUMBER)


def test_a_mutant_that_runs_on_is_not_killed(area: Area, before: Baseline) -> None:
    code = "import os, signal\ndef number():\n    os.kill(os.getpid(), signal.SIGXCPU)\n"
    assert trial.tried(area, before, "thing/code.py", 2, code) == TIMED_OUT


def test_tests_that_fail_without_a_mutant_are_said(area: Area) -> None:
    (trial.ROOT / "test_code.py").write_text("def test_it():\n    assert 1 == 2\n")
    with pytest.raises(trial.TrialError, match="assert 1 == 2"):
        trial.baseline(area)


@pytest.mark.parametrize(
    ("run", "code"),
    [(lambda: 3, 3), (lambda: 1 // 0, 99), (lambda: time.sleep(60), None)],
    ids=["ends", "raises", "hangs"],
)
def test_a_run_ends_in_time(run: Callable[[], int], code: int | None, tmp_path: Path) -> None:
    assert trial._forked(run, tmp_path / "output", cpu=60, wall=1).code == code


def test_what_a_run_started_ends_with_it(tmp_path: Path) -> None:
    def run() -> int:
        child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
        print(child)
        return 0

    child = int(trial._forked(run, tmp_path / "output", cpu=60, wall=60).output)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and Path(f"/proc/{child}").exists():
        if " Z" in Path(f"/proc/{child}/stat").read_text():
            return  # ended, and nobody asked for its status
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
def test_every_area_has_code_and_tests(area: Area) -> None:
    assert [*area.files()]
    for path in (*area.tests, *area.without):
        assert (ROOT / path).exists()
