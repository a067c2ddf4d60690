"""What runs have told, one after the other in one file: a long run may be made of several."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.attempt import Tried
from chaos.page import Run


def added(file: Path | None, run: Run, told: Sequence[Tried]) -> tuple[list[Run], list[Tried]]:
    """Adds a run, with what it told, to the file; all runs that are in it then, and all tries.

    Without a file they are those of this run. Raises ValueError for a file of another shape.
    """
    made, before = read(file) if file is not None and file.exists() else ([], [])
    made, told = [*made, run], [*before, *told]
    if file is not None:
        lines: list[dict[str, Any]] = [
            *({"run": {**asdict(each), "date": each.date.isoformat()}} for each in made),
            *({"tried": asdict(each)} for each in told),
        ]
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return made, told


def read(file: Path) -> tuple[list[Run], list[Tried]]:
    """The runs and the tries of a file. Raises ValueError for one of another shape."""
    made: list[Run] = []
    told: list[Tried] = []
    try:
        for line in file.read_text().splitlines():
            ((kind, fields),) = json.loads(line).items()
            if kind == "run":
                made.append(Run(**{**fields, "date": dt.date.fromisoformat(fields["date"])}))
            else:
                told.append(Tried(**{**fields, "problems": tuple(fields["problems"])}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is no record of faults: {error}") from None
    return made, told
