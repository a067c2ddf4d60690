"""A run that changes nothing, against the engine's floor.

The floor is a program with one Kubernetes provider on the same backend.
"""

from __future__ import annotations

from benchmarks import measuring, page
from benchmarks.measuring import STAND_INS
from benchmarks.page import Goal, Section
from benchmarks.sandboxed import Session

_CAUSE = (
    "The engine and the provider of Kubernetes compare 120 resources where the floor has two. "
    "Beside them run the process of dynamic providers, the registry's plugin and five of kubectl, "
    "for the checks before a run and for the dynamic providers: each imports pulumi's SDK or loads "
    "kubectl anew."
)


def measure(session: Session) -> Section:
    """Several pairs, medians."""
    floor, ours = map(measuring.median, session.unchanged_pairs)
    named = [("floor", floor), ("Sovereign", ours)]
    return Section(
        command="make bench ONLY=noop",
        body=f"{page.costs(named, apart=STAND_INS)}\n\n{page.parts(named)}",
        goals=[
            Goal(
                what="wall time",
                measured=ours.wall / floor.wall,
                at_most=2.0,
                cause=_CAUSE,
            ),
            Goal(
                what="processor time, without stand-in plugins",
                measured=ours.without(STAND_INS) / floor.without(STAND_INS),
                at_most=2.0,
                cause="The cause is the same.",
            ),
        ],
    )
