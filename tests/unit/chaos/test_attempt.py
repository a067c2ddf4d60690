"""What a try is called: survived, repaired, failed, missed or skipped."""

from __future__ import annotations

import contextlib
import os
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chaos import attempt, faults, plans
from chaos.attempt import FAILED, MISSED, REPAIRED, SKIPPED, SURVIVED
from chaos.faults import FaultKind, Hit, Skipped
from chaos.proxy import Request
from chaos.trial import Trial, _own_disk
from engine.pulumi import EngineError
from tests.unit.chaos.test_evidence import BEFORE


@dataclass
class Ended:
    code: int = 0


@dataclass
class Engine:
    """Stands for the stack: runs that fail as often as `failures` says, by the first word."""

    name: str = "local"
    failures: dict[str, int] = field(default_factory=dict[str, int])
    ran: list[str] = field(default_factory=list[str])

    def drop_dead_lock(self) -> None:
        self.ran.append("drop lock")

    def run(self, *arguments: str) -> None:
        self.ran.append(arguments[0])
        if self.failures.get(arguments[0], 0) > 0:
            self.failures[arguments[0]] -= 1
            raise EngineError("Updating:\n  error: no such thing\n")


@dataclass
class StandInTrial:
    """What an attempt needs of a trial."""

    stack: Engine
    code: int = 0
    verb: str = "up"
    hung: bool = False
    is_lost: bool = False
    changes: int = 1
    runs: tuple[str, ...] = ("one",)
    last: Any = None
    calls: dict[str, int] = field(default_factory=dict[str, int])
    measured: dict[str, Any] = field(default_factory=dict[str, Any])
    proxies: dict[str, Any] = field(default_factory=dict[str, Any])
    sandbox: Any = field(default_factory=lambda: type("Sandbox", (), {"state": None})())

    def calm(self) -> None:
        pass

    def empty_bucket(self) -> None:
        pass

    def forget_runs(self) -> None:
        self.last, self.hung = None, False


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is in the state and the cluster after the run."""
    given: dict[str, Any] = {"pending": 0, "after": BEFORE}
    seen: list[bool] = []

    def look(_: object) -> Any:
        seen.append(True)
        return BEFORE if len(seen) == 1 else given["after"]

    monkeypatch.setattr(attempt, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(attempt.evidence, "look", look)
    monkeypatch.setattr(attempt.evidence, "pending", lambda _: given["pending"])
    monkeypatch.setattr(attempt.parts, "all_answer", lambda _: None)
    monkeypatch.setattr(attempt.processes, "stop_left_plugins", lambda _: [])
    monkeypatch.setattr(attempt.faults, "change", lambda *_: None)
    return given


def once(trial: StandInTrial, *, hits: int = 1, runs: int = 1, code: int = 0) -> attempt.Tried:
    def inject(given: Any, _: random.Random) -> Hit:
        given.last = Ended(code)
        return Hit(faults=hits, runs=runs)

    kind = FaultKind(name="x", told="x", inject=inject, changes=("release",))
    given: Any = trial
    return attempt.tried(given, kind, random.Random(1))[-1]


def test_a_run_that_succeeds_survived(world: dict[str, Any]) -> None:
    engine = Engine()
    assert once(StandInTrial(engine)).outcome == SURVIVED
    assert engine.ran == ["preview"]


def test_a_run_that_fails_is_repaired_by_the_next(world: dict[str, Any]) -> None:
    engine = Engine()
    assert once(StandInTrial(engine), code=1).outcome == REPAIRED
    assert engine.ran == ["drop lock", "up", "preview"]


def test_several_runs_that_were_hit_are_a_repair(world: dict[str, Any]) -> None:
    assert once(StandInTrial(Engine()), hits=9, runs=4).outcome == REPAIRED


def test_a_fault_after_the_end_of_the_run_is_missed_and_tried_again(
    world: dict[str, Any],
) -> None:
    trial = StandInTrial(Engine(), proxies={"api": CountingProxy()})
    assert once(trial, hits=0).outcome == MISSED
    assert trial.changes == 1 + 3
    # The next ones know how many calls such a run makes.
    assert trial.measured == {"release": {"api": 0}}


def test_what_is_pending_is_forgotten_as_the_runbook_says(world: dict[str, Any]) -> None:
    world["pending"] = 1
    engine = Engine()
    assert once(StandInTrial(engine), code=-9).outcome == REPAIRED
    assert engine.ran == ["drop lock", "up", "refresh", "preview"]


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ("up", "the next `up` failed: error: no such thing"),
        ("preview", "the preview after it failed: error: no such thing"),
    ],
)
def test_a_run_that_does_not_converge_at_once_failed(
    world: dict[str, Any], failing: str, told: str
) -> None:
    tried = once(StandInTrial(Engine(failures={failing: 1})), code=1)
    assert (tried.outcome, tried.problems) == (FAILED, (told,))


def test_a_sovereign_is_lost_when_the_second_run_fails_too(world: dict[str, Any]) -> None:
    trial = StandInTrial(Engine(failures={"up": 2}))
    tried = once(trial, code=1)
    assert (tried.outcome, trial.is_lost) == (FAILED, True)
    assert len(tried.problems) == 2
    assert trial.stack.ran == ["drop lock", "up"] * 2


def test_what_is_not_as_before_is_a_failure(world: dict[str, Any]) -> None:
    world["after"] = replace(BEFORE, objects=BEFORE.objects | {"Job harbor/left"})
    tried = once(StandInTrial(Engine()), code=1)
    assert (tried.outcome, tried.problems) == (FAILED, ("Job harbor/left is orphaned",))


def test_a_fault_that_the_machine_does_not_allow_is_skipped(world: dict[str, Any]) -> None:
    def inject(*_: object) -> Hit:
        raise Skipped("no file system can be mounted")

    kind = FaultKind(name="x", told="x", inject=inject, changes=("release",))
    given: Any = StandInTrial(Engine())
    (tried,) = attempt.tried(given, kind, random.Random(1))
    assert (tried.outcome, tried.problems) == (SKIPPED, ("no file system can be mounted",))


def test_every_fault_changes_something_that_is_known() -> None:
    for kind in faults.KINDS.values():
        assert set(kind.changes) <= set(faults.ANY)
        assert kind.name not in kind.told


def test_a_state_on_a_disk_of_its_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / "local.json").write_text("before")
    with _own_disk(tmp_path):
        assert (tmp_path / "local.json").read_text() == "before"
        (tmp_path / "local.json").write_text("after")
    assert (tmp_path / "local.json").read_text() == "after"


def test_a_try_that_raises_leaves_no_sovereign_that_is_known(
    world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try makes one anew; else it would tell of the fault of this one."""
    trial = StandInTrial(Engine())
    given: Any = trial

    def inject(*_: object) -> Hit:
        raise RuntimeError("a part did not start again")

    kind = FaultKind(name="x", told="x", inject=inject, changes=("release",))
    with pytest.raises(RuntimeError):
        attempt.tried(given, kind, random.Random(1))
    assert trial.is_lost
    made: list[str] = []
    monkeypatch.setattr(attempt, "remove", lambda _: made.append("removed"))
    monkeypatch.setattr(attempt, "prepared", lambda _: made.append("prepared"))
    attempt.begun_anew(given)
    assert (made, trial.is_lost) == (["removed", "prepared"], False)
    attempt.begun_anew(given)
    assert len(made) == 2


