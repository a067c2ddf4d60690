"""Runs a function in a process of its own, for so long and no longer."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RAISED: Final = 99
"""The code of a function that raised."""


@dataclass(frozen=True)
class Ended:
    """`code`: what the function returned, or RAISED; None if its time was over; negative if a
    signal ended it. `cpu` in seconds."""

    code: int | None
    cpu: float
    output: str


def forked(run: Callable[[], int], output: Path, *, cpu: float, wall: float) -> Ended:
    """Runs it in a fork of this process, which leads a group that ends with it. `output` is the
    file for what it prints; `cpu` and `wall` are limits in seconds."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = RAISED
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 10))
            opened = os.open(output, os.O_CREAT | os.O_WRONLY)
            os.dup2(opened, 1)
            os.dup2(opened, 2)
            sys.stdout = sys.stderr = os.fdopen(opened, "w")
            code = run()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    status, used = _awaited(child, time.monotonic() + wall)
    if status == -signal.SIGXCPU:
        status = None
    return Ended(status, used, output.read_text(errors="replace") if output.exists() else "")


def _awaited(child: int, deadline: float) -> tuple[int | None, float]:
    is_late = False
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline and not is_late:
            is_late = True
            _end_group(child)
        time.sleep(0.005)
    _end_group(child)
    code = None if is_late else os.waitstatus_to_exitcode(status)
    return code, usage.ru_utime + usage.ru_stime


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
