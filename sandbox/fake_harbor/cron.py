"""Cron expressions, refused where Harbor was seen to refuse them. Pure."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

_LIMITS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("weekday", 0, 6),
)
_NAMES = {
    "month": {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name},
    "weekday": {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)},
}
_PART = re.compile(r"(\*|\?|[A-Za-z0-9]+(?:-[A-Za-z0-9]+)?)(?:/(\d+))?")


def problem(text: str) -> str | None:
    """Why Harbor's parser (robfig/cron, six fields) refuses it; None when it does not."""
    if not text:
        return "empty cron string is invalid"
    body = re.sub(r"^(TZ|CRON_TZ)=\S+\s+", "", text)
    if body.startswith("@"):
        return f"parser does not accept descriptors: {text}"
    fields = body.split()
    if len(fields) != 6:
        return f"expected exactly 6 fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, (name, low, high) in zip(fields, _LIMITS, strict=True):
        for part in field.split(","):
            told = _part_problem(part, name, low, high)
            if told is not None:
                return told
    return None


def _part_problem(part: str, name: str, low: int, high: int) -> str | None:
    matched = _PART.fullmatch(part)
    if matched is None:
        return f'failed to parse int from {part}: strconv.Atoi: parsing "{part}": invalid syntax'
    if matched[1] in ("*", "?"):
        return None
    ends: list[int] = []
    for end in matched[1].split("-"):
        number = _NAMES.get(name, {}).get(end.lower())
        if number is None:
            if not end.isdigit():
                return (
                    f'failed to parse int from {end}: strconv.Atoi: parsing "{end}": invalid syntax'
                )
            number = int(end)
        ends.append(number)
    first, last = ends[0], ends[-1]
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {part}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {part}"
    if first > last:
        return f"beginning of range ({first}) beyond end of range ({last}): {part}"
    return None


SECONDS = "the 1st field (indicating Seconds of time) of the cron setting must be 0"


def seconds_problem(text: str) -> str | None:
    """Harbor wants the seconds to be written `0`, literally, unless a time zone comes first."""
    if text.startswith(("TZ=", "CRON_TZ=")):
        return None
    return None if text.split(" ")[0] == "0" else SECONDS


def next_time(text: str, after: datetime | None = None) -> str | None:
    """When it comes next, as Harbor writes times; None for a date that never comes (31 February).

    Harbor checks no calendar: its jobservice looks for such a date without end.
    """
    fields = re.sub(r"^(TZ|CRON_TZ)=\S+\s+", "", text).split()
    sets = [_numbers(field, *limits) for field, limits in zip(fields, _LIMITS, strict=True)]
    _, minutes, hours, days, months, weekdays = sets
    moment = after or datetime.now(UTC)
    begin = (moment + timedelta(minutes=1)).replace(second=0, microsecond=0)
    either = not any(field.startswith(("*", "?")) for field in (fields[3], fields[5]))
    for offset in range(5 * 366):
        day = (begin + timedelta(days=offset)).date()
        by_date, by_weekday = day.day in days, (day.weekday() + 1) % 7 in weekdays
        if day.month not in months or not (
            by_date or by_weekday if either else by_date and by_weekday
        ):
            continue
        for hour in sorted(hours):
            for minute in sorted(minutes):
                time = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                if time >= begin:
                    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return None


def _numbers(field: str, name: str, low: int, high: int) -> set[int]:
    numbers: set[int] = set()
    for part in field.split(","):
        matched = _PART.fullmatch(part)
        if matched is None:
            continue
        step = int(matched[2] or 1)
        if matched[1] in ("*", "?"):
            numbers |= set(range(low, high + 1, step))
            continue
        ends = [_number(name, end, low) for end in matched[1].split("-")]
        last = high if matched[2] and len(ends) == 1 else ends[-1]
        numbers |= set(range(ends[0], last + 1, step))
    return numbers


def _number(name: str, text: str, low: int) -> int:
    named = _NAMES.get(name, {}).get(text.lower())
    if named is not None:
        return named
    return int(text) if text.isdigit() else low
