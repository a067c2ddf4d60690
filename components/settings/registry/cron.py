"""Schedules as a person writes them, and as Harbor takes them. Pure.

Harbor takes cron with six fields, the first of them seconds, which must be 0. It refuses five
fields and `@daily`. It accepts a date that never comes: the request then gets no answer, and
jobservice runs in a loop until somebody restarts it.
"""

import calendar
import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

NEVER: Final = "none"
_WORDS: Final[Mapping[str, str]] = {
    NEVER: "",
    "hourly": "0 0 * * * *",
    "daily": "0 0 0 * * *",
    "weekly": "0 0 0 * * 0",
}
_UNITS: Final[Mapping[str, tuple[int, str]]] = {
    "m": (60, "0 */{} * * * *"),
    "h": (24, "0 0 */{} * * *"),
}
_MONTHS: Final = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS: Final = {
    day: number for number, day in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
}


@dataclass(frozen=True, kw_only=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int]


_FIELDS: Final[Sequence[_Field]] = (
    _Field(name="minutes", low=0, high=59, names={}),
    _Field(name="hours", low=0, high=23, names={}),
    _Field(name="days of the month", low=1, high=31, names={}),
    _Field(name="months", low=1, high=12, names=_MONTHS),
    _Field(name="days of the week", low=0, high=6, names=_DAYS),
)


class NoSchedule(ValueError):
    """A text that is no schedule, with the reason."""


def six_fields(text: str) -> str:
    """Harbor's cron for a schedule of the stack's file; "" for none. Raises NoSchedule."""
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith("every"):
        return _every(text)
    if text.startswith("@"):
        word = text.removeprefix("@")
        meant = f": write {word}" if word in _WORDS else ""
        raise NoSchedule(f"Harbor takes no descriptors{meant}")
    if "=" in text.partition(" ")[0]:
        raise NoSchedule("Harbor's clock is UTC: without a time zone")
    fields = text.split(" ")
    if text != " ".join(text.split()):
        raise NoSchedule("one space between two fields, and none around them")
    if len(fields) == 1:
        raise NoSchedule(f"no schedule is called {text}")
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise NoSchedule(f"five fields, or Harbor's six with seconds first; this has {len(fields)}")
    if fields[0] != "0":
        raise NoSchedule(f"the seconds, the first of six fields, are 0 in Harbor, not {fields[0]}")
    values = [_values(field, text) for field, text in zip(_FIELDS, fields[1:], strict=True)]
    # Cron takes either of two restricted days (github.com/robfig/cron, spec.go): Mondays come
    # although 31 February does not.
    any_weekday = any(re.fullmatch(r"[*?](/0*1)?", part) for part in fields[5].split(","))
    if any_weekday and not _comes(values[2], values[3]):
        raise NoSchedule(
            "a date that never comes: Harbor would accept it and hang until jobservice is restarted"
        )
    return " ".join(fields)


def _every(text: str) -> str:
    match = re.fullmatch(r"every ([0-9]{1,4})([mhd])", text)
    if match is None:
        raise NoSchedule("every is followed by a number of minutes or hours: every 15m, every 6h")
    number, unit = int(match[1]), match[2]
    if unit == "d":
        if number != 1:
            raise NoSchedule("cron knows no number of days; daily, weekly or five fields")
        return _WORDS["daily"]
    whole, pattern = _UNITS[unit]
    if number == whole:
        return _WORDS["hourly" if unit == "m" else "daily"]
    if number == 0 or whole % number:
        divisors = [str(n) for n in range(1, whole + 1) if whole % n == 0]
        raise NoSchedule(
            f"every {number}{unit} does not divide {'an hour' if unit == 'm' else 'a day'}, so "
            f"cron would leave a shorter gap at its end; one of {', '.join(divisors)}"
        )
    return _WORDS["hourly"] if (number, unit) == (1, "h") else pattern.format(number)


def _values(field: _Field, text: str) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        values |= _of_part(field, part)
    return frozenset(values)


def _of_part(field: _Field, part: str) -> set[int]:
    match = re.fullmatch(r"(\*|\?|\w+(?:-\w+)?)(?:/(\d{1,4}))?", part, re.ASCII)
    if match is None:
        raise NoSchedule(f"{part!r} stands for no {field.name}")
    step = 1 if match[2] is None else int(match[2])
    if step == 0:
        raise NoSchedule(f"{part!r} of the {field.name} has the step 0")
    if match[1] in ("*", "?"):
        low, high = field.low, field.high
    else:
        first, _, last = match[1].partition("-")
        low = _number(field, first)
        high = _number(field, last) if last else (low if match[2] is None else field.high)
    if low > high:
        raise NoSchedule(f"{part!r} of the {field.name} ends before it begins")
    return set(range(low, high + 1, step))


