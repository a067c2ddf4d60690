"""The page docs/reference/mutation.md. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mutation.areas import GOAL, ROOT, Area
from mutation.explained import EXPLAINED
from mutation.trial import CRASHED, KILLED, SURVIVED, TIMED_OUT

PAGE: Final[Path] = ROOT / "docs" / "reference" / "mutation.md"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A mutant and what became of it: one of the words of mutation.trial."""

    path: str
    line: int
    diff: str
    outcome: str

    @property
    def why(self) -> str | None:
        """Why it is left alive, if it is."""
        if self.outcome == KILLED:
            return None
        return EXPLAINED.get((self.path, self.diff))


@dataclass(frozen=True, kw_only=True)
class Scored:
    """An area's mutants. `total`: how many it has, of which `tried` were drawn."""

    area: Area
    total: int
    tried: Sequence[Tried]

    @property
    def killed(self) -> int:
        return sum(each.outcome == KILLED for each in self.tried)

    @property
    def score(self) -> float:
        """Per cent of all that were tried: what timed out or is explained counts as alive."""
        return 100 * self.killed / len(self.tried) if self.tried else 0.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the run was. `load`: average of its last 15 minutes."""

    date: dt.date
    command: str
    processors: int
    load: float
    seconds: float


_INTRODUCTION: Final = f"""\
# Mutation tests

<!-- Written by `make mutation PAGE=1`. -->

Do the tests notice a wrong program? [mutmut](https://github.com/boxed/mutmut)'s operators change
one thing in the code: an operator, a number, a name, an argument, a branch. The unit tests of that
area then have to fail, or the mutant lives. Mutants are drawn from all functions of an area, those
with a decorator too, by a seed. Left out are statements of modules and classes, as by mutmut
itself; and texts of three words or more, because tests name the words of a message that matter. The
goal is {GOAL:.0f} % killed.
"""


def text(run: Run, scored: Sequence[Scored]) -> str:
    """The whole page."""
    about = (
        f"On {run.date.isoformat()}, {run.processors} processors, load {run.load:.0f}, "
        f"{run.seconds / 60:.0f} minutes:\n\n```sh\n{run.command}\n```\n"
    )
    return "\n".join([_INTRODUCTION, about, table(scored), *_alive(scored)])


def table(scored: Sequence[Scored]) -> str:
    """A row for each area, in Markdown."""
    lines = [
        "| Area | Mutants in all | Tried | Killed | Timed out | Crashed | Survived "
        "| of them explained | Score |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in scored:
        counts = Counter(tried.outcome for tried in each.tried)
        explained = sum(tried.why is not None for tried in each.tried)
        cells = [
            *(each.area.name, each.total, len(each.tried), each.killed),
            *(counts[TIMED_OUT], counts[CRASHED], counts[SURVIVED], explained),
            f"{each.score:.0f} %",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def _alive(scored: Sequence[Scored]) -> Iterator[str]:
    for each in scored:
        alive = [tried for tried in each.tried if tried.outcome != KILLED]
        if alive:
            yield f"## Alive: {each.area.name}\n"
        for tried in sorted(alive, key=lambda tried: (tried.path, tried.line)):
            yield f"{told(tried)}\n"


def told(tried: Tried) -> str:
    """A mutant that was not killed, in Markdown."""
    said = "" if tried.outcome == SURVIVED else f" {tried.outcome}."
    why = f" {tried.why}" if tried.why else ""
    return f"`{tried.path}`, line {tried.line}.{said}{why}\n\n```diff\n{tried.diff}\n```"
