"""One sandbox for all tests of a session, in a folder of its own, and the engine to drive it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import scratch
from engine.stack import Stack
from engine.terminal import Steps
from sandbox import commands
from sandbox.environment import environment
from sandbox.state import STACK, State
from toolchain.build import Toolbox, ensure


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox and a scratch copy of the project."""

    state: State
    tools: Toolbox
    project: Path
    variables: dict[str, str]

    def stack(self, name: str = STACK, **variables: str) -> Stack:
        """The engine for a stack, with more environment variables if given.

        A stack that is no sandbox has a passphrase of its own, as the program demands.
        """
        own = {} if name == STACK else {"PULUMI_CONFIG_PASSPHRASE": "of the estate's own"}
        return Stack(name, {**self.variables, **own, **variables}, self.project)

    def section(self, section: str, name: str = STACK) -> Any:
        """What a stack's scratch file says of a top-level section; None when nothing."""
        document = yaml.safe_load((self.project / f"Pulumi.{name}.yaml").read_text())
        return document["config"].get(f"sovereign-harbor:{section}")

    def configure(self, name: str = STACK, **sections: object) -> None:
        """Replaces top-level sections in a stack's scratch file; None removes one."""
        file = self.project / f"Pulumi.{name}.yaml"
        document = yaml.safe_load(file.read_text())
        for section, value in sections.items():
            key = f"sovereign-harbor:{section}"
            if value is None:
                document["config"].pop(key, None)
            else:
                document["config"][key] = value
        file.write_text(yaml.safe_dump(document))

    @contextmanager
    def configured(self, name: str = STACK, **sections: object) -> Iterator[None]:
        """As `configure`; afterwards the file is as before, whatever happened to it meanwhile."""
        file = self.project / f"Pulumi.{name}.yaml"
        before = file.read_text()
        self.configure(name, **sections)
        try:
            yield
        finally:
            file.write_text(before)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox without a Sovereign in it yet. It ends with the session, however that ends."""
    folder = tmp_path_factory.mktemp("sandbox")
    os.environ["SANDBOX_DIR"] = str(folder)
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
def sovereign(sandbox: Sandbox) -> Stack:
    """The local Sovereign, up."""
    stack = sandbox.stack()
    stack.ensure()
    stack.up()
    return stack