def _number(field: _Field, text: str) -> int:
    number = field.names.get(text.upper())
    if number is None and text.isdecimal():
        number = int(text)
    if number is None:
        extra = ": Harbor knows no L" if "L" in text.upper() and not field.names.get(text) else ""
        raise NoSchedule(f"{text!r} stands for no {field.name}{extra}")
    if not field.low <= number <= field.high:
        sunday = "; Sunday is 0" if field.names is _DAYS and number == 7 else ""
        raise NoSchedule(
            f"{number} is not one of the {field.name}, {field.low} to {field.high}{sunday}"
        )
    return number


def _comes(days: frozenset[int], months: frozenset[int]) -> bool:
    """Whether one of the months has one of the days; 2024 is a leap year."""
    return any(min(days) <= calendar.monthrange(2024, month)[1] for month in months)


@dataclass(frozen=True, kw_only=True)
class Starts:
    """When a schedule begins. `minutes`: those of a day, from 0 to 1439."""

    minutes: frozenset[int]
    _days: frozenset[int]
    _months: frozenset[int]
    _weekdays: frozenset[int]
    _either: bool

    def on(self, day: dt.date) -> bool:
        """Whether it begins on that day at all."""
        by_date, by_weekday = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        matches = by_date or by_weekday if self._either else by_date and by_weekday
        return day.month in self._months and matches


def starts(cron: str) -> Starts:
    """When Harbor's six fields begin, as `six_fields` returns them. Raises NoSchedule."""
    fields = cron.split(" ")[1:]
    minutes, hours, days, months, weekdays = (
        _values(field, text) for field, text in zip(_FIELDS, fields, strict=True)
    )
    return Starts(
        minutes=frozenset(60 * hour + minute for hour in hours for minute in minutes),
        _days=days,
        _months=months,
        _weekdays=weekdays,
        # Cron takes either of two restricted days (github.com/robfig/cron, spec.go).
        _either=fields[2][0] not in "*?" and fields[4][0] not in "*?",
    )


def come_within(first: Starts, other: Starts, gap: dt.timedelta) -> bool:
    """Whether the two ever begin less than `gap`, at most a day, from each other."""
    most, day = gap // dt.timedelta(minutes=1), 24 * 60
    shifts = {
        shift
        for minute in first.minutes
        for another in other.minutes
        for shift in (-1, 0, 1)
        if abs(another + shift * day - minute) < most
    }
    # After 28 years the weekdays of all dates are the same again.
    dates = (dt.date(2024, 1, 1) + dt.timedelta(days=number) for number in range(28 * 366))
    return bool(shifts) and any(
        other.on(date + dt.timedelta(days=shift))
        for date in dates
        if first.on(date)
        for shift in shifts
    )


def problem(text: str) -> str | None:
    try:
        six_fields(text)
    except NoSchedule as error:
        return str(error)
    return None


def problem_of_replication(text: str) -> str | None:
    reason = problem(text)
    if reason is None and text != NEVER and six_fields(text).split(" ")[1] == "*":
        return "Harbor refuses * as the minutes of a replication: every 5m, or */5"
    return reason


_MEANT: Final[Mapping[str, str]] = {
    "off": NEVER,
    "never": NEVER,
    "disabled": NEVER,
    "manual": NEVER,
    "monthly": "0 0 1 * *",
    "yearly": "0 0 1 1 *",
    "annually": "0 0 1 1 *",
    "midnight": "daily",
}
"""Words of other tools → a schedule."""


def meant(text: str) -> Iterator[str]:
    """Schedules that could be meant by a text that is none."""
    words = " ".join(text.lower().split()).removeprefix("@")
    yield _MEANT.get(words, words)
    counted = re.fullmatch(r"(?:every ?)?([0-9]+) ?(m|h|d)(?:in|our|ay)?(?:ute)?s?", words)
    if counted is not None:
        yield f"every {counted[1]}{counted[2]}"
    fields = text.split()
    yield " ".join(fields)
    if len(fields) == 7 and fields[6] in ("*", "?"):  # Quartz has years
        fields = fields[:6]
        yield " ".join(fields)
    if len(fields) in (5, 6) and "=" not in fields[0]:
        fields = fields[-5:]
        yield " ".join((*fields[:4], fields[4].replace("7", "0")))
        if fields[0] == "*":
            yield " ".join(("*/1", *fields[1:]))


ALLOWED = (
    "none, hourly, daily, weekly, every 15m, every 6h, or cron in UTC: five fields, or Harbor's "
    "six with the seconds 0 first"
)
