"""A mutant is killed by a test that fails, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutation import trial
from mutation.areas import AREAS, ROOT, Area
from mutation.trial import CRASHED, KILLED, SURVIVED, TIMED_OUT, Baseline, Mutant

CODE = """\
def number():
    return 1
class Thing:
    @property
    def size(self, step=1):
        return [step for _ in range(3)]
def unseen():
    return 1
def at_import():
    return 3
LIMIT = at_import()
"""
TESTS = """\
import pytest
from thing import code
@pytest.fixture(scope="module")
def shared():
    return code.Thing().size
def test_it():
    assert code.number() == 1
def test_one(shared):
    assert shared
def test_two(shared):
    assert shared == [1, 1, 1]
def test_limit():
    assert code.LIMIT == 3
"""
BODIES = {2: (2, 2), 5: (6, 6), 6: (6, 6), 8: (8, 8), 10: (10, 10)}


def mutant(line: int, text: str) -> Mutant:
    lines: list[str] = [*CODE.splitlines()]
    lines[line - 1] = text
    code = "\n".join([*lines, ""])
    return Mutant(path="thing/code.py", line=line, function=BODIES[line], code=code, diff="")


@pytest.fixture
def area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Area:
    """A project of one module and its tests."""
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "code.py").write_text(CODE)
    (tmp_path / "test_code.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nmarkers = fuzz: none\n")
    monkeypatch.setattr(trial, "ROOT", tmp_path)
    monkeypatch.setattr("mutation.areas.ROOT", tmp_path)
    return Area(name="thing", sources=("thing",), tests=("test_code.py",))


@pytest.fixture
def before(area: Area) -> Baseline:
    return trial.baseline(area)


def test_the_tests_that_reach_a_function_are_known(before: Baseline) -> None:
    assert before.reaching(mutant(2, "    return 2")) == {"test_code.py::test_it"}
    assert before.reaching(mutant(6, "        return []")) == {
        "test_code.py::test_one",
        "test_code.py::test_two",
    }
    assert before.reaching(mutant(10, "    return 4")) == {""}
    assert before.reaching(mutant(8, "    return 2")) == frozenset()
    assert len(before.seconds) == 4


@pytest.mark.parametrize(
    ("line", "text", "outcome"),
    [
        (2, "    return 2", KILLED),
        (2, "    return True", SURVIVED),
        (2, "    import os; os.kill(os.getpid(), 9)", CRASHED),
        (2, "    import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", TIMED_OUT),
        (6, "        return [step]", KILLED),
        (6, "        return [step * 1 for _ in range(3)]", SURVIVED),
        (5, "    def size(self, step=2):", KILLED),
        (8, "    return 2", SURVIVED),
        (10, "    return 4", KILLED),
        (10, "    return 3.0", SURVIVED),
        (10, "    raise ImportError", KILLED),
    ],
    ids=[
        *("killed", "survives", "crashes", "runs on", "of a fixture", "equal", "a default"),
        *("not tested", "at import", "equal at import", "no import"),
    ],
)
def test_a_mutant_lives_as_long_as_every_test_passes(
    area: Area, before: Baseline, line: int, text: str, outcome: str
) -> None:
    changed = mutant(line, text)
    assert [*trial.tried(area, before, [changed])] == [(changed, outcome)]
    assert changed.file.read_text() == CODE


def test_tests_that_fail_without_a_mutant_are_said(area: Area) -> None:
    (trial.ROOT / "test_code.py").write_text("def test_it():\n    assert 1 == 2\n")
    with pytest.raises(trial.TrialError, match="assert 1 == 2"):
        trial.baseline(area)


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
def test_every_area_has_code_and_tests(area: Area) -> None:
    assert [*area.files()]
    for path in (*area.tests, *area.without):
        assert (ROOT / path).exists()
