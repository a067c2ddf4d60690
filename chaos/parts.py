"""Processes of the sandbox that are ended, stopped for a while, and started again, by their ids."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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


_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A part that was killed, and how it is started again."""

    name: str
    again: Callable[[], object]


class Keeper:
    """Starts parts that ended by themselves again until `close`, as a kubelet does.

    Controllers end when they cannot renew their lease: 10 s without an API server are enough.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._commands = {name: _command(sandbox, name) for name in CONTROL_PLANE}
        # Of a part that is ended, or started, at this moment.
        self._locks = {name: threading.Lock() for name in NAMES}
        self._killed: set[str] = set()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(name,), daemon=True) for name in NAMES
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Nothing is started again from now on."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def kill(self, name: str) -> Ended:
        """Ends a part by SIGKILL, until `again`. Raises SandboxError when it does not run."""
        with self._locks[name]:
            number = pid(self._sandbox, name)
            if number is None:
                raise processes.SandboxError(f"{name} does not run")
            self._killed.add(name)
            birth = born(number)
            os.kill(number, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(number, 0)
            wait_until(lambda: born(number) != birth, seconds=10, pause=0.01)
        return Ended(name=name, again=partial(self._again, name))

    def _again(self, name: str) -> None:
        with self._locks[name]:
            self._killed.discard(name)
            self._start(name)

    def _keep(self, name: str) -> None:
        while not self._closed.wait(_PAUSE_SECONDS):
            with self._locks[name]:
                if name in self._killed or pid(self._sandbox, name) is not None:
                    continue
                # They ask the API server before they start.
                if name in _CONTROLLERS and pid(self._sandbox, "kube-apiserver") is None:
                    continue
                with contextlib.suppress(processes.SandboxError):
                    self._start(name)

    def _start(self, name: str) -> None:
        if name in _CONTROLLERS:
            _CONTROLLERS[name](self._sandbox)
        else:
            _start_like(self._sandbox.state, name, self._commands[name])


def pid(sandbox: Sandbox, name: str) -> int | None:
    """The id of a part's process; None when it does not run."""
    if name in CONTROL_PLANE:
        return cluster.pids(sandbox.state).get(name)
    running = processes.find(sandbox.state, name)
    return running.pid if running is not None and running.alive else None


def _command(sandbox: Sandbox, name: str) -> list[str]:
    """The command line of a part that runs. Raises SandboxError when it does not."""
    number = pid(sandbox, name)
    if number is None:
        raise processes.SandboxError(f"{name} does not run")
    command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")[:-1]
    return [os.fsdecode(part) for part in command]


def _start_like(state: State, name: str, command: list[str]) -> None:
    """Starts one process of the control plane as kwokctl had started it, while the others run."""
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


def all_answer(sandbox: Sandbox, *, seconds: float = 120) -> None:
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
