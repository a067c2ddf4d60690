"""The page docs/reference/mutation.md, and the outcomes that it is made of. Pure.

An area's outcomes are kept beside the page, so that a run of one area leaves the others' rows.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from mutation.areas import AREAS, GOAL, ROOT
from mutation.explained import EXPLAINED
from mutation.trial import CRASHED, KILLED, SURVIVED, TIMED_OUT

PAGE: Final[Path] = ROOT / "docs" / "reference" / "mutation.md"
OUTCOMES: Final[Path] = PAGE.with_suffix(".json")


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A mutant and what became of it: one of the words of mutation.trial."""

    path: str
    line: int
    diff: str
    outcome: str

    @property
    def why(self) -> str | None:
        """Why it is left alive, if that was looked at."""
        return None if self.outcome == KILLED else EXPLAINED.get((self.path, self.diff))


@dataclass(frozen=True, kw_only=True)
class Scored:
    """An area's mutants. `total`: how many it has, of which `count` were tried; `alive` are those
    that no test killed. `date` is that of the run, `minutes` how long it took."""

    area: str
    date: str
    command: str
    minutes: int
    total: int
    count: int
    alive: Sequence[Tried]

    @property
    def killed(self) -> int:
        return self.count - len(self.alive)

    @property
    def score(self) -> float:
        """Per cent of all that were tried: what timed out or is explained counts as alive."""
        return 100 * self.killed / self.count if self.count else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Within which the score of all mutants is, by 95 per cent (Wilson)."""
        n, share, z = max(self.count, 1), self.score / 100, 1.96
        middle = share + z**2 / (2 * n)
        margin = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        whole = (1 + z**2 / n) / 100
        return (middle - margin) / whole, (middle + margin) / whole


def dumped(scored: Sequence[Scored]) -> str:
    """As JSON, in the order of AREAS."""
    names = [area.name for area in AREAS]
    ordered = sorted(scored, key=lambda each: names.index(each.area))
    return json.dumps([asdict(each) for each in ordered], indent=1) + "\n"


def loaded(text: str) -> list[Scored]:
    """What `dumped` wrote, without areas that are no more."""
    names = [area.name for area in AREAS]
    return [
        Scored(**{**each, "alive": [Tried(**tried) for tried in each["alive"]]})
        for each in json.loads(text)
        if each["area"] in names
    ]


def merged(before: Sequence[Scored], now: Sequence[Scored]) -> list[Scored]:
    """Those of this run in place of the areas' earlier ones."""
    areas = {each.area for each in now}
    return [*(each for each in before if each.area not in areas), *now]


_INTRODUCTION: Final = f"""\
# Mutation tests

<!-- Written by `make mutation PAGE=1`. -->

Do the tests notice a wrong program? [mutmut](https://github.com/boxed/mutmut)'s operators change
one thing in the code: an operator, a number, a name, an argument, a branch. The unit tests of that
area then have to fail, or the mutant lives. Mutants are drawn by a seed from all functions of an
area, those with a decorator too. Left out are statements of modules and classes, as by mutmut
itself; and texts of three words or more, because tests name the words of a message that matter. The
goal is {GOAL:.0f} % killed.
"""


def text(scored: Sequence[Scored]) -> str:
    """The whole page."""
    commands = [
        f"- {each.area}: `{each.command}`, {each.date}, {each.minutes} minutes\n" for each in scored
    ]
    tried = {each.area for each in scored}
    untried = [area.name for area in AREAS if area.name not in tried]
    without = f"Not tried yet: {', '.join(untried)}.\n" if untried else ""
    parts = (table(scored), without, "".join(commands), *_alive(scored))
    return "\n".join([_INTRODUCTION, *filter(None, parts)])


def table(scored: Sequence[Scored]) -> str:
    """A row for each area, in Markdown."""
    lines = [
        "| Area | Mutants in all | Tried | Killed | Survived | Timed out | Crashed "
        "| Alive and explained | Score (95 % interval) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in scored:
        counts = Counter(tried.outcome for tried in each.alive)
        explained = sum(tried.why is not None for tried in each.alive)
        cells = [
            *(each.area, each.total, each.count, each.killed),
            *(counts[SURVIVED], counts[TIMED_OUT], counts[CRASHED], explained),
            f"{each.score:.0f} % ({each.interval[0]:.0f} to {each.interval[1]:.0f})",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def _alive(scored: Sequence[Scored]) -> Iterator[str]:
    for each in scored:
        if each.alive:
            yield f"## Alive: {each.area}\n"
        for tried in sorted(each.alive, key=lambda tried: (tried.path, tried.line)):
            yield f"{told(tried)}\n"


def told(tried: Tried) -> str:
    """A mutant that was not killed, in Markdown."""
    said = "" if tried.outcome == SURVIVED else f", {tried.outcome}"
    why = f" {tried.why}" if tried.why else ""
    return f"`{tried.path}`, line {tried.line}{said}.{why}\n\n```diff\n{tried.diff}\n```"
