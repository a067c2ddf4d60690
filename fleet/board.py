"""Who is how far: a live board on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

WAITING, DONE, FAILED = "waiting", "done", "failed"
_OPS = {
    "create": "+",
    "update": "~",
    "replace": "±",
    "create-replacement": "±",
    "delete": "-",
    "import": "+",
}
_COLOURS = {FAILED: "31", DONE: "32", WAITING: "2"}
_REDRAW_SECONDS = 0.2


@dataclass
class Row:
    """One stack's line."""

    stack: str
    phase: str = WAITING
    changes: dict[str, int] = field(default_factory=dict)
    error: str = ""
    begun: float | None = None
    ended: float | None = None

    def seconds(self, now: float) -> float:
        return 0.0 if self.begun is None else (self.ended or now) - self.begun

    def told(self) -> str:
        """Its changes: +12 ~1."""
        return " ".join(f"{sign}{count}" for sign, count in self.changes.items())

    def take(self, event: Mapping[str, Any]) -> None:
        """What an event of the engine changes about it."""
        if "resourcePreEvent" in event:
            data = event["resourcePreEvent"]["metadata"]
            sign = _OPS.get(data["op"])
            is_thing = (data.get("new") or data.get("old") or {}).get("custom")
            if sign and is_thing and not data["type"].startswith("pulumi:"):
                self.changes[sign] = self.changes.get(sign, 0) + 1
        elif event.get("diagnosticEvent", {}).get("severity") == "error":
            self.error = _first_line(event["diagnosticEvent"]["message"])
        elif event.get("policyEvent", {}).get("enforcementLevel") == "mandatory":
            found = event["policyEvent"]
            self.error = f"{found['policyName']}: {_first_line(found['message'])}"


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0].removeprefix("error: ")


class Board:
    """Shows rows until it is left; safe to be called from several threads."""

    def __init__(self, title: str, names: Sequence[str], to: TextIO | None = None) -> None:
        self.rows = {name: Row(name) for name in names}
        self._title = title
        self._stream = to or sys.stdout
        self._is_live = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._lock = threading.RLock()
        self._drawn = 0
        self._begun = time.monotonic()
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._repaint, daemon=True)

    def __enter__(self) -> Board:
        if self._is_live:
            self._painter.start()
        else:
            print(self._title, file=self._stream, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._is_live:
            self._painter.join()
            self._paint()

    def phase(self, stack: str, phase: str, *, error: str = "") -> None:
        """A stack enters a phase; a new phase counts its changes anew, the last one keeps them."""
        with self._lock:
            row, now = self.rows[stack], time.monotonic()
            row.begun = row.begun or now
            row.phase = phase
            if phase in (DONE, FAILED):
                row.ended = now
                row.error = _first_line(error) or row.error if phase == FAILED else ""
            else:
                row.changes = {}
            if not self._is_live:
                parts = [f"{stack}: {phase}", row.told(), f"{row.seconds(now):.1f} s", row.error]
                print("  ".join(part for part in parts if part), file=self._stream, flush=True)

    def take(self, stack: str, event: Mapping[str, Any]) -> None:
        """Hands on an event of the engine."""
        with self._lock:
            self.rows[stack].take(event)

    def _repaint(self) -> None:
        while not self._over.wait(_REDRAW_SECONDS):
            self._paint()

    def _paint(self) -> None:
        with self._lock:
            size = shutil.get_terminal_size()
            lines = render(
                self._title,
                list(self.rows.values()),
                now=time.monotonic(),
                begun=self._begun,
                width=size.columns,
                height=size.lines - 1,
                is_coloured="NO_COLOR" not in os.environ,
            )
            up = f"\x1b[{self._drawn}F" if self._drawn else ""
            self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[0J")
            self._stream.flush()
            self._drawn = len(lines)


def render(
    title: str,
    rows: Sequence[Row],
    *,
    now: float,
    begun: float,
    width: int,
    height: int,
    is_coloured: bool,
) -> list[str]:
    """The board as lines no longer than `width`, at most `height` of them."""
    counts = [
        f"{sum(test(row) for row in rows)} {word}"
        for word, test in (
            ("waiting", lambda row: row.phase == WAITING),
            ("running", lambda row: row.phase not in (WAITING, DONE, FAILED)),
            ("done", lambda row: row.phase == DONE),
            ("failed", lambda row: row.phase == FAILED),
        )
    ]
    head = f"{title}  {', '.join(counts)}  {now - begun:.0f} s"
    room = max(height - 2, 1)
    shown = list(rows) if len(rows) <= room else sorted(rows, key=_interest)[:room]
    shown = [row for row in rows if row in shown]
    name = max([len(row.stack) for row in rows] + [5])
    phase = max([len(row.phase) for row in rows] + [7])
    changes = max([len(row.told()) for row in rows] + [8])
    lines = [head[:width]]
    for row in shown:
        elapsed = f"{row.seconds(now):6.1f} s" if row.begun is not None else " " * 8
        left = f"  {row.stack:<{name}}  {row.phase:<{phase}}  {row.told():<{changes}}  {elapsed}"
        line = f"{left}  {row.error}".rstrip()
        if len(line) > width:
            line = line[: width - 1] + "…"
        colour = _COLOURS.get(row.phase, "1")
        lines.append(f"\x1b[{colour}m{line}\x1b[0m" if is_coloured else line)
    if len(shown) < len(rows):
        lines.append(f"  … and {len(rows) - len(shown)} more"[:width])
    return lines


def _interest(row: Row) -> int:
    """Failed and running ones first, then those to come, then those that are over."""
    order = {FAILED: 0, WAITING: 2, DONE: 3}
    return order.get(row.phase, 1)
