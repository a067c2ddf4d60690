"""Which Harbor answers in the sandbox, in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.processes import born
from sandbox import harbor_api
from sandbox.processes import SandboxError
from sandbox.state import State


def test_nothing_answers_before_the_first_start_and_after_the_end(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert harbor_api.told(state) == "Harbor's API: nothing answers"
    state.save("harbor-api.json", {"host": "127.0.0.1", "port": 1, "real": False})
    assert harbor_api.told(state) == "Harbor's API: nothing answers"


def test_a_fake_is_called_one(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.save("harbor-api.json", {"host": "127.0.0.1", "port": 1, "real": False})
    own = {"name": harbor_api.NAME, "pid": os.getpid(), "born": born(os.getpid()), "log": ""}
    state.save(f"run/{harbor_api.NAME}.json", own)
    assert "a fake that answers as 2.14.3" in harbor_api.told(state)


def test_a_real_one_is_named_by_its_address_and_not_asked_for_what_only_a_fake_does(
    tmp_path: Path,
) -> None:
    state = State(tmp_path)
    state.save("harbor-api.json", {"host": "10.0.0.7", "port": 8080, "real": True})
    assert "a real Harbor at 10.0.0.7:8080" in harbor_api.told(state)
    with pytest.raises(SandboxError, match="this needs the fake"):
        harbor_api.control(state, "calls", method="GET")
