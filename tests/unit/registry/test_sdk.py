"""The engine's values, and what becomes of them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.proto import provider_pb2, status_pb2
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


class Call:
    """A call of gRPC's: keeps what it is aborted with."""

    def __init__(self) -> None:
        self.aborted: tuple[Any, ...] = ()

    async def abort(self, *words: Any) -> None:
        self.aborted = words
        raise grpc.aio.AbortError


def told(error: Exception) -> tuple[Any, ...]:
    """What the engine is told when an answer to it raises."""

    async def answer() -> None:
        raise error

    call = Call()
    request = SimpleNamespace(urn="urn:pulumi:omantel::p::t::n")
    with pytest.raises(grpc.aio.AbortError):
        asyncio.run(sdk._told(answer(), request, call))
    return call.aborted


def test_an_error_is_told_in_its_own_words_for_the_stack() -> None:
    code, words = told(ValueError("no such project; fix: pulumi refresh -s <stack>"))
    assert (code, words) == (
        grpc.StatusCode.UNKNOWN,
        "no such project; fix: pulumi refresh -s omantel",
    )
    assert told(ValueError())[1] == "ValueError"


def test_what_harbor_answered_is_never_quoted() -> None:
    code, words = told(KeyError("TOPSECRET"))
    assert code == grpc.StatusCode.UNKNOWN
    assert "not as expected (KeyError in test_sdk.py:" in words
    assert "TOPSECRET" not in words


def test_an_object_whose_making_failed_half_way_is_kept_in_the_state() -> None:
    outputs = {"name": PropertyValue("ci")}
    failed = sdk._InitFailed("7", outputs, outputs, "no login; pulumi up -s <stack>")
    code, words, details = told(failed)
    assert (code, words) == (grpc.StatusCode.UNKNOWN, "no login; pulumi up -s omantel")
    ((key, packed),) = details
    assert key == "grpc-status-details-bin"
    status = status_pb2.Status.FromString(packed)
    assert (status.code, status.message) == (2, words)
    kept = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(kept)
    assert (kept.id, [*kept.reasons]) == ("7", [words])
    assert kept.properties["name"] == kept.inputs["name"] == "ci"
