"""Time and memory of the fleet's preview: what a stack costs beside few others and beside many.

Generates that many Sovereigns in a scratch project, and previews them with the real engine and the
policy pack.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import page
from benchmarks.measuring import Sampler
from benchmarks.page import Goal, Section
from benchmarks.sandboxed import Session
from engine import scratch, stacks, tools
from engine import workplace as engine
from engine.project import ROOT
from fleet import run as fleet
from fleet import scaffold
from fleet.board import Board


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run. `peak`: MiB of resident memory of this process and all its descendants."""

    stacks: int
    seconds: float
    peak: float
    failed: int

    @property
    def each(self) -> float:
        return self.seconds / self.stacks


def project(folder: Path, count: int) -> list[str]:
    """A copy of the project with so many Sovereigns and no others; their names."""
    for name in scratch.LINKED:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    names = [f"sovereign-{number:03d}" for number in range(1, count + 1)]
    for name in names:
        request = scaffold.Request(name=name, fqdn=f"{name}.example.org", values={"region": "fsn1"})
        text = scaffold.text(request)
        stacks.file_of(name, folder).write_text(text)
    return names


def measured(count: int, parallel: int, environment: dict[str, str]) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        names = project(Path(folder), count)
        before = engine.ROOT, scratch.ROOT
        engine.ROOT = scratch.ROOT = Path(folder)
        begun = time.monotonic()
        with Sampler() as sampler, Board("", names, io.StringIO()) as board:
            try:
                outcomes = fleet.run(
                    "preview", names, parallel=parallel, board=board, environment=environment
                )
            finally:
                engine.ROOT, scratch.ROOT = before
        return Measurement(
            stacks=count,
            seconds=time.monotonic() - begun,
            peak=sampler.peak,
            failed=sum(not outcome.ok for outcome in outcomes),
        )


def measure(session: Session) -> Section:
    """A row for each number of stacks. Raises RuntimeError if a preview failed."""
    counts = (1, 5) if session.quick else (1, 5, 20, 50)
    parallel = os.cpu_count() or 1
    environment = tools.tools_environment()
    for name in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN"):
        environment.pop(name, None)
    rows = {count: measured(count, parallel, environment) for count in counts}
    if any(row.failed for row in rows.values()):
        raise RuntimeError(f"previews failed: {rows}")
    few, many = rows[5], rows[counts[-1]]
    return Section(
        command="make bench ONLY=fleet",
        body=page.table(
            ["Sovereigns", "at a time", "seconds", "seconds per Sovereign", "peak memory"],
            [
                [
                    *(str(count), str(min(count, parallel)), f"{row.seconds:.1f}"),
                    *(f"{row.each:.2f}", f"{row.peak:.0f} MiB"),
                ]
                for count, row in rows.items()
            ],
        ),
        goals=[
            Goal(
                what=f"time per Sovereign at {many.stacks}, of that at 5",
                measured=many.each / few.each,
                at_most=1.1,
            ),
            Goal(
                what=f"peak memory at {many.stacks}, of that at 5",
                measured=many.peak / few.peak,
                at_most=1.1,
            ),
        ],
    )
