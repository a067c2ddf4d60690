"""Runs of declared resources over a fake Harbor, with faults between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.registry.errors import HarborError
from components.registry.kinds.base import HalfCreated
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import Registry


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
