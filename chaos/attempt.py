"""One fault, tried: the run that is hit, the next one, and what must be as before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from chaos import evidence, faults, parts
from chaos.evidence import Evidence
from chaos.faults import ROTATED, FaultKind, Skipped
from chaos.trial import Trial
from engine.pulumi import EngineError
from sandbox import processes
from tests.support.sandbox import remove

SURVIVED: Final = "survived"
REPAIRED: Final = "repaired"
FAILED: Final = "failed"
MISSED: Final = "missed"
SKIPPED: Final = "skipped"

SETTLE_SECONDS: Final = 120
"""For controllers to do their part."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What became of one try.

    `outcome`: SURVIVED, the run itself succeeded; REPAIRED, it failed, and a later one succeeded;
    FAILED, with `problems` in words; MISSED, the run had ended before the fault came; SKIPPED, the
    machine does not allow it. `faults`: how many were injected. `runs`: how many there were, those
    that were hit and the one after them.
    """

    kind: str
    change: str
    outcome: str
    faults: int
    seconds: float
    runs: int = 1
    problems: tuple[str, ...] = ()


_CALLS: Final[Mapping[str, Mapping[str, int]]] = {
    "release": {"api": 250, "s3": 1, "harbor": 2},
    "policies": {"api": 150, "s3": 1, "harbor": 2},
    "rotation": {"api": 360, "s3": 1, "harbor": 2},
    "registry": {"api": 125, "s3": 1, "harbor": 5},
    "bucket": {"api": 125, "s3": 5, "harbor": 2},
    "destroy": {"api": 250, "s3": 8, "harbor": 20},
    "first up": {"api": 400, "s3": 19, "harbor": 60},
}
"""About how many calls a run makes that does this. Runs that no fault ended correct it."""


def prepared(trial: Trial) -> None:
    """The Sovereign up, with a blob in its bucket. Raises EngineError."""
    # So that `destroy` takes everything away, as it is asked to in some tries.
    trial.sandbox.configure(retainData="false")
    trial.stack.ensure()
    trial.stack.up()
    trial.put_sentinel()
    trial.stack.run("preview", "-s", trial.stack.name, "--expect-no-changes")


def begun_anew(trial: Trial) -> None:
    """Another Sovereign, where the last one is lost: it is taken away, and made as in `prepared`.

    Raises EngineError.
    """
    if not trial.is_lost:
        return
    trial.calm()
    parts.all_answer(trial.sandbox)
    trial.stack.drop_dead_lock()
    trial.empty_bucket()
    remove(trial.stack)
    prepared(trial)
    trial.is_lost = False


def tried(trial: Trial, kind: FaultKind, dice: random.Random) -> list[Tried]:
    """Tries a fault: a result for each try, as one whose fault came too late is followed by others.

    A fault of `destroy` has one result for that, and one for the first `up` after it. Afterwards
    `trial.is_lost` where not even the second run after the one that was hit succeeded, or where
    this raises something: no later try would mean anything there.
    """
    try:
        if kind.life:
            return _life(trial, kind, dice)
        told = [_once(trial, kind, dice)]
        while told[-1].outcome == MISSED and len(told) < _MOST_TRIES and not trial.is_lost:
            told.append(_once(trial, kind, dice))
        return told
    except BaseException:
        trial.is_lost = True
        raise


_MOST_TRIES: Final = 3


def _once(trial: Trial, kind: FaultKind, dice: random.Random) -> Tried:
    change = dice.choice(kind.changes)
    before = evidence.look(trial)
    trial.changes += 1
    faults.change(trial, change, trial.changes)
    attempt = _Attempt(trial, kind, change, dice)
    attempt.hit()
    rotated = ROTATED.get(change, frozenset())
    attempt.converge()
    if attempt.outcome != SKIPPED and not trial.is_lost:
        attempt.compare(lambda after: evidence.problems(before, after, rotated=rotated))
    return attempt.told()


def _life(trial: Trial, kind: FaultKind, dice: random.Random) -> list[Tried]:
    before = evidence.look(trial)
    trial.empty_bucket()
    trial.verb = "destroy"
    try:
        destroyed = _Attempt(trial, kind, "destroy", dice)
        destroyed.hit()
        destroyed.converge()
        if not trial.is_lost:
            destroyed.compare(evidence.left_behind)
    finally:
        trial.verb = "up"
    if trial.is_lost:
        return [destroyed.told()]
    made = _Attempt(trial, kind, "first up", dice)
    made.hit()
    between = evidence.look(trial)
    made.converge()

    def problems(after: Evidence) -> list[str]:
        return evidence.problems(evidence.of_a_first_up(before, between, after), after)

    if not trial.is_lost:
        made.compare(problems)
        trial.put_sentinel()
    return [destroyed.told(), made.told()]


class _Attempt:
    """One run that is hit, step by step."""

    def __init__(self, trial: Trial, kind: FaultKind, does: str, dice: random.Random) -> None:
        self._trial, self._kind, self._does, self._dice = trial, kind, does, dice
        self._begun = time.monotonic()
        self._faults = self._runs = 0
        self._problems: list[str] = []
        self._succeeded = False
        self.outcome = SURVIVED

    def hit(self) -> None:
        """The run with the fault; afterwards everything works again."""
        trial = self._trial
        trial.calls = dict(trial.measured.get(self._does, _CALLS[self._does]))
        trial.forget_runs()
        try:
            hit = self._kind.inject(trial, self._dice)
            self._faults, self._runs = hit.faults, hit.runs
        except Skipped as skipped:
            self.outcome, self._problems = SKIPPED, [str(skipped)]
            return
        finally:
            counts = {name: proxy.count for name, proxy in trial.proxies.items()}
            trial.calm()
        self._succeeded = trial.last is not None and trial.last.code == 0
        if not self._succeeded or hit.runs > 1:
            self.outcome = REPAIRED
        elif hit.faults <= 1 and len(trial.runs) == 1:
            trial.measured[self._does] = counts
        if trial.hung:
            self._problems.append("the run did not end by itself")
        parts.all_answer(trial.sandbox)

    def converge(self) -> None:
        """The next run, unless the last one succeeded, and a preview with nothing to do."""
        verb = self._trial.verb
        if not self._succeeded and not self._run_again(f"the next `{verb}`"):
            self._trial.is_lost = not self._run_again("the one after it")
        processes.stop_left_plugins(self._trial.sandbox.state)
        if verb == "destroy" or self._trial.is_lost:
            return
        stack = self._trial.stack
        try:
            if evidence.pending(self._trial):
                # As docs/runbooks/interrupted-run.md says.
                refresh = ("refresh", "-s", stack.name, "--yes", "--skip-preview")
                stack.run(*refresh, "--clear-pending-creates")
            stack.run("preview", "-s", stack.name, "--expect-no-changes")
        except EngineError as error:
            self._problems.append(f"the preview after it failed: {_end(error)}")
            self._trial.is_lost = not self._run_again("the run after it")

    def compare(self, problems: Callable[[Evidence], list[str]]) -> None:
        """Adds what is not as it has to be, once controllers have done their part."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while told := problems(evidence.look(self._trial)):
            if time.monotonic() > deadline:
                self._problems += told
                return
            time.sleep(0.5)

    def told(self) -> Tried:
        outcome = self.outcome
        if outcome in (SURVIVED, REPAIRED):
            outcome = FAILED if self._problems else outcome if self._faults else MISSED
        return Tried(
            kind=self._kind.name,
            change=self._does,
            outcome=outcome,
            faults=self._faults,
            seconds=round(time.monotonic() - self._begun, 1),
            runs=self._runs,
            problems=tuple(self._problems),
        )

    def _run_again(self, told: str) -> bool:
        """Runs undisturbed; whether that succeeded. If not, a problem is added."""
        stack = self._trial.stack
        self._runs += 1
        stack.drop_dead_lock()
        try:
            stack.run(self._trial.verb, "-s", stack.name, "--yes", "--skip-preview")
        except EngineError as error:
            self._problems.append(f"{told} failed: {_end(error)}")
            return False
        return True


def _end(error: EngineError) -> str:
    """The end of what the engine said, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines
    return " / ".join(telling[-4:])[-900:]
