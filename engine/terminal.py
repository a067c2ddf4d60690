"""Progress that a person can follow: step k of n, what is being done, how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """Numbers the steps of one command and times them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.begun = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Announces a step; a text appended to the yielded list is shown as its result."""
        self.done += 1
        print(f"[{self.done}/{self.total}] {what} …", flush=True)
        begun = time.monotonic()
        told: list[str] = []
        yield told
        words = f": {told[-1]}" if told else ""
        print(f"      {self._took(begun)}{words}", flush=True)

    def finish(self, what: str) -> None:
        print(f"{what} in {self._took(self.begun)}.", flush=True)

    @staticmethod
    def _took(since: float) -> str:
        seconds = time.monotonic() - since
        return (
            f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
        )


def fail(text: str) -> int:
    """Prints an error as people expect it; the exit code of a failed command."""
    print(f"error: {text}", file=sys.stderr)
    return 1
