"""Ends a refused run with the text of the refusal, and no line after it.

The SDK's executor (3.250, pulumi-language-python-exec) logs the text of a RunError and ends with
exit code 1, to which the engine adds "an unhandled error occurred: Program exited with non-zero
exit code: 1". At 32 it adds nothing: the executor itself uses it for errors that it has shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import pulumi.log

ALREADY_SHOWN: Final = 32


def ends_after(show: Callable[..., None]) -> Callable[..., None]:
    """`pulumi.log.error`, which ends the program after it has shown a RunError.

    The executor calls it once every registration has been answered. Outside of an `except` for a
    RunError it only logs. Raises SystemExit.
    """

    def error(msg: str, *args: Any, **named: Any) -> None:
        show(msg, *args, **named)
        if isinstance(sys.exc_info()[1], pulumi.RunError):
            raise SystemExit(ALREADY_SHOWN)

    return error


def of_refusals() -> None:
    """From now on a RunError ends this process with ALREADY_SHOWN."""
    pulumi.log.error = ends_after(pulumi.log.error)
