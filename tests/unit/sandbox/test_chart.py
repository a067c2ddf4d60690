"""Which chart the sandbox uses."""

from __future__ import annotations

from pathlib import Path

import pytest

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
