"""The page for people, and the same for machines. Pure."""

from __future__ import annotations

import datetime as dt
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from operations.doctor.findings import STATES, Finding, State, worst

_WIDTH: Final = 100
_SAYS: Final[dict[State, str]] = {
    "ill": "ILL",
    "warning": "warning",
    "unknown": "not known",
    "ok": "ok",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the doctor found on one Sovereign, at a moment in UTC, and how long it took."""

    stack: str
    host: str
    at: dt.datetime
    seconds: float
    findings: Sequence[Finding]

    @property
    def state(self) -> State:
        return worst(self.findings)

    def as_json(self) -> str:
        """One object: stack, host, at, seconds, state, checks."""
        told = {
            "stack": self.stack,
            "host": self.host,
            "at": self.at.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "state": self.state,
            "checks": [finding.as_data() for finding in self.findings],
        }
        return json.dumps(told, indent=1, ensure_ascii=False) + "\n"

    def page(self) -> str:
        """One page, the worst first; what is well has a line each."""
        lines = [f"{self.stack}  {self.host}  {self.at:%Y-%m-%d %H:%M} UTC, {self.seconds:.1f} s"]
        for state in STATES:
            chosen = [each for each in self.findings if each.state == state]
            if chosen:
                lines += ["", *(line for each in _merged(chosen) for line in _lines(each))]
        lines += ["", self.summary]
        return "\n".join(lines) + "\n"

    @property
    def summary(self) -> str:
        """One line: how many findings of each state."""
        told: list[str] = []
        for state in STATES:
            if count := sum(each.state == state for each in self.findings):
                told.append(f"{count} {_SAYS[state]}")
        return ", ".join(told)


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that say the same as one, with all their names."""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in findings:
        groups.setdefault((each.what, each.command), []).append(each.check)
    first = {(each.what, each.command): each for each in reversed(findings)}
    return [
        replace(first[key], check=names[0], what=_also(key[0], names[1:]))
        for key, names in groups.items()
    ]


def _also(what: str, others: Sequence[str]) -> str:
    return f"{what}; nor {', '.join(others)}" if others else what


def _lines(finding: Finding) -> list[str]:
    head = f"{_SAYS[finding.state]:<10}{finding.check:<20}"
    body = textwrap.wrap(
        finding.what, _WIDTH - len(head), break_long_words=False, break_on_hyphens=False
    )
    if finding.state == "ok":
        return [head + textwrap.shorten(finding.what, _WIDTH - len(head), placeholder=" …")]
    lines = [head + (body or [""])[0], *(" " * len(head) + line for line in body[1:])]
    # Not wrapped: it is to be copied.
    return [*lines, *([f"{'':30}→ {finding.command}"] if finding.command else [])]
