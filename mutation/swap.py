"""Exchanges the code of functions that live already for that of a mutant.

A function keeps its identity, so whoever holds it (a class, a validator of pydantic, a decorator)
runs the mutant.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Final

_NO_CODE: Final = "a code object among the constants"

Place = tuple[str, int]
"""Qualified name of a function, and its first line."""


def exchange(source: str, mutant: str, file: str) -> Mapping[Place, CodeType] | None:
    """The mutant's code for each function of a module. None if the change is not in functions
    alone: a default is computed where the function is made. Pure."""
    old, new = (
        [*_codes(compile(text, file, "exec", dont_inherit=True))] for text in (source, mutant)
    )
    if [code.co_qualname for code in old] != [code.co_qualname for code in new]:
        return None
    pairs = [*zip(old, new, strict=True)]
    if any(not _is_function(before) and _own(before) != _own(after) for before, after in pairs):
        return None
    if any(before.co_freevars != after.co_freevars for before, after in pairs):
        return None
    return {
        (before.co_qualname, before.co_firstlineno): after
        for before, after in pairs
        if _is_function(before)
    }


def _codes(code: CodeType) -> Iterator[CodeType]:
    """It, and what is defined inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _is_function(code: CodeType) -> bool:
    """No module, and no body of a class."""
    return bool(code.co_flags & inspect.CO_OPTIMIZED)


def _own(code: CodeType) -> tuple[bytes, tuple[str, ...], list[str]]:
    constants = [_NO_CODE if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return code.co_code, code.co_names, constants


def living(files: Iterable[str]) -> Mapping[str, Sequence[FunctionType]]:
    """The functions of these files that exist in this process."""
    functions: dict[str, list[FunctionType]] = {file: [] for file in files}
    gc.unfreeze()  # frozen objects are not shown
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename in functions:
            functions[each.__code__.co_filename].append(each)
    gc.freeze()
    return functions


def swap(functions: Sequence[FunctionType], codes: Mapping[Place, CodeType]) -> None:
    """Gives each function the mutant's code."""
    for function in functions:
        code = codes.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if code is not None:
            function.__code__ = code