def test_what_a_run_printed_is_closed_with_the_next_try(tmp_path: Path) -> None:
    """A file that is left open is a warning, and warnings are errors in tests."""
    given: Any = None
    proxy: Any = CountingProxy()
    stack: Any = type("Stack", (), {"name": "x", "folder": tmp_path, "environment": {}})()
    stack.drop_dead_lock = lambda: None
    trial = Trial(
        sandbox=given,
        stack=stack,
        api=proxy,
        s3=proxy,
        harbor=proxy,
        keeper=given,
        backend=tmp_path,
        client=given,
        has_own_disk=False,
    )
    (tmp_path / "pulumi").write_text("#!/bin/sh\necho done\n")
    (tmp_path / "pulumi").chmod(0o755)
    stack.environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    with contextlib.closing(trial):
        runs = [trial.begin(), trial.begin()]
        assert [run.wait() for run in runs] == [0, 0]
        assert runs[0].text() == "done\n"
        trial.forget_runs()
        assert all(run.output.closed for run in runs)
        assert trial.last is None
        last = trial.begin()
        last.wait()
    assert last.output.closed


class CountingProxy:
    """Stands for a proxy that hits what its plan says of ten requests in each run."""

    def __init__(self) -> None:
        self.given: Any = None
        self.count = self.injected = 0

    def plan(self, plan: Any) -> None:
        self.given, self.injected = plan, 0

    def carry(self) -> None:
        asked = [Request(number=n, method="GET", path="/x") for n in range(1, 11)]
        self.injected += sum(self.given(request) is not None for request in asked)


@pytest.mark.parametrize(
    ("failing", "runs"), [(0, 1), (2, 3), (99, faults.STORM_RUNS)], ids=["none", "two", "all"]
)
def test_a_storm_goes_on_until_a_run_succeeds_in_it(failing: int, runs: int) -> None:
    trial: Any = StandInTrial(Engine(), calls={"api": 1})
    trial.api, trial.begun = CountingProxy(), 0

    def begin() -> Any:
        trial.api.carry()
        trial.begun += 1
        trial.last = type("Run", (), {"code": int(trial.begun <= failing), "wait": lambda _: 0})()
        return trial.last

    trial.begin = begin
    hit = faults._storm({"api": plans.API_SERVER}, 1, 1)(trial, random.Random(1))
    assert (hit.runs, hit.faults) == (runs, 10 * runs)


def test_the_runs_of_a_try_are_those_that_were_hit_and_the_one_after_them(
    world: dict[str, Any],
) -> None:
    assert once(StandInTrial(Engine()), hits=9, runs=4, code=1).runs == 5
    # The last of them succeeded in the storm.
    assert once(StandInTrial(Engine()), hits=9, runs=4).runs == 4
    assert once(StandInTrial(Engine())).runs == 1
