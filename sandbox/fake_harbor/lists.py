"""Lists of Harbor's API: pages, `q`, `sort`, and the headers that tell of more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus, urlencode

from sandbox.fake_harbor import answers
from sandbox.fake_harbor.answers import Answer
from sandbox.fake_harbor.world import Row

MALFORMED = 'the query string must contain "=" and the key/value cannot be empty'

Columns = Mapping[str, Callable[[Row], Any]]
"""Key of `q` and `sort` → its value in a row."""


def conditions(query: Mapping[str, str]) -> dict[str, str]:
    """The conditions of `q`. Harbor decodes its value twice. Raises Refused."""
    text = unquote_plus(query.get("q", ""))
    wanted: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise answers.bad_request(MALFORMED)
        wanted[key] = value
    return wanted


def choose(rows: Iterable[Row], query: Mapping[str, str], columns: Columns) -> list[Row]:
    """The rows that `q` asks for, in the order of `sort`. Harbor ignores unknown keys."""
    by_key = {key.lower(): column for key, column in columns.items()}
    chosen = list(rows)
    for key, value in conditions(query).items():
        column = by_key.get(key.lower())
        if column is not None:
            chosen = [row for row in chosen if matches(column(row), value)]
    for key in reversed(list(filter(None, query.get("sort", "").split(",")))):
        column = by_key.get(key.lstrip("-").lower())
        if column is not None:
            chosen.sort(key=column, reverse=key.startswith("-"))
    return chosen


def matches(actual: Any, value: str) -> bool:
    """Whether a value satisfies one condition of `q`."""
    if value.startswith("~"):
        return value[1:].lower() in str(actual).lower()
    if value.startswith("(") and value.endswith(")"):
        return True  # a list that must hold all: ignored on single values
    if value.startswith("{") and value.endswith("}"):
        return str(actual) in re.split(r"\s+", value[1:-1].strip())
    if value.startswith("[") and value.endswith("]"):
        low, _, high = value[1:-1].partition("~")
        return (not low or str(actual) >= low) and (not high or str(actual) <= high)
    return str(actual) == value


def page(
    path: str,
    query: Mapping[str, str],
    rows: list[Row],
    *,
    total: int | None = None,
) -> Answer:
    """One page of rows. page_size 0 and below has no limit; above 100 it raises Refused."""
    total = len(rows) if total is None else total
    size = _number(query, "page_size", 10)
    number = max(_number(query, "page", 1), 1)
    if size > 100:
        raise answers.invalid("page_size in query should be less than or equal to 100")
    shown = rows[(number - 1) * size : number * size] if size > 0 else rows
    headers = {"X-Total-Count": str(total)}
    links: list[str] = []
    if number > 1:
        links.append(_link(path, query, number - 1, size, "prev"))
    if total > number * size:
        links.append(_link(path, query, number + 1, size, "next"))
    if links:
        headers["Link"] = " , ".join(links)
    return Answer(200, shown, headers)


def _link(path: str, query: Mapping[str, str], number: int, size: int, relation: str) -> str:
    parts = {**query, "page": str(number), "page_size": str(size)}
    return f'</api/v2.0{path}?{urlencode(sorted(parts.items()))}>; rel="{relation}"'


def _number(query: Mapping[str, str], key: str, default: int) -> int:
    text = query.get(key)
    if text is None or text == "":
        return default
    try:
        return int(text)
    except ValueError:
        raise answers.invalid(f'{key} in query must be of type integer: "{text}"') from None
