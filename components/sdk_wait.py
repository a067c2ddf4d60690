"""Lets the SDK wait for each output once at the end of the program.

The SDK (3.250, `wait_for_rpcs`) waits until one of all outputs is there, and then for all others
anew: with the 1,100 outputs of a Sovereign that is a fifth of the program's processor time. The
order of its checks stays: calls to the engine first, then outputs, then what these began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pulumi.runtime import settings, stack

_SDKS: Final[Callable[..., Awaitable[None]]] = stack.wait_for_rpcs


async def _wait(await_all_outstanding_tasks: bool = True) -> None:
    """In the place of the SDK's function. Raises what the first failed call or output raised."""
    shared: Any = settings.SETTINGS  # a decorator of the SDK's own makes its properties
    while True:
        await _SDKS(await_all_outstanding_tasks=False)
        if not await_all_outstanding_tasks:
            return
        with shared.lock:
            outputs = [*shared.outputs]
            shared.outputs.clear()
        if not outputs:
            return
        await asyncio.gather(*outputs)


def once_for_each_output() -> None:
    """From now on this process waits so."""
    stack.wait_for_rpcs = _wait
