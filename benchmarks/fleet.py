"""Time and memory of the fleet's preview: python -m benchmarks.fleet [--few 5] [--many 50]

Generates that many Sovereigns in a scratch project, previews them with the real engine and the
policy pack, few first and then many, and prints one line of Markdown for each run.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from engine import scratch, stacks, tools
from engine import workplace as engine
from engine.project import ROOT
from fleet import run as fleet
from fleet import scaffold
from fleet.board import Board

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_SECONDS = 0.2


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


class Memory:
    """Samples the memory of this process and its descendants while it is entered."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Memory:
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sampler.join()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, resident(os.getpid()) / 1024**2)


def resident(root: int) -> int:
    """Bytes of resident memory of a process and all below it. What they share counts each time."""
    parents: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended meanwhile
            parents[int(entry.name)] = int(stat[1])
            sizes[int(entry.name)] = int(stat[21]) * _PAGE

    def is_below(pid: int) -> bool:
        while pid not in (root, 0) and pid in parents:
            pid = parents[pid]
        return pid == root

    return sum(size for pid, size in sizes.items() if is_below(pid))


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


def measure(count: int, parallel: int, environment: dict[str, str]) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        names = project(Path(folder), count)
        engine.ROOT = scratch.ROOT = Path(folder)
        begun = time.monotonic()
        with Memory() as memory, Board("", names, io.StringIO()) as board:
            outcomes = fleet.run(
                "preview", names, parallel=parallel, board=board, environment=environment
            )
        return Measurement(
            stacks=count,
            seconds=time.monotonic() - begun,
            peak=memory.peak,
            failed=sum(not outcome.ok for outcome in outcomes),
        )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    parser.add_argument("--few", type=int, default=5)
    parser.add_argument("--many", type=int, default=50)
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    environment = tools.tools_environment()
    for name in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN"):
        environment.pop(name, None)
    print("| Sovereigns | at a time | seconds | seconds per Sovereign | peak memory | failed |")
    print("|---|---|---|---|---|---|")
    measured: list[Measurement] = []
    for count in (chosen.few, chosen.many):
        measurement = measure(count, chosen.parallel, environment)
        measured.append(measurement)
        print(
            f"| {count} | {chosen.parallel} | {measurement.seconds:.1f} | {measurement.each:.2f} "
            f"| {measurement.peak:.0f} MiB | {measurement.failed} |",
            flush=True,
        )
    few, many = measured
    print(f"\ntime per Sovereign: {many.each / few.each:.2f} times that of {few.stacks}")
    print(f"peak memory: {many.peak / few.peak:.2f} times")
    return int(any(measurement.failed for measurement in measured))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
