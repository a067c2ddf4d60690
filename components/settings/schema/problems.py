"""A setting that is valid by itself, but not together with the others. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Config keys and indexes from the top of the stack config."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A setting that is valid by itself, but not together with the others."""

    path: Path
    reason: str
    example: str | None = None


CrossRule = Callable[..., Iterator[Problem]]
"""A check over several sections. Its parameters are keywords: their attribute names."""
