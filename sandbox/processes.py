"""Background processes, recorded by process id in the sandbox's folder and ended by it alone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.processes import born
from sandbox.state import State
from sandbox.waiting import wait_until


class SandboxError(Exception):
    """A part of the sandbox did not start or work; the text names its log where there is one."""


@dataclass(frozen=True)
class Process:
    """A process that was started. `born`: its start time, which a later one of that id has not."""

    name: str
    pid: int
    born: str
    log: str

    @property
    def alive(self) -> bool:
        return born(self.pid) == self.born


class Detached(subprocess.Popen[bytes]):
    """A process that outlives its parent: Popen would warn when its handle is dropped."""

    def __del__(self, *_: object) -> None:
        pass


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and nobody else is given for a minute.

    Sandboxes that start side by side ask for ports at the same time, and their processes listen
    seconds later. A connection that the listening side has closed keeps its port (TIME_WAIT): the
    kernel gives that to nobody who asks for any port. A server that asks for this one gets it, as
    those in Go and in Python do by SO_REUSEADDR.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()
            client.recv(1)
    return port


def answers(port: int) -> bool:
    """Whether a process listens on 127.0.0.1:port."""
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
    seconds: float = 180,
) -> Process:
    """Starts `command` in a session of its own and waits until `ready`. Raises SandboxError."""
    running = find(state, name)
    if running is not None and running.alive:
        return running
    log = state.path("logs", f"{name}.log")
    with log.open("ab") as output:
        child = Detached(
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
    if not wait_until(lambda: ready() or child.poll() is not None, seconds=seconds):
        problem = f"is not ready after {seconds:.0f} s"
    elif child.poll() is not None:
        problem = f"ended with {child.returncode}"
    else:
        return process
    raise SandboxError(f"{name} {problem}:\n{tail(log)}\n  log: {log}")


def find(state: State, name: str) -> Process | None:
    """The process last started under `name`, alive or not."""
    kept = state.load(f"run/{name}.json")
    return Process(**kept) if kept else None


def started(state: State) -> list[Process]:
    """All processes that were started and not stopped, in the order of their names."""
    folder = state.folder / "run"
    names = sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
    return [process for name in names if (process := find(state, name)) is not None]


def stop(state: State, process: Process, *, seconds: float = 15) -> None:
    """Ends a process and its session: by SIGTERM, after `seconds` by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not process.alive:
            break
        with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.killpg(process.pid, number)
        wait_until(lambda: _has_ended(process), seconds=seconds)
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


def _has_ended(process: Process) -> bool:
    # A child of this process stays a zombie until it is waited for; others have parents that do so.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return not process.alive


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented."""
    text = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
    return "\n".join(f"  | {line}" for line in text)
