"""The page of benchmarks, and what is told of a goal."""

from __future__ import annotations

import os
import sys

import pytest

from benchmarks import measuring, page
from benchmarks.__main__ import COLD, NAMES, PAGE
from benchmarks.measuring import STAND_INS, Cost, kind_of
from benchmarks.page import Goal

COST = Cost(wall=2.0, processor=3.0, peak=100, parts={"program": 1.0, STAND_INS[0]: 0.5})


@pytest.mark.parametrize("name", [*NAMES, COLD])
def test_each_benchmark_has_its_place_on_the_page(name: str) -> None:
    text = PAGE.read_text()
    once = page.written(text, name, "| measured |")
    assert "| measured |" in once
    assert page.written(once, name, "| measured |") == once


def test_a_benchmark_without_a_place_is_told() -> None:
    with pytest.raises(LookupError, match="0 places for noop"):
        page.written("# Benchmarks\n", "noop", "")


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        (1.5, "- wall time: **1.50 times**, goal at most 2: met."),
        (2.5, "- wall time: **2.50 times**, goal at most 2: missed by 0.50. More processes."),
    ],
)
def test_a_goal_is_met_or_told_with_distance_and_cause(measured: float, told: str) -> None:
    goal = Goal(what="wall time", measured=measured, at_most=2.0, cause="More processes.")
    assert goal.line == told


def test_stand_ins_are_counted_apart() -> None:
    assert COST.without(STAND_INS) == 2.5
    assert "| x | 2.00 s | 3.00 s | 2.50 s | 100 MiB |" in page.costs(
        [("x", COST)], apart=STAND_INS
    )


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("/x/pulumi up -s local", "pulumi"),
        ("/x/python -P -u -m offline.plugins language 127.0.0.1:1", "stand-in for language-python"),
        ("/x/python -P -u -m offline.plugins tls 127.0.0.1:1", "stand-in for tls"),
        ("/x/python -P -u -m offline.plugins dynamic 127.0.0.1:1", measuring.DYNAMIC),
        ("/x/python -u /x/pulumi-language-python-exec --stack=local .", "program"),
        ("/x/python -P -u -m components.registry.plugin 1", "plugin sovereign-registry"),
        ("/x/pulumi-resource-kubernetes 127.0.0.1:1", "provider kubernetes"),
        ("/bin/sh -c x", "other"),
    ],
)
def test_a_process_is_known_by_its_command_line(command: str, kind: str) -> None:
    assert kind_of(command.split(" ")) == kind


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")
@pytest.mark.parametrize("pause", [0.05, 60], ids=["seen", "between two looks"])
def test_processes_that_lose_their_parent_are_counted_too(
    pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_SAMPLE_SECONDS", pause)
    busy = f"'{sys.executable}' -c 'import time\nwhile time.process_time() < 0.2: pass'"
    cost = measuring.run(["/bin/sh", "-c", f"({busy} &) ; exit 0"], environment=dict(os.environ))
    assert cost.processor >= 0.2
