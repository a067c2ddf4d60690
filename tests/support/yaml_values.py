"""Values as they stand in a stack's file, and how the engine reads them."""

from __future__ import annotations

from typing import Any

READ: dict[str, Any] = {
    # As texts, where YAML 1.1 reads booleans, numbers of base 60 or nothing at all.
    "on": "on",
    "yes": "yes",
    "n": "n",
    "1:30": "1:30",
    "12:30:45": "12:30:45",
    "_1": "_1",
    "0x": "0x",
    "0b2": "0b2",
    "1e400": "1e400",
    "2026-13-02": "2026-13-02",
    "a #b": "a",
    "'08'": "08",
    '"\\u00e9"': "é",
    "&a b": "b",
    "!!str 5": "5",
    "|\n    a\n    b": "a\nb\n",
    ">-\n    a\n    b": "a b",
    "\u00a0x": "\u00a0x",
    # As numbers, where YAML 1.1 reads texts.
    "1e3": 1000,
    "0o17": 15,
    "1.0": 1,
    # As numbers, where a person may mean a text.
    "0012": 10,
    "08": 8,
    "0777": 511,
    "0x1F": 31,
    "-0b11": -3,
    "1_000": 1000,
    "0_1": 1,
    "+5": 5,
    ".5": 0.5,
    ".5e2": 50,
    "1.50": 1.5,
    "18446744073709551615": 18446744073709551615,
    "True": True,
    "FALSE": False,
    "[1, {a: yes, b: 010}]": [1, {"a": "yes", "b": 8}],
}
"""Value without its key → what the engine hands on."""

REFUSED_BY_THE_ENGINE: tuple[str, ...] = (
    "config:\n  a: x: y\n",
    "config:\n  a: [b\n",
    "config:\n  a: {b: 1\n",
    "config:\n  a: 'b\n",
    'config:\n  a: "\\q"\n',
    "config:\n  a: *b\n",
    "config:\n  a: @b\n",
    "config:\n  a: - b\n",
    "config:\n  a: .inf\n",
    "config:\n  a: 1\n  a: 2\n",
    "config:\n  a:\n    b: 1\n    b: 2\n",
    "config:\n  a:b:c:d: 1\n",
    "config:\n  a: 1\n b: 2\n",
    "config:\n\ta: 1\n",
    "config:\n  a 1\n  b: 2\n",
    "config: text\n",
    "- config\n",
    "config:\n  a: &x [*x]\n",
)
"""Stack files that the engine refuses."""
