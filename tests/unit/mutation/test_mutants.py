"""Which mutants are drawn. `make mutation` runs this where mutmut is installed."""

from __future__ import annotations

import pytest

pytest.importorskip("mutmut")

from mutation.areas import AREAS
from mutation.mutants import changed, changes, drawn

NETWORK = next(area for area in AREAS if area.name == "network")


def mutated(source: str) -> set[str]:
    return {render() for _, render in changes(source)}


def test_a_decorated_function_is_mutated() -> None:
    source = "class A:\n    @property\n    def b(self):\n        return 1\n"
    assert mutated(source) == {source.replace("return 1", "return 2")}


def test_an_argument_of_a_decorator_is_not_mutated() -> None:
    assert not mutated("@retried(3)\ndef b():\n    pass\n")


@pytest.mark.parametrize(
    "source",
    [
        "LIMIT = 3\n",
        "class A:\n    limit = 3\n",
        'def a():\n    """Three."""\n',
        'def a():\n    return "there is no such thing"\n',
        "def a(b: Literal[3]):\n    pass\n",
        'def a(b):\n    return cast("dict[str, int]", b)\n',
    ],
)
def test_what_no_test_should_notice_is_not_mutated(source: str) -> None:
    assert not mutated(source)


def test_what_a_cast_holds_is_mutated() -> None:
    assert 'def a():\n    cast("int", f(2))\n' in mutated('def a():\n    cast("int", f(1))\n')


def test_a_mutant_shows_its_line_and_no_more() -> None:
    mutant = changed("x = 1\ny = 2\n", "x = 1\ny = 3\n")
    assert mutant is not None
    assert (mutant["line"], mutant["diff"]) == (2, "-y = 2\n+y = 3")


@pytest.mark.parametrize("code", ["x = 1\n", "x = = 1\n"])
def test_no_change_and_no_python_are_no_mutants(code: str) -> None:
    assert changed("x = 1\n", code) is None


def test_a_mutant_knows_the_body_of_its_function() -> None:
    source = (
        "class A:\n    @property\n    def b(\n        self,\n    ):\n        x = 1\n        x()\n"
    )
    assert {lines for lines, _ in changes(source)} == {(6, 7)}


def test_a_seed_draws_the_same_mutants_again() -> None:
    total, mutants = drawn(NETWORK, 5, 1)
    assert total > len(mutants) == 5
    assert drawn(NETWORK, 5, 1) == (total, mutants)
    assert drawn(NETWORK, 5, 2)[1] != mutants
