"""Parts that end are started again, but one that was killed only when its time has come."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaos import parts
from engine.processes import born


class Sleeping:
    """Stands for a sandbox: each part is a process that sleeps."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for name in parts.NAMES:
            self.start(name)

    def start(self, name: str) -> None:
        self.started.append(name)
        self.running[name] = parts.processes.Detached(["sleep", "60"])

    def pid(self, name: str) -> int | None:
        number = self.running[name].pid
        return number if born(number) is not None else None

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sleeping]:
    monkeypatch.setattr(parts, "_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(parts, "pid", lambda made, name: made.pid(name))
    monkeypatch.setattr(parts, "_command", lambda *_: [])
    monkeypatch.setattr(parts.Keeper, "_start", lambda keeper, name: keeper._sandbox.start(name))
    with contextlib.closing(Sleeping()) as made:
        made.started.clear()
        yield made


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("name", ["kube-controller-manager", "kyverno"])
def test_a_part_that_ended_by_itself_is_started_again(sandbox: Sleeping, name: str) -> None:
    given: Any = sandbox
    with contextlib.closing(parts.Keeper(given)):
        sandbox.running[name].kill()
        sandbox.running[name].wait()
        assert eventually(lambda: sandbox.started == [name])
        assert eventually(lambda: sandbox.pid(name) is not None)


def test_a_part_that_was_killed_is_started_when_its_time_has_come(sandbox: Sleeping) -> None:
    given: Any = sandbox
    with contextlib.closing(parts.Keeper(given)) as keeper:
        ended = keeper.kill("etcd")
        time.sleep(0.2)
        assert sandbox.started == []
        ended.again()
        assert sandbox.started == ["etcd"]
    # Nobody starts anything again afterwards.
    sandbox.running["etcd"].kill()
    sandbox.running["etcd"].wait()
    time.sleep(0.2)
    assert sandbox.started == ["etcd"]


def test_what_does_not_run_cannot_be_killed(sandbox: Sleeping) -> None:
    given: Any = sandbox
    with contextlib.closing(parts.Keeper(given)) as keeper:
        first = keeper.kill("etcd")
        with pytest.raises(parts.processes.SandboxError, match="etcd does not run"):
            keeper.kill("etcd")
        first.again()
