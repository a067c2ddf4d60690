"""Draws mutants of an area's code by mutmut's operators, and prints them as JSON.

    .venv-mutation/bin/python -m mutation.mutants AREA --count N --seed NUMBER

It runs where mutmut is installed and nothing of the program's is. mutmut itself keeps every mutant
of a function beside it and chooses one when it is called; so it leaves out functions with a
decorator, as validators and properties are. Here each mutant is the text of a whole module with one
change, and these functions are mutated too. As by mutmut, statements of modules and classes are
not, nor texts in triple quotes. Besides, no sentence of a message is, nor the type in a `cast`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from difflib import unified_diff
from functools import partial
from typing import Any

from mutation.areas import AREAS, ROOT, Area

try:  # not in the environment of the program
    import libcst as cst  # pyright: ignore[reportMissingImports]
    import libcst.matchers as m  # pyright: ignore
    from libcst.metadata import MetadataWrapper, PositionProvider  # pyright: ignore
    from mutmut.mutation.file_mutation import Mutation, MutationVisitor  # pyright: ignore
    from mutmut.mutation.mutators import mutation_operators  # pyright: ignore
    from mutmut.mutation.pragma_handling import IgnoredCode  # pyright: ignore
except ImportError:
    MutationVisitor = object  # pyright: ignore


WORDS = 3
"""A text of so many is prose."""


Changed = dict[str, Any]
"""A mutant, as mutation.trial.Mutant has it."""


class _Visitor(MutationVisitor):  # pyright: ignore[reportGeneralTypeIssues]
    """Finds what can be changed inside of functions, decorated or not."""

    def __init__(self) -> None:
        super().__init__(mutation_operators, IgnoredCode(set(), set(), set()))

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Call) and m.matches(node.func, m.Name("cast")):
            node.args[-1].visit(self)  # the type before it means nothing when it runs
            return False
        return super().on_visit(node)

    def _should_mutate_node(self, node: cst.CSTNode) -> bool:
        return not is_prose(node) and super()._should_mutate_node(node)

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef) and node.decorators:
            return super()._skip_node_and_children(node.with_changes(decorators=()))
        return super()._skip_node_and_children(node)


def is_prose(node: cst.CSTNode) -> bool:
    """Is it a text of three words or more? Tests name the words of a message that matter; one that
    notices each letter would be a copy of it."""
    return isinstance(node, cst.SimpleString) and len(node.raw_value.split()) >= WORDS


Change = tuple[tuple[int, int], Callable[[], str]]
"""First and last line of a function's body, and what renders its module with one change in it."""


def changes(source: str) -> list[Change]:
    """Each change of a module."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = _Visitor()
    wrapper.visit(visitor)
    positions = wrapper.resolve(PositionProvider)

    def render(mutation: Mutation) -> str:
        return wrapper.module.deep_replace(mutation.original_node, mutation.mutated_node).code

    def lines(function: cst.FunctionDef) -> tuple[int, int]:
        return positions[function.body.body[0]].start.line, positions[function].end.line

    return [
        (lines(mutation.contained_by_top_level_function), partial(render, mutation))
        for mutation in visitor.mutations
        if isinstance(mutation.contained_by_top_level_function, cst.FunctionDef)
    ]


def drawn(area: Area, count: int, seed: int) -> tuple[int, list[Changed]]:
    """How many mutants the area has, and so many of them; the same for the same seed."""
    population = [
        (path, source, change)
        for path in area.files()
        for source in ((ROOT / path).read_text(),)
        for change in changes(source)
    ]
    mutants: list[Changed] = []
    order = random.Random(f"{seed}/{area.name}").sample(population, len(population))
    for path, source, (function, render) in order:
        if len(mutants) == count:
            break
        mutant = changed(source, render())
        if mutant:
            mutants.append({"path": path, "function": function, **mutant})
    return len(population), mutants


def changed(source: str, code: str) -> Changed | None:
    """What differs. None if nothing does, or the new code is no Python."""
    try:
        compile(code, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return None
    old, new = source.splitlines(), code.splitlines()
    line = next((n for n, pair in enumerate(zip(old, new, strict=False), 1) if len({*pair}) > 1), 0)
    if not line:
        return None
    diff = [*unified_diff(old, new, lineterm="", n=0)][3:]
    return {"line": line, "code": code, "diff": "\n".join(diff)}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m mutation.mutants")
    parser.add_argument("area", choices=[area.name for area in AREAS])
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    chosen = parser.parse_args(arguments)
    (area,) = (area for area in AREAS if area.name == chosen.area)
    total, mutants = drawn(area, chosen.count, chosen.seed)
    json.dump({"total": total, "mutants": mutants}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
