"""`${SANDBOX_…}` in the stack config of a sandbox: values of the running sandbox. Pure.

The sandbox picks free ports and makes new keys at each start, so the committed file of its stack
names environment variables instead (`eval "$(make -s env)"` sets them). Only names that begin with
SANDBOX_ are read. On every other stack they are refused, so that a Sovereign's config means the
same on every machine.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

_REFERENCE = re.compile(r"\$\{(SANDBOX_[A-Z0-9_]+)\}")

HOW_TO_SET = 'eval "$(make -s env)"'


class UnsetVariable(LookupError):
    """A variable that only a running sandbox sets is not set."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the environment variable {name} is not set; run: {HOW_TO_SET}")


def references(text: str) -> tuple[str, ...]:
    """Names of the variables that the text refers to."""
    return tuple(_REFERENCE.findall(text))


def is_reference(text: str) -> bool:
    """Whether the text is nothing but one reference."""
    return _REFERENCE.fullmatch(text) is not None


def expand(text: str, environ: Mapping[str, str] | None = None) -> str:
    """The text with its references replaced. Raises UnsetVariable."""
    variables = os.environ if environ is None else environ

    def value(match: re.Match[str]) -> str:
        text = variables.get(match[1], "")
        if not text:
            raise UnsetVariable(match[1])
        return text

    return _REFERENCE.sub(value, text)


def walk(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Path and text of every text in a config value that holds references."""
    if isinstance(value, str) and references(value):
        yield path, value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from walk(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from walk(item, (*path, index))


def expand_all(value: Any, environ: Mapping[str, str]) -> Any:
    """A copy of a config value, references replaced. A text with an unset variable stays as it
    is."""
    if isinstance(value, str):
        return value if missing(value, environ) else expand(value, environ)
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: expand_all(item, environ) for key, item in items}
    if isinstance(value, list):
        return [expand_all(item, environ) for item in cast("list[Any]", value)]
    return value


def missing(text: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the variables that the text refers to and that are not set."""
    return tuple(name for name in references(text) if not environ.get(name))
