"""Writes docs/reference/versions.md from components/harbor_lines.py and the toolchain.

    python -m checks.versions_table [--write]

Exit codes: 0 the file is current, or was written; 1 it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from checks import generated
from components import harbor_lines, versions
from components.harbor_lines import Line, harbor_of
from toolchain import closed_pipe
from toolchain.catalogue import TOOLS

TABLE: Final = Path(__file__).parent.parent / "docs" / "reference" / "versions.md"
COMMAND: Final = "python -m checks.versions_table --write"

_INTRODUCTION: Final = f"""\
# Versions

<!-- Written by `{COMMAND}` from components/ and toolchain/. -->

## Harbor

`harbor.chart.version` chooses the version of the chart
[goharbor/harbor-helm](https://github.com/goharbor/harbor-helm), and with it that of Harbor. A stack
that names none has {versions.HARBOR_CHART}; `make sovereign` writes {versions.NEWEST_HARBOR_CHART}
into the file of a new one. [An upgrade](../runbooks/upgrade.md) goes one way, from any chart that
the table names for its line. Other patch versions of a line work alike; other lines are warned of.
"""
_TESTED: Final = """\
## What it is tested with

The real parts among which the tests run the program, and the images that it installs. Operators are
those of the Sovereign's cluster.
"""


def text() -> str:
    """The whole document."""
    return "\n".join(
        [
            _INTRODUCTION,
            _table(("Chart", "Harbor", "Upgrades start from"), map(_line, harbor_lines.LINES)),
            *(_differences(line) for line in harbor_lines.LINES if line.differs),
            _TESTED,
            _table(("Part", "Version"), _parts()),
        ]
    )


def _line(line: Line) -> tuple[str, ...]:
    oldest = f"1.{line.oldest}"
    source = f"chart {oldest} (Harbor {harbor_of(f'{oldest}.0').removesuffix('.0')}) or later"
    return f"{line.chart}", line.harbor, source


def _differences(line: Line) -> str:
    sentences = "\n".join(f"- {sentence}" for sentence in line.differs)
    return f"What is different in {line.chart}:\n\n{sentences}\n"


def _parts() -> Iterator[tuple[str, ...]]:
    for tool in TOOLS:
        yield tool.name, tool.version
    yield "Valkey", versions.VALKEY_IMAGE.rpartition("@")[0].rpartition(":")[2]
    yield "PostgreSQL", versions.POSTGRES_IMAGE.rpartition(":")[2]


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), ""])


def main(arguments: list[str] | None = None) -> int:
    return generated.main(
        arguments,
        description="The table of versions.",
        text=text(),
        file=TABLE,
        of="the pinned versions",
        command=COMMAND,
    )


if __name__ == "__main__":
    closed_pipe.run(main)
