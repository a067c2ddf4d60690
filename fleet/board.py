"""The progress of many stacks: a live table on a terminal, a line for each new phase elsewhere."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from components.settings.reading.refusals import PROJECT

WAITING, DONE, FAILED = "waiting", "done", "failed"
_SIGNS = {
    "create": "+",
    "update": "~",
    "replace": "±",
    "create-replacement": "±",
    "delete": "-",
    "import": "+",
}
_STYLES = {FAILED: "red", DONE: "green", WAITING: "dim"}
_RUNNING_STYLE = "bold"
_REFRESHES_PER_SECOND = 5.0


@dataclass
class Row:
    """One stack's line. `begun`, `ended`: seconds of time.monotonic."""

    stack: str
    phase: str = WAITING
    changes: dict[str, int] = field(default_factory=dict)
    error: str = ""
    begun: float | None = None
    ended: float | None = None

    def seconds(self, now: float) -> float:
        return 0.0 if self.begun is None else (self.ended or now) - self.begun

    @property
    def counts(self) -> str:
        """The changes: +12 ~1."""
        return " ".join(f"{sign}{count}" for sign, count in self.changes.items())

    def receive(self, event: Mapping[str, Any]) -> None:
        """Takes from an event of the engine what it says of changes and errors."""
        if "resourcePreEvent" in event:
            step = event["resourcePreEvent"]["metadata"]
            sign = _SIGNS.get(step["op"])
            # Components and providers are left out: nothing outside the state is behind them.
            is_custom = (step.get("new") or step.get("old") or {}).get("custom")
            if sign and is_custom and not step["type"].startswith("pulumi:"):
                self.changes[sign] = self.changes.get(sign, 0) + 1
        elif event.get("diagnosticEvent", {}).get("severity") == "error":
            message = event["diagnosticEvent"]["message"]
            # The refusal comes first, and then that the program ended with an exit code.
            if not _REFUSED.search(self.error):
                self.error = _refused(message) or _first_line(message)
        elif event.get("policyEvent", {}).get("enforcementLevel") == "mandatory":
            violation = event["policyEvent"]
            self.error = f"{violation['policyName']}: {_first_line(violation['message'])}"


_REFUSED = re.compile(r"^refused: ")
_KEY = re.compile(rf"^{re.escape(PROJECT)}:(\S+) = (.*)$", re.MULTILINE)


def _refused(text: str) -> str:
    """The first setting that a text refuses, with its value, and how many more; or nothing."""
    keys = _KEY.findall(text)
    if not keys:
        return ""
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return f"refused: {keys[0][0]} = {keys[0][1]}{more}"


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0].removeprefix("error: ")


class Board:
    """Shows rows until it is left; safe to be called from several threads.

    `quiet`: it only keeps them.
    """

    def __init__(
        self,
        title: str,
        names: Sequence[str],
        to: TextIO | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self.rows = {name: Row(name) for name in names}
        self._title = title
        self._stream = to or sys.stdout
        self._lock = threading.RLock()
        self._begun = time.monotonic()
        self._console = Console(file=self._stream)
        self._live: Live | None = None
        self._quiet = quiet
        if quiet:
            return
        # The console's own answer is not asked for: it says yes where a CI sets FORCE_COLOR.
        if self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            self._live = Live(
                console=self._console,
                get_renderable=self._rendered,
                refresh_per_second=_REFRESHES_PER_SECOND,
            )

    def __enter__(self) -> Board:
        if self._live:
            self._live.start(refresh=True)
        elif not self._quiet:
            print(self._title, file=self._stream, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def phase(self, stack: str, phase: str, *, error: str = "") -> None:
        """A stack enters a phase; a new phase counts its changes anew, the last one keeps them."""
        with self._lock:
            row, now = self.rows[stack], time.monotonic()
            row.begun = row.begun or now
            row.phase = phase
            if phase in (DONE, FAILED):
                row.ended = now
                if phase == DONE:
                    row.error = ""
                elif not _REFUSED.search(row.error):
                    row.error = _refused(error) or _first_line(error) or row.error
            else:
                row.changes = {}
            if not self._live and not self._quiet:
                parts = [f"{stack}: {phase}", row.counts, f"{row.seconds(now):.1f} s", row.error]
                print("  ".join(part for part in parts if part), file=self._stream, flush=True)

    def receive(self, stack: str, event: Mapping[str, Any]) -> None:
        """Takes an event of the engine that works on a stack."""
        with self._lock:
            self.rows[stack].receive(event)

    def _rendered(self) -> Group:
        with self._lock:
            return render(
                self._title,
                list(self.rows.values()),
                now=time.monotonic(),
                begun=self._begun,
                height=self._console.height - 1,
            )


def render(title: str, rows: Sequence[Row], *, now: float, begun: float, height: int) -> Group:
    """The table below its title, at most `height` lines; a row never takes more than one."""
    phases = [row.phase if row.phase in (WAITING, DONE, FAILED) else "running" for row in rows]
    counts = [f"{phases.count(phase)} {phase}" for phase in (WAITING, "running", DONE, FAILED)]
    room = max(height - 2, 1)
    shown = rows if len(rows) <= room else sorted(rows, key=_rank)[:room]
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "left", "right"):
        table.add_column(no_wrap=True, justify=justify)
    table.add_column()  # the error: alone not no_wrap, so that it alone gives way to the others
    for row in rows:
        if row in shown:
            age = f"{row.seconds(now):.1f} s" if row.begun is not None else ""
            cells = map(_line, (f"  {row.stack}", row.phase, row.counts, age, row.error))
            table.add_row(*cells, style=_STYLES.get(row.phase, _RUNNING_STYLE))
    lines = [f"{title}  {', '.join(counts)}  {now - begun:.0f} s"]
    if len(shown) < len(rows):
        lines.append(f"  … and {len(rows) - len(shown)} more")
    head, *rest = map(_line, lines)
    return Group(head, table, *rest)


def _line(text: str) -> Text:
    """One line, cut off where there is no room. In a plain str rich reads "[x]" as a style."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _rank(row: Row) -> int:
    """Failed and running rows first, then those that wait, then those that are done."""
    return {FAILED: 0, WAITING: 2, DONE: 3}.get(row.phase, 1)
