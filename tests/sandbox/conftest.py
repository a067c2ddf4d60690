"""One sandbox for all tests of a session, in a folder of its own, and the engine to drive it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import scratch
from engine.project import ROOT
from engine.stack import Stack
from engine.terminal import Steps
from sandbox import commands
from sandbox.environment import environment
from sandbox.state import STACK, State
from tests.support.sandbox import Sandbox, begin_anew, remove
from toolchain.build import ensure

SOVEREIGN = pytest.StashKey[tuple[Sandbox, Stack]]()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox without a Sovereign in it yet. It ends with the session, however that ends."""
    folder = tmp_path_factory.mktemp("sandbox")
    os.environ["SANDBOX_DIR"] = str(folder)
    # Pods run in test_pods.py, and where `make up` is tested: they take processor time.
    os.environ.setdefault("SANDBOX_PODS", "simulated")
    state = State(folder)
    tools = ensure(report=lambda _: None)
    commands.start(state, tools, Steps(9), watch=os.getpid())
    project = scratch.project(folder / "project")
    try:
        yield Sandbox(state, tools, project, environment(state, tools))
    finally:
        commands.stop_all(state)
        del os.environ["SANDBOX_DIR"]


@pytest.fixture(scope="session")
def sovereign(sandbox: Sandbox, pytestconfig: pytest.Config) -> Stack:
    """The local Sovereign, up."""
    stack = sandbox.stack()
    stack.ensure()
    stack.up()
    pytestconfig.stash[SOVEREIGN] = sandbox, stack
    return stack


@pytest.fixture(scope="module", autouse=True)
def left_as_committed(pytestconfig: pytest.Config) -> Iterator[None]:
    """The next file finds the Sovereign as its committed stack file describes it.

    Which files share a sandbox, and in which order, differs from run to run.
    """
    yield
    made = pytestconfig.stash.get(SOVEREIGN, None)
    if made is None:
        return
    sandbox, stack = made
    committed, file = ROOT / f"Pulumi.{STACK}.yaml", sandbox.project / f"Pulumi.{STACK}.yaml"
    left = described(file)
    if left == described(committed):
        return
    if any(isinstance(value, dict) and "secure" in value for value in left.values()):
        # A secret that a test gave cannot be taken back from a Sovereign.
        remove(stack)
    begin_anew(sandbox, stack)


def described(file: Path) -> dict[str, Any]:
    """What a stack file sets; the engine adds its salt beside it."""
    return yaml.safe_load(file.read_text())["config"]
