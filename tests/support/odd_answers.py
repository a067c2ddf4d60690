"""What a server, a proxy or a damaged disk may give in place of an answer: for random cases."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

from components.settings.reading import refusals, spec
from tests.support.printed_fixes import without

ODD_TEXTS: Final[tuple[bytes, ...]] = (
    *(b"", b" ", b"null", b"true", b"0", b'"x"', b"[]", b"{}", b"[null]", b"[[]]", b"[{}]", b"{"),
    b"<html><body>Sign in</body></html>",
    b'<?xml version="1.0"?><Error/>',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"- " * 100_000,
    b"1" * 5000,
    b"\xff\xfe\x00",
    b"\x00" * 1000,
    b"\x1f\x8b\x08\x00",
    b"x" * 100_000,
)
ODD_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1.5, 10**400, "", "x", "\ud800", "../../x", "/etc/passwd", "[", "\r\n"),
    *([], [None], ["x"], [[]], [{}], {}, {"x": None}, {"": ""}, "[" * 5000),
)


def nodes(value: Any, path: spec.Path = ()) -> list[spec.Path]:
    """The paths of a value's parts, its own first."""
    parts: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value))
    return [path, *(node for key, part in parts for node in nodes(part, (*path, key)))]


@st.composite
def odd_value(draw: st.DrawFn, right: Any) -> Any:
    """A right value in which one or two parts are others, or missing."""
    value = right
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(nodes(value)))
        if path and draw(st.booleans()):
            value = without(value, path)
        else:
            value = refusals.replaced(value, path, draw(st.sampled_from(ODD_VALUES)))
    return value


@st.composite
def odd_text(draw: st.DrawFn, right: bytes) -> bytes:
    """A right text that was cut, or in which some bytes are others; or another text."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(ODD_TEXTS))
    text = bytearray(right[: draw(st.integers(0, len(right)))] if draw(st.booleans()) else right)
    for _ in range(draw(st.integers(0, 8)) if text else 0):
        text[draw(st.integers(0, len(text) - 1))] = draw(st.integers(0, 255))
    return bytes(text)


def odd_json(right: Any) -> st.SearchStrategy[bytes]:
    """A right answer in JSON, made odd in either way."""
    return odd_value(right).map(lambda value: json.dumps(value).encode()) | odd_text(
        json.dumps(right).encode()
    )
