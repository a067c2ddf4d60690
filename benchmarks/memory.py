"""Peak memory of a first `up` and of one that changes nothing."""

from __future__ import annotations

from benchmarks import page
from benchmarks.page import Section
from benchmarks.sandboxed import Session


def measure(session: Session) -> Section:
    """The highest of the runs that the session made for other benchmarks, or made now."""
    floors, unchanged = session.unchanged_pairs
    peaks = {
        "floor, a run without changes": floors,
        "Sovereign, a run without changes": unchanged,
        "Sovereign, first `up`": session.first_ups,
    }
    floor = max(cost.peak for cost in floors)
    rows = [
        [what, f"{peak:.0f} MiB", f"{peak / floor:.2f} times"]
        for what, costs in peaks.items()
        for peak in [max(cost.peak for cost in costs)]
    ]
    return Section(
        command="make bench ONLY=memory",
        body=page.table(["what", "peak", "of the floor's"], rows),
    )
