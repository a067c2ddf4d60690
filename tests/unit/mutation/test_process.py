"""A run in a process of its own ends in time, and takes with it what it started."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mutation.process import forked


@pytest.mark.parametrize(
    ("run", "code"),
    [(lambda: 3, 3), (lambda: 1 // 0, 99), (lambda: time.sleep(60), None)],
    ids=["ends", "raises", "hangs"],
)
def test_a_run_ends_in_time(run: Callable[[], int], code: int | None, tmp_path: Path) -> None:
    assert forked(run, tmp_path / "output", cpu=60, wall=1 if code is None else 60).code == code


def test_a_run_that_takes_too_much_processor_time_is_ended(tmp_path: Path) -> None:
    def run() -> int:
        while True:
            pass

    ended = forked(run, tmp_path / "output", cpu=0.1, wall=120)
    assert ended.code is None
    assert ended.cpu > 0.5  # the limit of one second is counted in ticks, the usage is not


def test_what_a_run_started_ends_with_it(tmp_path: Path) -> None:
    def run() -> int:
        child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
        os.write(1, str(child).encode())
        return 0

    status = Path("/proc") / forked(run, tmp_path / "output", cpu=60, wall=60).output / "stat"
    deadline = time.monotonic() + 10
    while status.exists() and " Z " not in status.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
