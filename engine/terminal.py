"""Progress that a person can follow: step k of n, what is being done, how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO


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


class Counter:
    """What is counted while a step runs: one line on a terminal, elsewhere one now and then."""

    SECONDS = 15.0

    def __init__(self, what: str, to: TextIO | None = None) -> None:
        self.what = what
        self.count = 0
        self._stream = to or sys.stdout
        self._in_place = self._stream.isatty()
        self._told = time.monotonic()

    def add(self, name: str) -> None:
        """One more, and its name."""
        self.count += 1
        text = f"      {self.count} {self.what}: {name}"
        if self._in_place:
            print(f"\r\033[K{text[:78]}", end="", file=self._stream, flush=True)
        elif time.monotonic() - self._told >= self.SECONDS:
            self._told = time.monotonic()
            print(text, file=self._stream, flush=True)

    def end(self) -> None:
        """Takes the line away again."""
        if self._in_place:
            print("\r\033[K", end="", file=self._stream, flush=True)


def as_text(value: object) -> str:
    """A value of JSON as people write it: no braces, brackets and quotes."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(as_text, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)


def fail(text: str) -> int:
    """Prints an error as people expect it; the exit code of a failed command."""
    print(f"error: {text}", file=sys.stderr)
    return 1
