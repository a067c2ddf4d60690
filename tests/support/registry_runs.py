"""Runs of declared resources over a fake Harbor, with faults between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from components.registry.errors import HarborError
from components.registry.kinds.base import HalfCreated
from sandbox.fake_harbor.faults import KINDS, Fault
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import Registry

FAULTS = [kind for kind in KINDS if kind != "delay"]


class Runs:
    """What the engine keeps of resources, and what it does with it in a run."""

    def __init__(self, declared: Sequence[tuple[str, dict[str, Any]]]) -> None:
        self.declared = declared
        self.outputs: dict[int, dict[str, Any]] = {}
        self.unfinished: set[int] = set()

    def up(self, fake: FakeHarbor) -> bool:
        """One run; whether it succeeded. It ends at the first error, as with one worker."""
        registry = Registry(fake, patience=0.1)
        for number, (kind, inputs) in enumerate(self.declared):
            try:
                if number not in self.outputs:
                    self.outputs[number] = registry.create(kind, **inputs)
                elif number in self.unfinished or registry.changed(
                    kind, self.outputs[number], **inputs
                ):
                    old = self.outputs[number]
                    self.outputs[number] = registry.update(kind, old, **inputs)
                self.unfinished.discard(number)
            except HalfCreated as half:
                self.outputs[number] = half.outputs
                self.unfinished.add(number)
                return False
            except HarborError:
                return False
        return True


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """A run in which everything works. `calls`: how many it made. `described`: what Harbor has in
    the end, without ids and times, for comparison."""

    harbor: FakeHarbor
    declared: Sequence[tuple[str, dict[str, Any]]]
    before: dict[str, Any]
    calls: int
    described: Callable[[FakeHarbor], Any]
    after: Any


def undisturbed(
    harbor: FakeHarbor,
    declared: Sequence[tuple[str, dict[str, Any]]],
    described: Callable[[FakeHarbor], Any],
) -> Undisturbed:
    """Runs what is declared on that Harbor."""
    before = harbor.world.copy()
    harbor.calls(forget=True)
    assert Runs(declared).up(harbor)
    calls = len(harbor.calls())
    return Undisturbed(
        harbor=harbor,
        declared=declared,
        before=before,
        calls=calls,
        described=described,
        after=described(harbor),
    )


def assert_converges(undisturbed: Undisturbed, kind: str, *, times: int) -> None:
    """Hits one call in each run with a fault, and the `times - 1` after it: the runs after that one
    lead to what a run without faults makes, and the one after these makes no call.

    Each call is hit by one kind of fault or another.
    """
    harbor = undisturbed.harbor
    for at in range(1 + FAULTS.index(kind), undisturbed.calls + 1, len(FAULTS)):
        harbor.world.restore(undisturbed.before)
        runs = Runs(undisturbed.declared)
        harbor.plan(Fault(kind, at=at, times=times))
        runs.up(harbor)
        harbor.plan()
        number = 1
        while not runs.up(harbor):
            number += 1
            assert number < 3, f"{kind} at call {at}: no run converges"
        assert undisturbed.described(harbor) == undisturbed.after, f"{kind} at call {at}"
        harbor.calls(forget=True)
        assert runs.up(harbor)
        assert harbor.calls() == [], f"{kind} at call {at}: the next run changes something"
