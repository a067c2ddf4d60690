"""The page docs/reference/reliability.md. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.attempt import FAILED, MISSED, REPAIRED, SKIPPED, SURVIVED, Tried
from chaos.faults import KINDS
from engine.project import ROOT

PAGE: Final[Path] = ROOT / "docs" / "reference" / "reliability.md"


GOAL: Final = 1000
"""Faults of one long run."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the run was. `load`: average of its last 15 minutes."""

    date: dt.date
    seed: int
    command: str
    processors: int
    load: float
    workers: int
    seconds: float


_INTRODUCTION: Final = """\
# Reliability

<!-- Written by `make chaos`. -->

Faults are injected into runs of a Sovereign in the
[sandbox](../../README.md#what-the-sandbox-simulates): a real engine, control plane, S3 gateway,
sealed-secrets controller and Kyverno, and a fake of Harbor's API. Each try changes one setting,
hits the run with one kind of fault, and lets everything work again. Then:

1. If the run did not succeed itself, the next `pulumi up` has to exit with 0. In a storm the next
   ones are hit too, and the first one after it has to exit with 0. A dead lock is removed before
   it, and pending operations are forgotten after it, as
   [the runbook](../runbooks/interrupted-run.md) says.
2. `pulumi preview --expect-no-changes` has to find nothing to do.
3. Every Secret's data is as before, but that of a credential whose rotation was the change.
4. Objects with the program's label in the cluster are those of the state. No object in Harbor's
   namespaces is new or missing. What Harbor holds is as before, and so are the buckets and a blob
   in one. No operation is pending.
"""


def text(made: Sequence[Run], told: Sequence[Tried]) -> str:
    """The whole page. `made`: the runs in which all of that was tried, at least one."""
    return "\n".join([_INTRODUCTION, _about(made, told), table(told), *_remarks(told)])


def _about(made: Sequence[Run], told: Sequence[Tried]) -> str:
    tries = [tried for tried in told if tried.outcome not in (SKIPPED, MISSED)]
    failed = [tried for tried in tries if tried.outcome == FAILED]
    faults = sum(tried.faults for tried in tries)
    late = sum(tried.faults for tried in tries if KINDS[tried.kind].delays)
    runs = max((tried.runs for tried in tries if tried.outcome != FAILED), default=0)
    dates = dict.fromkeys(run.date.isoformat() for run in made)
    which = [
        f"- `{run.command}`: {_sandboxes(run.workers)} on {run.processors} processors, "
        f"load {run.load:.0f}, {run.seconds / 60:.0f} minutes"
        for run in made
    ]
    return (
        f"On {' and '.join(dates)}: **{len(tries)} tries with "
        f"{faults:,} injected faults, "
        f"{len(failed)} did not converge.**\n\n"
        + "\n".join([*which, "", ""])
        + "Each call that failed, broke off or came late is a fault, and so is each process that "
        f"was killed or stopped. {late:,} of them are calls that came late and were answered; "
        f"{faults - late:,} are not. {_goal(faults - late)} No try took more than {runs} runs, "
        f"those that were hit counted.\n"
    )


def _goal(faults: int) -> str:
    left = GOAL - faults
    if left <= 0:
        return f"The goal is {GOAL:,} without the late ones: it is reached."
    return f"The goal is {GOAL:,} without the late ones: {left:,} are missing."


def _sandboxes(count: int) -> str:
    return "one sandbox" if count == 1 else f"{count} sandboxes side by side"


def table(told: Sequence[Tried]) -> str:
    """A row for each fault, in Markdown."""
    lines = [
        "| Fault | Tries | Faults injected | The run itself succeeded | A later run repaired it "
        "| Not converged | Most runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kind in KINDS.items():
        of_kind = [tried for tried in told if tried.kind == name]
        hit = [tried for tried in of_kind if tried.outcome not in (SKIPPED, MISSED)]
        if hit:
            counts = [
                sum(tried.outcome == outcome for tried in hit)
                for outcome in (SURVIVED, REPAIRED, FAILED)
            ]
            faults = sum(tried.faults for tried in hit)
            runs = max(tried.runs for tried in hit)
            cells = [kind.told, len(hit), faults, *counts, runs]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def _remarks(told: Sequence[Tried]) -> list[str]:
    """What did not converge, what was not tried, and how to read the table."""
    lines: list[str] = []
    failed = [tried for tried in told if tried.outcome == FAILED]
    if failed:
        lines += ["Not converged:", ""]
        lines += [
            f"- {KINDS[tried.kind].told}, while it changed {tried.change}: "
            + "; ".join(tried.problems)
            for tried in failed
        ]
        lines.append("")
    tried_kinds = {tried.kind for tried in told if tried.outcome not in (SKIPPED, MISSED)}
    reasons = {tried.kind: tried.problems or (_LATE,) for tried in told}
    untried = [
        f"- {kind.told}: {'; '.join(reasons.get(name, ('no run got that far',)))}"
        for name, kind in KINDS.items()
        if name not in tried_kinds
    ]
    if untried:
        lines += ["Not tried:", "", *untried, ""]
    missed = sum(tried.outcome == MISSED for tried in told)
    lines += [_READ]
    if missed:
        lines.append(
            f"- {missed} more tries are not counted: their runs had ended before the fault."
        )
    return [*lines, ""] if lines[-1] else lines


_LATE: Final = "the fault came after the run's end"

_READ: Final = """\
How to read it:

- One try is one run that is hit. Some faults hit many calls, and some hit one run after the other
  (storms, each call once), so more faults than tries are injected.
- In a storm, a call that fails does so before the server did anything, or after: the connection
  breaks, the answer breaks off, nothing comes for 3 s, or the answer is one of 429, 500, 502, 503
  and 504 as that server gives them, some with `Retry-After`. Some are made again by the program
  and by the engine's plugins; what they are made again with may be hit, too.
- A fault that lasts is lifted after the seconds that the row names, or when the run has ended.
- No clock is shifted: that of the machine is everybody's, and a time namespace shifts monotonic
  clocks only. The store and the API server answer as they do to a machine whose date is wrong.
- An expired token is the API server's answer 401 from one call on; the next run has a new one.
- The fake of Harbor's API is not killed, a proxy before it fails: the fake writes its database
  later than PostgreSQL would."""
