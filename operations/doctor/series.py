"""Figures in Prometheus' text format 0.0.4, read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(\{.*\})?\s+(\S+)(\s+\d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def figures(text: str, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Labels and value of each figure of that name; what is none is passed over."""
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None or match[1] != name:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        yield dict(_LABEL.findall(match[2] or "")), value


def figure(text: str, name: str, /, **labels: str) -> float | None:
    """The first figure of that name with these labels; None without one."""
    for found, value in figures(text, name):
        if labels.items() <= found.items():
            return value
    return None
