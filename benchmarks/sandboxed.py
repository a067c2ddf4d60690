"""A sandbox of the benchmarks' own, with a Sovereign in it: what several of them measure."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import measuring
from benchmarks.measuring import Cost
from engine import scratch
from engine.project import ROOT
from engine.stack import Stack
from engine.terminal import Steps
from sandbox import commands
from sandbox.environment import environment
from sandbox.state import CONTEXT, State
from tests.support.sandbox import Sandbox, remove
from toolchain.build import ensure

UP = ("up", "--yes", "--skip-preview", "--suppress-outputs", "--non-interactive")

FLOOR = {
    "Pulumi.yaml": json.dumps(
        {"name": "floor", "runtime": {"name": "python", "options": {"virtualenv": ".venv"}}}
    ),
    "__main__.py": (
        f'import pulumi_kubernetes as k8s\n\nk8s.Provider("cluster", context="{CONTEXT}")\n'
    ),
}
"""The least that a program for Kubernetes is: one provider."""


class Session:
    """What benchmarks share, made when it is first asked for and ended with the session."""

    def __init__(self) -> None:
        self._exits = ExitStack()
        self.first_ups: list[Cost] = []
        self.is_up = False
        self.quick = False

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @cached_property
    def folder(self) -> Path:
        """A folder that goes with the session."""
        return Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))

    @cached_property
    def sandbox(self) -> Sandbox:
        """A running sandbox without a Sovereign, and a copy of the project."""
        folder = self.folder / "sandbox"
        folder.mkdir()
        os.environ["SANDBOX_DIR"] = str(folder)
        state, tools = State(folder), ensure(report=lambda _: None)
        self._exits.callback(commands.stop_all, state)
        commands.start(state, tools, Steps(9), watch=os.getpid())
        project = scratch.project(self.folder / "project")
        return Sandbox(state, tools, project, environment(state, tools))

    @property
    def environment(self) -> dict[str, str]:
        """Of commands in the sandbox, complete."""
        return {**os.environ, **self.sandbox.variables}

    def pulumi(self, stack: Stack, *arguments: str) -> Cost:
        """What a command of pulumi's costs. Raises CalledProcessError."""
        return measuring.run(
            ["pulumi", *arguments, "-s", stack.name],
            environment=self.environment,
            folder=stack.folder,
        )

    def first_up(self) -> Cost:
        """What the first `up` of the Sovereign costs; one that is there is removed before."""
        if self.is_up:
            self.take_down()
        stack = self.sandbox.stack()
        stack.ensure()
        self.first_ups.append(self.pulumi(stack, *UP))
        self.is_up = True
        return self.first_ups[-1]

    def take_down(self) -> None:
        """Removes the Sovereign."""
        remove(self.sandbox.stack())
        self.is_up = False

    @property
    def sovereign(self) -> Stack:
        """The local Sovereign, up."""
        if not self.is_up:
            self.first_up()
        return self.sandbox.stack()

    @cached_property
    def floor(self) -> Stack:
        """A program with one provider on the same backend, up."""
        folder = self.folder / "floor"
        folder.mkdir()
        for name, text in FLOOR.items():
            (folder / name).write_text(text)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        stack = Stack("floor", self.sandbox.variables, folder)
        stack.ensure()
        stack.up()
        return stack

    def unchanged(self, stack: Stack) -> Cost:
        """What an `up` that changes nothing costs. Raises CalledProcessError if it changes any."""
        return self.pulumi(stack, *UP, "--expect-no-changes")

    @cached_property
    def unchanged_pairs(self) -> tuple[list[Cost], list[Cost]]:
        """Runs that change nothing, of the floor and of the Sovereign, alternating."""
        floor, sovereign = self.floor, self.sovereign
        return measuring.alternating(
            lambda: self.unchanged(floor),
            lambda: self.unchanged(sovereign),
            pairs=2 if self.quick else 5,
        )

    def resources(self) -> list[dict[str, Any]]:
        """The Sovereign's resources in the state; their secrets stay encrypted."""
        stack = self.sovereign
        text = stack.run("stack", "export", "-s", stack.name).text
        return json.loads(text)["deployment"]["resources"]
