"""What a wide section registers, whole: a Harbor that runs sees no change of it by chance."""

from __future__ import annotations

from pathlib import Path

from tests.support.builders import Build
from tests.support.golden import compare, registered
from tests.support.mocks import Engine
from tests.unit.registry.test_component import WIDE, registry

GOLDEN = Path(__file__).parent / "golden"


def test_a_stack_that_says_nothing_new_keeps_its_registry(engine: Engine, build: Build) -> None:
    robots = {
        "ci": {
            **{"permissions": ["push"], "rotation": 2, "days": 90, "graceDays": 14},
            "pullSecret": {"namespaces": ["build"]},
        }
    }
    projects = {**WIDE["projects"], "apps": {**WIDE["projects"]["apps"], "robots": robots}}
    system = {"sessionMinutes": 90, "defaultQuota": "10Gi"}
    build(registry, {**WIDE, "projects": projects, "system": system})
    made = [
        each
        for each in registered(engine)
        if each["resource"].rpartition(" ")[2].startswith("registry")
    ]
    for each in made:
        if "sealing" in each["resource"] or "SealedSecret" in each["resource"]:
            each.pop("inputs", None)  # other ciphertexts each time
        each.get("inputs", {}).pop("revision", None)  # another one each time
    compare(made, GOLDEN / "registered.yaml")
