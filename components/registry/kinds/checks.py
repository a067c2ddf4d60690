"""What a value has to be, as checks of a field: what is wrong with a value, or None. Pure.

The settings refuse most of it with their own keys, before a resource is declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from components.settings.registry.cron import NoSchedule, six_fields

Check = Callable[[Any], str | None]


def text(value: Any) -> str | None:
    return None if isinstance(value, str) else "has to be a text"


def nonempty(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "has to be a text that is not empty"


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "has to be true or false"


def whole(least: int, most: int) -> Check:
    """A whole number in these bounds."""

    def check(value: Any) -> str | None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        ok = is_whole and least <= value <= most
        return None if ok else f"has to be a whole number from {least} to {most}, not {value!r}"

    return check


def one_of(*allowed: str) -> Check:
    def check(value: Any) -> str | None:
        return None if value in allowed else f"has to be one of {', '.join(allowed)}, not {value!r}"

    return check


def texts(value: Any) -> str | None:
    is_list = isinstance(value, list) and all(
        isinstance(item, str) for item in cast("list[Any]", value)
    )
    return None if is_list else "has to be a list of texts"


def cron(value: Any) -> str | None:
    """Six fields as Harbor takes them, or "" for none. Harbor hangs on a date that never comes."""
    if value == "":
        return None
    try:
        is_taken = isinstance(value, str) and six_fields(value) == value
    except NoSchedule as error:
        return f"has to be cron of six fields, not {value!r}: {error}"
    return None if is_taken else f"has to be cron of six fields, not {value!r}"


def distinct(value: Any) -> str | None:
    """Texts that are not empty, none of them twice."""
    listed = cast("list[Any]", value) if texts(value) is None else None
    if listed is None or "" in listed or len(set(listed)) != len(listed):
        return "has to be a list of texts that are not empty, none of them twice"
    return None


_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")


def harbor_name(value: Any) -> str | None:
    """As Harbor takes names of projects and robots."""
    if isinstance(value, str) and len(value) <= 255 and _NAME.fullmatch(value):
        return None
    return f"has to be groups of a-z and 0-9, joined by one of . _ - each, not {value!r}"


def password(value: Any) -> str | None:
    """As Harbor takes secrets of robots. The value is not repeated."""
    is_strong = (
        isinstance(value, str)
        and 8 <= len(value) <= 128
        and all(re.search(kind, value) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    )
    return None if is_strong else "needs 8 to 128 characters, with A-Z, a-z and 0-9 among them"
