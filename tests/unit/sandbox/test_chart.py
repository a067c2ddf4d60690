"""Which chart the sandbox uses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components import versions
from engine.project import ROOT
from sandbox import chart
from sandbox.state import State
from toolchain.build import Toolbox

TOOLS = Toolbox({}, {})


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setattr(chart, "_fetched", lambda *_: None)
    monkeypatch.delenv("HARBOR_CHART", raising=False)
    return State(tmp_path)


def test_a_chart_that_the_environment_names_is_used_each_time(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARBOR_CHART", "/charts/harbor")
    for _ in range(3):
        source, told = chart.choose(state, TOOLS)
        assert source == "/charts/harbor"
        assert told == "chart /charts/harbor, as HARBOR_CHART says"
    assert state.load("chart.json") == {"source": "/charts/harbor"}


def test_without_a_named_chart_the_stand_in_says_what_it_is(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, told = chart.choose(state, TOOLS)
    assert source == chart.STAND_IN
    assert told.startswith("STAND-IN chart")
    monkeypatch.setenv("HARBOR_CHART", source)
    assert chart.choose(state, TOOLS)[0] == source
    assert chart.choose(state, TOOLS)[1].startswith("STAND-IN chart"), "in the shell of make env"


def test_the_version_is_that_of_the_sandbox_s_stack(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chart.wanted_version() == versions.HARBOR_CHART
    newest = versions.NEWEST_HARBOR_CHART
    monkeypatch.setattr(chart, "wanted_version", lambda: newest)
    asked: list[str] = []
    monkeypatch.setattr(chart, "_fetched", lambda *given: asked.append(given[2]))
    source, told = chart.choose(state, TOOLS)
    assert asked == [newest]
    assert f"goharbor's chart {newest} could not be fetched" in told
    metadata = yaml.safe_load((ROOT / source / "Chart.yaml").read_text())
    assert metadata["version"] == newest
