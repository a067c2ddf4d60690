"""JSON and YAML from outside: a value or a ValueError, in time and memory that are bounded."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import parsed
from tests.support.fuzzing import cases

BILLION = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)),
    ]
)
MERGED = "\n".join(
    [
        "a0: &a0 {x: 1, y: 2}",
        *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10)),
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        BILLION,
        MERGED,
        "&a [*a]",
        "&a {b: *a}",
        "[" * 5000,
        "{a: " * 5000,
        "[" * 300_000,
        "- " * 300_000,
        "? " * 300_000,
        '!!int ""',
        '!!float ""',
        "!!bool x",
        "!!timestamp x",
        "!!python/object/apply:os.system [id]",
        "a: 2026-13-45",
        "{[a]: b}",
        "a: *b",
        "a\x00b",
        "--- a\n--- b",
    ],
)
def test_odd_yaml_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed.yaml_of(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "", "nul", b"\xff"])
def test_odd_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed.json_of(text)


def test_honest_yaml_is_read() -> None:
    assert parsed.yaml_of("") is None
    assert parsed.yaml_of("a: &x [1, b]\nc: *x\n") == {"a": [1, "b"], "c": [1, "b"]}
    assert parsed.yaml_documents("a: 1\n---\n---\n- b\n") == [{"a": 1}, None, ["b"]]


@pytest.mark.fuzz
@cases(30)
@given(st.binary(max_size=200) | st.text("&*a:[]{}-!<\n \"'#,?|>%@`\\0129.eE~=", max_size=40))
def test_any_text_is_a_value_or_a_value_error(text: str | bytes) -> None:
    for parse in (parsed.json_of, parsed.yaml_of, parsed.yaml_documents):
        with suppress(ValueError):
            parse(text)
