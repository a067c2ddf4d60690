"""The program alone, against the import of what every program for Kubernetes imports."""

from __future__ import annotations

import os
import sys

from benchmarks import measuring, page
from benchmarks.page import Goal, Section
from benchmarks.sandboxed import Session
from engine.project import ROOT
from engine.workplace import SANDBOX_VALUES

_CAUSE = (
    "The floor imports two SDKs and registers nothing. The models of the settings, with pydantic, "
    "take as long as half of it, and 117 registrations in the SDK's event loop more than all of it."
)


def measure(session: Session) -> Section:
    """Several pairs, medians."""
    # Without kubectl on PATH no process but the program's runs: a preview goes on without it.
    environment = {**os.environ, **SANDBOX_VALUES, "PATH": "/nowhere"}

    def run(*arguments: str) -> measuring.Cost:
        return measuring.run([sys.executable, *arguments], environment=environment, folder=ROOT)

    floor, ours = map(
        measuring.median,
        measuring.alternating(
            lambda: run("-c", "import pulumi, pulumi_kubernetes"),
            lambda: run("-m", "benchmarks.program_alone"),
            pairs=2 if session.quick else 7,
        ),
    )
    return Section(
        command="make bench ONLY=program",
        body=page.costs([("import pulumi, pulumi_kubernetes", floor), ("the program", ours)]),
        goals=[
            Goal(
                what="processor time",
                measured=ours.processor / floor.processor,
                at_most=1.5,
                cause=_CAUSE,
            )
        ],
    )
