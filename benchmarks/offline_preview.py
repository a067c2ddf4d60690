"""The engine's part of `make preview`, offline, against a run in the sandbox."""

from __future__ import annotations

from benchmarks import measuring, page
from benchmarks.measuring import STAND_INS
from benchmarks.page import Section
from benchmarks.sandboxed import Session
from engine import tools, workplace
from review.preview import PACK, has_policy_sdk
from sandbox.state import STACK

_BACKEND = ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN")


def measure(session: Session) -> Section:
    """Medians; the run in the sandbox is the one that changes nothing."""
    unchanged = measuring.median(session.unchanged_pairs[1])
    environment = {k: v for k, v in tools.tools_environment().items() if k not in _BACKEND}
    packs = ["--policy-pack", PACK] if has_policy_sdk() else []
    command = ["pulumi", "preview", "-s", STACK, "--json", "--show-sames", "--non-interactive"]
    with workplace.offline_workplace(STACK, environment) as place:
        previews, without = (
            measuring.median(costs)
            for costs in measuring.alternating(
                lambda: place_run(place, [*command, *packs]),
                lambda: place_run(place, command),
                pairs=1 if session.quick else 3,
            )
        )
    named = [
        ("a run without changes in the sandbox", unchanged),
        ("offline preview without the policy pack", without),
        ("offline preview", previews),
    ]
    ratio = previews.without(STAND_INS) / unchanged.without(STAND_INS)
    return Section(
        command="make bench ONLY=offline_preview",
        body=f"{page.costs(named, apart=STAND_INS)}\n\n{page.parts(named)}\n\n"
        f"An offline preview takes {ratio:.2f} times the processor time of a run without changes, "
        f"and {previews.wall / unchanged.wall:.2f} times its wall time.",
    )


def place_run(place: workplace.Workplace, command: list[str]) -> measuring.Cost:
    """What a command costs in the copy of the project."""
    return measuring.run(command, environment=place.environment, folder=place.folder)
