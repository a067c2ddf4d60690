"""Processes of the sandbox that are ended, stopped for a while, and started again, by their ids."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.processes import born
from sandbox import cluster, kyverno, processes, sealing, storage
from sandbox.state import State
from sandbox.waiting import wait_until
from tests.support.sandbox import Sandbox

CONTROL_PLANE: Final = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
)
_CONTROLLERS: Final[dict[str, Callable[[Sandbox], object]]] = {
    storage.NAME: lambda made: storage.start(made.state, made.tools),
    sealing.NAME: lambda made: sealing.start(made.state, made.tools),
    kyverno.NAME: lambda made: kyverno.start_again(made.state, made.tools),
}
NAMES: Final = (*CONTROL_PLANE, *_CONTROLLERS)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A part that was killed, and how it is started again."""

    name: str
    again: Callable[[], object]


def pid(sandbox: Sandbox, name: str) -> int | None:
    """The id of a part's process; None when it does not run."""
    if name in CONTROL_PLANE:
        return cluster.pids(sandbox.state).get(name)
    running = processes.find(sandbox.state, name)
    return running.pid if running is not None and running.alive else None


def kill(sandbox: Sandbox, name: str) -> Ended:
    """Ends a part by SIGKILL. Raises SandboxError when it does not run."""
    number = pid(sandbox, name)
    if number is None:
        raise processes.SandboxError(f"{name} does not run")
    if name in CONTROL_PLANE:
        command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")[:-1]
        again = _started_like(sandbox.state, name, [os.fsdecode(part) for part in command])
    else:
        again = _controller(sandbox, name)
    birth = born(number)
    os.kill(number, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(number, 0)
    wait_until(lambda: born(number) != birth, seconds=10, pause=0.01)
    return Ended(name=name, again=again)


def _controller(sandbox: Sandbox, name: str) -> Callable[[], object]:
    return lambda: _CONTROLLERS[name](sandbox)


def _started_like(state: State, name: str, command: list[str]) -> Callable[[], object]:
    """Starts one process of the control plane as kwokctl had started it, while the others run."""

    def again() -> None:
        folder = cluster.folder(state)
        with (folder / "logs" / f"{name}.log").open("ab") as log:
            child = processes.Detached(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        (folder / "pids" / f"{name}.pid").write_text(str(child.pid))

    return again


def stop(sandbox: Sandbox, name: str) -> int:
    """Stops a part by SIGSTOP: it keeps its connections and answers nothing. Its id."""
    number = pid(sandbox, name)
    if number is None:
        raise processes.SandboxError(f"{name} does not run")
    os.kill(number, signal.SIGSTOP)
    return number


def go_on(number: int) -> None:
    """Lets a stopped process go on."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGCONT)


def all_answer(sandbox: Sandbox, *, seconds: float = 60) -> None:
    """Waits until every part runs and the API server is ready. Raises SandboxError."""

    def answer() -> bool:
        if any(pid(sandbox, name) is None for name in NAMES):
            return False
        return cluster.is_running(sandbox.state, sandbox.tools)

    if not wait_until(answer, seconds=seconds, pause=0.2):
        silent = [name for name in NAMES if pid(sandbox, name) is None]
        raise processes.SandboxError(
            f"not everything runs again after {seconds:.0f} s: {', '.join(silent) or 'not ready'}"
        )
