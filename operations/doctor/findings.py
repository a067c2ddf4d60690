"""What was read, and what a check says of it. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from components.settings.model import Settings

State = Literal["ok", "warning", "ill", "unknown"]
STATES: Final[tuple[State, ...]] = ("ill", "warning", "unknown", "ok")
"""The worst first. `unknown`: what a check needs was not read."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check says. `command`: mends it or shows more; "" where nothing is to be done."""

    check: str
    state: State
    what: str
    command: str = ""

    def as_data(self) -> dict[str, str]:
        """For machines: check, state, what, command."""
        return {
            "check": self.check,
            "state": self.state,
            "what": self.what,
            "command": self.command,
        }


class NotRead(Exception):
    """A check needs what was not read; the text says why it was not."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a source gave. `reason`: why it gave nothing; "" where it answered."""

    value: Any = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that was read of a Sovereign. `answers`: by the source's name. `now` in UTC."""

    stack: str
    settings: Settings
    now: dt.datetime
    answers: Mapping[str, Answer]

    def of(self, source: str) -> Any:
        """What a source gave. Raises NotRead."""
        answer = self.answers.get(source, Answer(reason="nobody asked"))
        if answer.reason:
            raise NotRead(answer.reason)
        return answer.value

    @property
    def namespace(self) -> str:
        """Harbor's."""
        return self.settings.harbor.namespace

    @property
    def age(self) -> Age:
        return Age(self.now)


@dataclass(frozen=True)
class Age:
    """Words for how long ago, or how far ahead, a moment is."""

    now: dt.datetime

    def of(self, moment: dt.datetime) -> str:
        """Such as `3 h` or `12 d`, in either direction."""
        return lasting(abs(self.now - moment))


def lasting(time: dt.timedelta) -> str:
    """A length of time in its largest whole unit; hours up to two days."""
    minutes = int(time.total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"


def moment_of(text: Any) -> dt.datetime | None:
    """A time of RFC 3339 in UTC; None for what is none, and for Harbor's year 1, its `never`."""
    try:
        moment = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or dt.UTC).astimezone(dt.UTC)
    return moment if moment.year > 1 else None


def few(names: Iterable[str], most: int = 4) -> str:
    """Names in one line, the first ones and how many there are besides."""
    listed = [*names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def of_two_degrees(
    check: str, *, ill: tuple[str, list[str]], near: tuple[str, list[str]], ok: str, command: str
) -> Iterator[Finding]:
    """`ill` and `near`: what is said, and of which names; `ok` is said where neither has any."""
    degrees: tuple[tuple[State, tuple[str, list[str]]], ...] = (("ill", ill), ("warning", near))
    for state, (what, names) in degrees:
        if names:
            yield Finding(check=check, state=state, what=f"{what}: {few(names)}", command=command)
    if not ill[1] and not near[1]:
        yield Finding(check=check, state="ok", what=ok)


def worst(findings: Iterable[Finding]) -> State:
    """The state of the whole: `ok` without findings. A check that was not made is no illness."""
    states = {finding.state for finding in findings}
    for state in STATES:
        if state in states:
            return state
    return "ok"
