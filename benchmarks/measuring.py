"""What a command costs: wall time, processor time and memory of it and of all its descendants.

Processor time is the better figure on a machine that does other work at the same time. It is exact:
the kernel adds up what each process used when its parent waits for it, and this process waits for
those whose parents ended before them (PR_SET_CHILD_SUBREAPER, prctl(2)). What single processes
used is read from /proc every few milliseconds, so their last moments are missing there.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import os
import platform
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sandbox.waiting import wait_until

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 0.05
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 10.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run used. Times in seconds, `peak` in MiB of resident memory.

    Pages that several processes share count several times in `peak`.
    """

    wall: float
    processor: float
    peak: float
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    """Processor seconds by the kind of process (`kind_of`), as sampled."""

    def of(self, kinds: Iterable[str]) -> float:
        """Processor seconds of these kinds."""
        return sum(self.parts.get(kind, 0.0) for kind in kinds)

    def without(self, kinds: Iterable[str]) -> float:
        """Processor seconds of all others."""
        return self.processor - self.of(kinds)


STAND_INS = ("stand-in for language-python", "stand-in for random", "stand-in for tls")
"""Kinds of processes that are there only where official plugins are not. The stand-in of dynamic
providers is not among them: the official one runs the same code in a Python of its own, too."""

DYNAMIC = "dynamic providers"


def kind_of(command: Sequence[str]) -> str:
    """What a process is, by its command line: a name for the tables. Pure."""
    words = [*command, "", ""]
    name = Path(words[0]).name
    if "offline.plugins" in words:
        kind = words[words.index("offline.plugins") + 1]
        names = {"dynamic": DYNAMIC, "language": "stand-in for language-python"}
        return names.get(kind, f"stand-in for {kind}")
    if any(word.endswith("pulumi-language-python-exec") for word in words):
        return "program"
    if "components.registry.plugin" in words:
        return "plugin sovereign-registry"
    if "pulumi.policy" in words:
        return "policy pack"
    if name in ("pulumi", "kubectl", "helm"):
        return name
    if name == "pulumi-resource-kubernetes":
        return "provider kubernetes"
    return "other"


@dataclass
class _Seen:
    """A descendant, as it was last seen."""

    command: list[str]
    processor: float


class Sampler:
    """Follows, while entered, the children that this process gets and all below them.

    Also those that lose their parent, if this process adopts them.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        self.seen: dict[int, _Seen] = {}
        self._foreign: set[int] = set()
        self._over = threading.Event()
        self._looks = threading.Lock()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Sampler:
        self._foreign = set(_pids())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def parts(self) -> dict[str, float]:
        """Processor seconds by kind."""
        parts: dict[str, float] = {}
        for seen in self.seen.values():
            kind = kind_of(seen.command)
            parts[kind] = parts.get(kind, 0.0) + seen.processor
        return parts

    def look(self) -> None:
        """Looks at all processes once."""
        with self._looks:
            self.peak = max(self.peak, self._sample() / 1024**2)

    def _follow(self) -> None:
        while True:
            self.look()
            if self._over.wait(_SAMPLE_SECONDS):
                return

    def _sample(self) -> int:
        """Bytes of resident memory of all that are followed."""
        memory = 0
        # In order: a parent has the lower number, unless the numbers began anew.
        for pid in sorted(_pids()):
            if pid in self._foreign:
                continue
            with suppress(OSError, ValueError, IndexError):  # ended meanwhile
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                parent = int(stat[1])
                if not {pid, parent} & self.seen.keys() and parent != os.getpid():
                    self._foreign.add(pid)
                    continue
                used = (int(stat[11]) + int(stat[12])) / _TICKS
                command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
                before = self.seen.get(pid)
                words = command.rstrip("\0").split("\0") if command else []
                self.seen[pid] = _Seen(words or (before.command if before else []), used)
                memory += int(stat[21]) * _PAGE
        return memory


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    check: bool = True,
) -> Cost:
    """Runs a command and says what it cost. Raises CalledProcessError, with its output."""
    with _adopting(), Sampler() as sampler:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.monotonic()
        child = subprocess.Popen(
            command,
            env=None if environment is None else dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = child.communicate()
        wall = time.monotonic() - begun
        _wait_for_orphans(sampler, child.pid)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if check and child.returncode != 0:
        raise subprocess.CalledProcessError(child.returncode, command, output.decode())
    return Cost(
        wall=wall,
        processor=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        peak=sampler.peak,
        parts=sampler.parts,
    )


@contextmanager
def _adopting() -> Iterator[None]:
    """While entered, descendants that lose their parent become children of this process."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _wait_for_orphans(sampler: Sampler, child: int) -> None:
    """Waits for what the command left behind; plugins end a moment after their engine."""
    sampler.look()  # What the thread has not seen yet is a child of this process by now.

    def has_ended(pid: int) -> bool:
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            return True  # its own parent waited for it

    ended = {child}

    def all_have() -> bool:
        ended.update(pid for pid in [*sampler.seen] if pid not in ended and has_ended(pid))
        return ended >= sampler.seen.keys()

    wait_until(all_have, seconds=_GRACE_SECONDS, pause=0.02)


def alternating(
    first: Callable[[], T], second: Callable[[], T], *, pairs: int
) -> tuple[list[T], list[T]]:
    """Both, one after the other, so many times: other work on the machine meets both alike."""
    firsts: list[T] = []
    seconds: list[T] = []
    for _ in range(pairs):
        firsts.append(first())
        seconds.append(second())
    return firsts, seconds


def median(costs: Sequence[Cost]) -> Cost:
    """Medians of each figure; of the peak, the highest. Raises StatisticsError for none."""
    kinds = {kind for cost in costs for kind in cost.parts}
    return Cost(
        wall=statistics.median(cost.wall for cost in costs),
        processor=statistics.median(cost.processor for cost in costs),
        peak=max(cost.peak for cost in costs),
        parts={
            kind: statistics.median(cost.parts.get(kind, 0.0) for cost in costs)
            for kind in sorted(kinds)
        },
    )


def machine() -> str:
    """One line of Markdown: when and on what it was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    memory = os.sysconf("SC_PHYS_PAGES") * _PAGE / 1024**3
    load = os.getloadavg()[0]
    now = dt.datetime.now(dt.UTC)
    return (
        f"{now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} processors ({model}), {memory:.0f} GiB, "
        f"Python {platform.python_version()}, load {load:.1f} at the end"
    )
