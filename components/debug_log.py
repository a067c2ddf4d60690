"""What the SDK logs for `pulumi --debug`: without plaintext, and only where somebody asked for it.

The SDK (3.250) writes the outputs of components and of the stack, and outputs whose names it
translates, into its debug log as they are, secrets too: the admin password, the private key of the
token service. The engine prints that log with --debug and keeps it beside the state in no backend,
but CI keeps what is printed.

Each message is a call to the engine that the program waits for, about 2,000 of them in a run. An
engine without --debug drops them all, so they are dropped here then: that saves a twelfth of the
processor time of a run without changes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pulumi.log

_WITH_VALUES: Final = re.compile(r"(?s)(props=|output value translated: ).*")
_ENGINE: Final = "pulumi"
_GENERATIONS: Final = 4
"""How far up the engine is looked for: it starts the language host, which starts the program."""

_PROC: Final = Path("/proc")


def without_values(message: str) -> str:
    """A message of the SDK without the values of properties. Pure."""
    return _WITH_VALUES.sub(r"\1(left out: it may hold secrets)", message)


def asks_for_debugging(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command line of the engine may ask for its debug log. Pure.

    `--debug`, or `-d` alone or among other short options: what only looks like it counts, too.
    """
    return "PULUMI_OPTION_DEBUG" in environment or any(
        word.startswith("--debug")
        if word.startswith("--")
        else word.startswith("-") and "d" in word
        for word in command[1:]
    )


def is_wanted() -> bool:
    """Whether the engine may print the debug log; true where its command line is not found."""
    command = _engine_command(os.getppid())
    return command is None or asks_for_debugging(command, os.environ)


def _engine_command(pid: int) -> list[str] | None:
    """The command line of the engine above this process; None where it cannot be read."""
    for _ in range(_GENERATIONS):
        try:
            command = (_PROC / str(pid) / "cmdline").read_text().split("\0")[:-1]
            stat = (_PROC / str(pid) / "stat").read_text()
        except (OSError, UnicodeError):
            return None  # not Linux, or a process of somebody else
        if command and Path(command[0]).name == _ENGINE:
            return command
        pid = int(stat.rpartition(")")[2].split()[1])
    return None


def keep_secrets_out() -> None:
    """From now on this process logs no values of properties, and debug messages only if wanted."""
    debug: Callable[..., None] = pulumi.log.debug

    def guarded(msg: str, *args: Any, **named: Any) -> None:
        debug(without_values(msg), *args, **named)

    def dropped(msg: str, *args: Any, **named: Any) -> None:
        del msg, args, named

    pulumi.log.debug = guarded if is_wanted() else dropped
