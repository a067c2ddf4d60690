"""Changes the code in one place at a time, and counts how often the unit tests notice.

    python -m mutation --mutmut PYTHON [--only AREA …] [--mutants N] [--seed NUMBER] [--page]

PYTHON is that of an environment with mutmut, which draws the mutants. The same seed draws the same
ones of the same code. Exit codes: 0 every area reaches the goal; 1 one does not, or its tests fail
without a mutant.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mutation import page, trial
from mutation.areas import AREAS, GOAL, ROOT, Area
from mutation.page import Scored, Tried
from mutation.trial import Mutant
from toolchain import closed_pipe

_MUTANTS = 60
_SEEDS = 10**9


def scored(area: Area, mutmut: Path, count: int, seed: int) -> Scored:
    """Tries an area's mutants, and tells each that is not killed. Raises TrialError if the tests
    fail without a mutant."""
    begun = time.monotonic()
    total, mutants = _drawn(area, mutmut, count, seed)
    before = trial.baseline(area)
    print(f"{area.name}: {len(before.seconds)} tests, {before.cpu:.0f} s of processor", flush=True)
    alive: list[Tried] = []
    for number, (mutant, outcome) in enumerate(trial.tried(area, before, mutants), 1):
        if number % 10 == 0:
            print(f"{area.name}: {number} of {len(mutants)} tried", flush=True)
        if outcome != trial.KILLED:
            tried = Tried(path=mutant.path, line=mutant.line, diff=mutant.diff, outcome=outcome)
            alive.append(tried)
            print(page.told(tried), flush=True)
    result = Scored(
        area=area.name,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        command=_command(count, seed, [area.name]),
        minutes=round((time.monotonic() - begun) / 60),
        total=total,
        count=len(mutants),
        alive=alive,
    )
    print(f"{area.name}: {result.killed} of {result.count}, {result.score:.0f} %\n", flush=True)
    return result


def _command(count: int, seed: int, areas: Sequence[str]) -> str:
    only = f' ONLY="{" ".join(areas)}"' if areas else ""
    return f"make mutation MUTANTS={count} SEED={seed}{only}"


def _drawn(area: Area, mutmut: Path, count: int, seed: int) -> tuple[int, list[Mutant]]:
    command = [mutmut, "-m", "mutation.mutants", area.name, f"--count={count}", f"--seed={seed}"]
    made = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    answer = json.loads(made.stdout)
    return answer["total"], [Mutant(**each) for each in answer["mutants"]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m mutation")
    parser.add_argument("--mutmut", type=Path, required=True, help="a Python that has mutmut")
    parser.add_argument("--only", nargs="*", default=[], choices=[area.name for area in AREAS])
    parser.add_argument("--mutants", type=int, default=_MUTANTS, help="of each area")
    parser.add_argument("--seed", type=int, help="of the choice")
    parser.add_argument("--page", action="store_true", help=f"write {page.PAGE.name}")
    chosen = parser.parse_args(arguments)
    seed = secrets.randbelow(_SEEDS) if chosen.seed is None else chosen.seed
    print(_command(chosen.mutants, seed, chosen.only), flush=True)
    trial.prepare()
    try:
        areas = [
            scored(area, chosen.mutmut.absolute(), chosen.mutants, seed)
            for area in AREAS
            if not chosen.only or area.name in chosen.only
        ]
    except trial.TrialError as error:
        print(error, file=sys.stderr)
        return 1
    print(page.table(areas))
    if chosen.page:
        kept = page.loaded(page.OUTCOMES.read_text()) if page.OUTCOMES.exists() else []
        page.OUTCOMES.write_text(page.dumped(page.merged(kept, areas)))
        page.PAGE.write_text(page.text(page.loaded(page.OUTCOMES.read_text())))
        print(f"written: {page.PAGE.relative_to(ROOT)}")
    print(f"seed {seed}")
    return 0 if all(each.score >= GOAL for each in areas) else 1


if __name__ == "__main__":
    closed_pipe.run(main)
