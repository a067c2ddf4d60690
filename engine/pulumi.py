"""The `pulumi` command run as a process: the only place of the project that does so.

It is the command and not the Automation API, see docs/decisions/0013-the-house.md.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_POLL_SECONDS = 0.25
_GRACE_SECONDS = 60
"""An update that is interrupted finishes what it has begun."""

_RUNNING: set[subprocess.Popen[bytes]] = set()


class EngineError(Exception):
    """Pulumi could not be asked, or it refused; the text is what it said."""


# --event-log is one of the engine's debugging flags.
DEBUG = {"PULUMI_DEBUG_COMMANDS": "1"}

Watch = Callable[[Mapping[str, Any]], None]
"""Called with each of the engine's events as it comes."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A command of pulumi's that ended, and what it wrote."""

    code: int
    output: str
    errors: str
    """Standard error; empty where it was merged into `output`."""


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    watch: Watch | None = None,
    merge: bool = False,
    show: bool = False,
) -> Ran:
    """`pulumi <arguments>` in `folder`, without questions; ended by SIGINT when interrupted.

    `environment` is complete. `watch` gets the event log, for which the environment needs DEBUG.
    `merge` puts both streams into one, in order; `show` does so too and prints them while the
    command runs.
    """
    with tempfile.TemporaryDirectory(prefix="pulumi-run-") as scratch:
        log, out, err = (Path(scratch) / name for name in ("events", "out", "err"))
        logged = [] if watch is None else ["--event-log", str(log)]
        with out.open("wb") as output, err.open("wb") as errors:
            child = subprocess.Popen(
                ["pulumi", *arguments, *logged, "--non-interactive"],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if merge or show else errors,
                # Ctrl-C reaches this process only, and it tells each engine once: at the second
                # signal an engine drops what it is doing.
                start_new_session=True,
            )
            _RUNNING.add(child)
            try:
                _follow(child, log if watch else None, watch, out if show else None)
            finally:
                _end(child)
                _RUNNING.discard(child)
        return Ran(code=child.returncode, output=out.read_text(), errors=err.read_text())


def interrupt() -> None:
    """Tells every engine that runs to finish what it has begun and to end."""
    for child in list(_RUNNING):
        child.send_signal(signal.SIGINT)


def _follow(
    child: subprocess.Popen[bytes], log: Path | None, watch: Watch | None, shown: Path | None
) -> None:
    """Hands on events and output while they are written, until the process has ended."""
    if log is None and shown is None:
        child.wait()
        return
    events, lines = _Tail(log), _Tail(shown)
    while True:
        ended = child.poll() is not None
        for line in events.read():
            assert watch is not None
            watch(json.loads(line))
        for line in lines.read():
            print(f"    {line.decode(errors='replace')}", end="", flush=True)
        if ended:
            return
        time.sleep(_POLL_SECONDS)


class _Tail:
    """The lines of a file that were completed since it was last read; None: never any."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.position = 0

    def read(self) -> list[bytes]:
        if self.file is None or not self.file.exists():
            return []
        with self.file.open("rb") as stream:
            stream.seek(self.position)
            return [*self._whole_lines(stream)]

    def _whole_lines(self, stream: BinaryIO) -> list[bytes]:
        lines = [line for line in stream if line.endswith(b"\n")]
        self.position += sum(map(len, lines))
        return lines


def _end(child: subprocess.Popen[bytes]) -> None:
    """An interrupted engine ends its own children and leaves no lock."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
