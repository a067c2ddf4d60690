"""A change of functions alone reaches whoever holds them; another one is left to an import."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import pytest

from mutation import swap

SOURCE = """\
def held(x, y=1):
    def inner(z):
        return [z + n for n in (1, 2)]
    return inner(x)
class Thing:
    size: int = 3
    @property
    def double(self):
        return self.size * 2
"""


def test_whoever_holds_a_function_runs_the_mutant() -> None:
    names: dict[str, Any] = {}
    exec(compile(SOURCE, "thing.py", "exec"), names)
    held, thing = names["held"], names["Thing"]()
    mutant = SOURCE.replace("z + n", "z - n").replace("* 2", "* 3")
    codes = swap.exchange(SOURCE, mutant, "thing.py")
    assert codes is not None
    (functions,) = swap.living(["thing.py"]).values()
    assert {each.__name__ for each in functions} == {"held", "double"}
    assert (held(5), thing.double) == ([6, 7], 6)
    swap.swap(functions, codes)
    assert (held(5), thing.double) == ([4, 3], 9)


@pytest.mark.parametrize(
    ("old", "new"),
    [("y=1", "y=2"), ("= 3", "= 4"), ("[z + n for n in (1, 2)]", "None"), ("z + n", "z + n + x")],
    ids=["a default", "an attribute", "another shape", "another closure"],
)
def test_what_is_made_at_an_import_cannot_be_exchanged(old: str, new: str) -> None:
    assert swap.exchange(SOURCE, SOURCE.replace(old, new), "thing.py") is None


def test_only_functions_of_the_file_are_found() -> None:
    def here() -> None: ...

    found = swap.living([here.__code__.co_filename])
    assert here in found[here.__code__.co_filename]
    assert all(isinstance(each, FunctionType) for each in found[here.__code__.co_filename])
