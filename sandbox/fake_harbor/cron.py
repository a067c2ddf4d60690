"""Cron expressions, refused where Harbor was seen to refuse them. Pure."""

from __future__ import annotations

import calendar
import re

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


def never_comes(text: str) -> bool:
    """Whether no date matches, such as 31 February: Harbor's jobservice then hangs."""
    fields = re.sub(r"^(TZ|CRON_TZ)=\S+\s+", "", text).split()
    if len(fields) != 6 or fields[5] not in ("*", "?"):
        return False
    days, months = _numbers(fields[3], "day", 1, 31), _numbers(fields[4], "month", 1, 12)
    return not any(day <= calendar.monthrange(2024, month)[1] for month in months for day in days)


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
        ends = [
            _NAMES.get(name, {}).get(end.lower(), int(end) if end.isdigit() else low)
            for end in matched[1].split("-")
        ]
        numbers |= set(
            range(ends[0], (high if matched[2] and len(ends) == 1 else ends[-1]) + 1, step)
        )
    return numbers
