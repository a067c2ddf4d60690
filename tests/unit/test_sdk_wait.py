"""The end of the program: all that it began has landed, and what failed is told."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, stack

from components import sdk_wait
from tests.support.mocks import Provider, Recorder, Unused

# The SDK's own, whatever another test put in its place.
SDKS = sdk_wait._SDKS  # pyright: ignore[reportPrivateUsage]


class Answers(Provider):
    def outputs(self, typ: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if name == "broken":
            raise ValueError("the provider says no")
        return inputs


class Thing(pulumi.CustomResource):
    size: pulumi.Output[int]

    def __init__(self, name: str, size: pulumi.Input[int]) -> None:
        super().__init__("test:index:Thing", name, {"size": size})


@pytest.fixture(autouse=True)
def waits_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "wait_for_rpcs", SDKS)
    sdk_wait.once_for_each_output()


def run(program: Any) -> None:
    async def main() -> None:
        mocks.set_mocks(Unused(), monitor=Recorder(Answers(), preview=False))
        program()
        await stack.wait_for_rpcs()

    asyncio.run(main())


def test_what_outputs_begin_is_waited_for_too() -> None:
    landed: list[str] = []

    def make(size: int) -> int:
        # Registered only when the output before it is there.
        Thing("inner", size).size.apply(lambda size: landed.append(f"inner {size}"))
        return size

    run(lambda: Thing("outer", 1).size.apply(make).apply(lambda _: landed.append("outer")))
    assert sorted(landed) == ["inner 1", "outer"]


def test_what_an_output_raises_ends_the_program() -> None:
    def fail(_: int) -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        run(lambda: Thing("one", 1).size.apply(fail))


def test_what_a_registration_raises_ends_the_program() -> None:
    with pytest.raises(Exception, match="the provider says no"):
        run(lambda: Thing("broken", 1))


def test_the_sdk_still_waits_for_all_outputs_after_each() -> None:
    """Without this in the SDK the module can go."""
    assert "FIRST_COMPLETED" in inspect.getsource(SDKS)
