"""The commands that a refusal prints, followed as `pulumi config` follows them."""

from __future__ import annotations

import re
import shlex
from typing import Any

from components.settings.reading import refusals, spec
from components.settings.reading.refusals import Refusal


def is_for_a_machine(refusal: Refusal) -> bool:
    """Whether the way out is commands as they stand: no edit of the file, no shell's work, and no
    placeholder for what only a person knows."""
    return re.search(r'<|^in |^ |\$\(|--secret|"\$', refusal.fix, re.MULTILINE) is None


def followed(raw: dict[str, Any], refusal: Refusal) -> dict[str, Any]:
    """The raw config after the printed commands."""
    after = raw
    for line in refusal.fix.splitlines():
        words = shlex.split(line)
        path = path_of(words[4] if words[3] == "--path" else words[3])
        if words[2] == "rm":
            after = without(after, path)
        else:
            text = words[5 if words[3] == "--path" else 4]
            value: Any = int(text) if text.isdecimal() else text
            after = refusals.replaced(after, path, {"true": True, "false": False}.get(value, value))
    return after


def path_of(key: str) -> spec.Path:
    """The path that a key as refusals write it means: `a.b[0]["c.d"]`."""
    parts = re.findall(r'\[(\d+)\]|\["([^"]*)"\]|([^.\[\]]+)', key)
    return tuple(int(index) if index else quoted or name for index, quoted, name in parts)


def without(raw: Any, path: spec.Path) -> Any:
    """The raw config without what is at a path."""
    first, *rest = path
    if rest:
        inner = without(spec.lookup(raw, (first,)), tuple(rest))
        return refusals.replaced(raw, (first,), inner)
    if isinstance(first, int):
        return [*raw[:first], *raw[first + 1 :]]
    return {key: value for key, value in raw.items() if key != first}
