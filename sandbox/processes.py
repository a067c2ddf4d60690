"""Background processes that are found again by process id, and ended by nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.processes import born
from sandbox.state import State


class SandboxError(Exception):
    """Something of the sandbox did not come up; the text names the log to look into."""


@dataclass(frozen=True)
class Process:
    """A process that was started; `born` tells it from a later one of the same id."""

    name: str
    pid: int
    born: str
    log: str

    @property
    def alive(self) -> bool:
        return born(self.pid) == self.born


class _Detached(subprocess.Popen[bytes]):
    """A process that outlives whoever started it, so dropping its handle is no mistake."""

    def __del__(self, *_: object) -> None:
        pass


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    """Whether somebody listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(
    state: State,
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    ready: Callable[[], bool],
    seconds: float = 60,
) -> Process:
    """Starts `command` in a session of its own and waits until `ready`. Raises SandboxError."""
    running = find(state, name)
    if running is not None and running.alive:
        return running
    log = state.path("logs", f"{name}.log")
    with log.open("ab") as output:
        child = _Detached(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=state.folder,
            start_new_session=True,
        )
    process = Process(name=name, pid=child.pid, born=born(child.pid) or "", log=str(log))
    state.save(f"run/{name}.json", asdict(process))
    deadline = time.monotonic() + seconds
    while not ready():
        if child.poll() is not None:
            raise SandboxError(f"{name} ended with {child.returncode}:\n{tail(log)}\n  log: {log}")
        if time.monotonic() > deadline:
            raise SandboxError(
                f"{name} is not ready after {seconds:.0f} s:\n{tail(log)}\n  log: {log}"
            )
        time.sleep(0.05)
    return process


def find(state: State, name: str) -> Process | None:
    """What was last started under `name`, alive or not."""
    kept = state.load(f"run/{name}.json")
    return Process(**kept) if kept else None


def started(state: State) -> list[Process]:
    """All that was started and not stopped, in the order of their names."""
    folder = state.folder / "run"
    names = sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
    return [process for name in names if (process := find(state, name)) is not None]


def stop(state: State, process: Process, *, seconds: float = 15) -> None:
    """Ends a process and the session it leads: first asked, after `seconds` forced."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not process.alive:
            break
        os.killpg(process.pid, number)
        deadline = time.monotonic() + seconds
        while process.alive and time.monotonic() < deadline:
            _reap(process.pid)
            time.sleep(0.05)
    (state.folder / "run" / f"{process.name}.json").unlink(missing_ok=True)


def stop_left_plugins(state: State) -> list[str]:
    """Ends the plugins that engines of this sandbox started and, killed themselves, left behind.

    The official Kubernetes provider outlives an engine that was killed. Their names.
    """
    ended: list[str] = []
    started_from = os.fsencode(state.folder / "pulumi-home")
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            command = (entry / "cmdline").read_bytes().partition(b"\0")[0]
            if command.startswith(started_from + b"/"):
                os.kill(int(entry.name), signal.SIGKILL)
                ended.append(Path(os.fsdecode(command)).name)
    return ended


def _reap(pid: int) -> None:
    # Somebody else's child is reaped by its parent.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented."""
    text = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
    return "\n".join(f"  | {line}" for line in text)
