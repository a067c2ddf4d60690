"""Faults that a test injects, and the log of the calls that it reads."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any

KINDS = ("429", "500", "empty 500", "502", "503", "401", "reset before", "reset after", "delay")


@dataclass(frozen=True)
class Fault:
    """A fault at the `at`-th call (from 1) of those that match, and at the `times - 1` after it.

    `kind` is one of KINDS. "401" is what a Harbor without its database answers. "reset before"
    ends the connection before the work is done, "reset after" when it is done but not answered.
    `seconds` is the length of a delay, and what a 429 names as Retry-After. `method` and `path` are
    regular expressions over the whole word; the path begins below /api/v2.0.
    """

    kind: str
    at: int = 1
    times: int = 1
    method: str = ".*"
    path: str = ".*"
    seconds: float = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault {self.kind!r}: one of {', '.join(KINDS)}")

    def concerns(self, method: str, path: str) -> bool:
        return bool(re.fullmatch(self.method, method) and re.fullmatch(self.path, path))


@dataclass(frozen=True)
class Seen:
    """One call: the whole path with its query, who asked ("" for nobody), the status (0: none)."""

    method: str
    path: str
    who: str
    status: int


@dataclass
class Faults:
    """What is injected, and what was seen."""

    _planned: list[tuple[Fault, list[int]]] = field(default_factory=list[Any])
    _seen: list[Seen] = field(default_factory=list[Seen])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, *faults: Fault) -> None:
        """Forgets the faults planned before, and plans these. No fault: everything works."""
        with self._lock:
            self._planned = [(fault, [0]) for fault in faults]

    def at(self, method: str, path: str) -> list[Fault]:
        """The faults of this call, which is counted."""
        due: list[Fault] = []
        with self._lock:
            for fault, count in self._planned:
                if fault.concerns(method, path):
                    count[0] += 1
                    if fault.at <= count[0] < fault.at + fault.times:
                        due.append(fault)
        return due

    def saw(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)

    def calls(self, *, forget: bool = False) -> list[Seen]:
        """The calls so far, in the order of their answers."""
        with self._lock:
            calls = list(self._seen)
            if forget:
                self._seen.clear()
        return calls
