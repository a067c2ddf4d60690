"""Every rule between sections. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from components.settings.cross import backup, database, delivery, harbor, network
from components.settings.registry import cross as registry
from components.settings.schema.problems import CrossRule, Problem

RULES: Final[tuple[CrossRule, ...]] = (
    *harbor.RULES,
    *database.RULES,
    *network.RULES,
    *delivery.RULES,
    *backup.RULES,
    *registry.RULES,
)


def sections_of(rule: CrossRule) -> tuple[str, ...]:
    """The sections that a rule reads, by their attribute names: those of its parameters."""
    return tuple(inspect.signature(rule).parameters)


def problems_between(sections: Mapping[str, Any]) -> list[Problem]:
    """The problems between the given sections (attribute name → section).

    A rule that reads a section that is not given, because it was refused, does not run.
    """
    return [
        problem
        for rule in RULES
        for needed in [sections_of(rule)]
        if all(name in sections for name in needed)
        for problem in rule(**{name: sections[name] for name in needed})
    ]
