"""Keeps plaintext out of what `pulumi --debug` prints.

The SDK (3.250) writes the outputs of components and of the stack, and outputs whose names it
translates, into its debug log as they are, secrets too: the admin password, the private key of the
token service. The engine prints that log with --debug and keeps it beside the state in no backend,
but CI keeps what is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import pulumi.log

_WITH_VALUES: Final = re.compile(r"(?s)(props=|output value translated: ).*")


def without_values(message: str) -> str:
    """A message of the SDK without the values of properties. Pure."""
    return _WITH_VALUES.sub(r"\1(left out: it may hold secrets)", message)


def keep_secrets_out() -> None:
    """From now on this process logs no values of properties."""
    debug: Callable[..., None] = pulumi.log.debug

    def guarded(msg: str, *args: Any, **named: Any) -> None:
        debug(without_values(msg), *args, **named)

    pulumi.log.debug = guarded
