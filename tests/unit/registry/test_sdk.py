"""The engine's values, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_TEXT

from components.registry.kinds.base import UNKNOWN
from components.registry.plugin import sdk


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, 2**40, 1.5, "text", "", [], ["a", 1], {"a": {"b": [False]}}],
)
def test_a_value_comes_back_over_the_wire(value: Any) -> None:
    sent = sdk.wrapped(value).marshal()
    again = sdk.plain(PropertyValue.unmarshal(sent))
    assert again == value and type(again) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        PropertyValue(UNKNOWN_TEXT),
        PropertyValue.computed(),
        PropertyValue([PropertyValue("a"), PropertyValue(UNKNOWN_TEXT)]),
        PropertyValue({"a": PropertyValue({"b": PropertyValue(UNKNOWN_TEXT)})}),
        PropertyValue(UNKNOWN_TEXT, is_secret=True),
    ],
)
def test_a_value_with_an_unknown_part_is_unknown(value: PropertyValue) -> None:
    assert sdk.plain(value) is UNKNOWN


def test_an_unknown_output_can_be_sent() -> None:
    assert sdk.wrapped(UNKNOWN).marshal().string_value == UNKNOWN_TEXT


def test_digests_and_what_an_input_marks_are_secret_in_the_state() -> None:
    inputs = {
        "url": PropertyValue("https://up.test", is_secret=True),
        "username": PropertyValue({"a": PropertyValue("u", is_secret=True)}),
        "name": PropertyValue("up"),
    }
    outputs = {"url": "https://up.test", "username": "u", "name": "up", "passwordDigest": "s:d"}
    wrapped = sdk.wrapped_outputs("Endpoint", outputs, inputs)
    assert {name for name, value in wrapped.items() if value.is_secret} == {
        *("url", "username", "passwordDigest")
    }
