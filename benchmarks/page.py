"""docs/reference/benchmarks.md: each measurement has its place there, between two comments. Pure.

What people wrote around it stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measuring import Cost


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure that shall not be above a limit. `cause`: why it is, told only where it is."""

    what: str
    measured: float
    at_most: float
    unit: str = "times"
    cause: str = ""

    @property
    def line(self) -> str:
        """One line of Markdown."""
        told = f"- {self.what}: **{self.measured:.2f} {self.unit}**, goal at most {self.at_most:g}"
        if self.measured <= self.at_most:
            return f"{told}: met."
        missed = f"missed by {self.measured - self.at_most:.2f}"
        return f"{told}: {missed}. {self.cause}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one benchmark found. `body`: Markdown."""

    command: str
    body: str
    goals: Sequence[Goal] = ()

    def text(self, machine: str) -> str:
        """Markdown, which says how and on what it was measured."""
        parts = [f"```sh\n{self.command}\n```", f"Measured {machine}.", self.body.strip()]
        if self.goals:
            parts.append("\n".join(goal.line for goal in self.goals))
        return "\n\n".join(parts)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def costs(named: Sequence[tuple[str, Cost]], *, apart: Sequence[str] = ()) -> str:
    """A table with a row for each cost. `apart`: kinds whose processor time is a column too."""
    heads = ["what", "wall", "processor time", *([f"without {_APART}"] if apart else []), "memory"]
    return table(
        heads,
        [
            [
                name,
                f"{cost.wall:.2f} s",
                f"{cost.processor:.2f} s",
                *([f"{cost.without(apart):.2f} s"] if apart else []),
                f"{cost.peak:.0f} MiB",
            ]
            for name, cost in named
        ],
    )


_APART = "stand-in plugins"


def parts(named: Sequence[tuple[str, Cost]]) -> str:
    """A table of processor seconds by the kind of process, the dearest of the last cost first."""
    last = named[-1][1].parts
    kinds = sorted(
        {kind for _, cost in named for kind in cost.parts}, key=lambda kind: -last.get(kind, 0)
    )
    rows = [
        [kind, *(f"{cost.parts.get(kind, 0):.2f} s" for _, cost in named)]
        for kind in kinds
        if any(cost.parts.get(kind, 0) >= 0.005 for _, cost in named)
    ]
    return table(["processor time of", *(name for name, _ in named)], rows)


def written(page: str, name: str, text: str) -> str:
    """The page with `text` in the place of that name. Raises LookupError without such a place."""
    begin, end = f"<!-- benchmark: {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    new, count = pattern.subn(lambda _: f"{begin}\n\n{text}\n\n{end}", page)
    if count != 1:
        raise LookupError(f"the page has {count} places for {name}, between {begin} and {end}")
    return new
