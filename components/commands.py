"""The engine's commands that messages print, each for the stack that is meant. Pure.

Whoever passes `-s` has selected no stack, so a command without it would ask, or meet another one.
What does not know its stack writes a placeholder, and whoever prints its message puts the name in.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "<stack>"


def run(command: str, stack: str | None = None) -> str:
    """`command`, `up` for one, with its options. `stack`: None where nothing says which it is."""
    return f"pulumi {command} -s {stack or UNKNOWN}"


def set_value(path: str, value: str, stack: str | None = None) -> str:
    """Sets a setting. `path`: as `storage.bucket`; `value`: as a shell reads it."""
    return run(f"config set --path '{path}' {value}", stack)


def unset(path: str, stack: str | None = None) -> str:
    """Removes a setting."""
    return run(f"config rm --path '{path}'", stack)


def set_secret(key: str, stack: str | None = None) -> str:
    """Sets a secret, which the command asks for or reads from its standard input."""
    return run(f"config set --secret {key}", stack)


def for_stack(text: str, stack: str | None) -> str:
    """A text whose commands name that stack, where they named none."""
    return text if stack is None else text.replace(UNKNOWN, stack)
