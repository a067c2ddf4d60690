"""Commands for one stack whose state lies in files: the sandbox and the tests use it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from engine import pulumi
from engine.processes import born
from engine.project import ROOT
from engine.pulumi import DEBUG, EngineError, Watch


@dataclass(frozen=True)
class Result:
    """A command's output (both streams, in order) and its exit code."""

    text: str
    code: int


@dataclass(frozen=True)
class Stack:
    """The commands for one stack; `environment` goes on top of this process's own."""

    name: str
    environment: Mapping[str, str]
    folder: Path = ROOT

    def run(
        self, *arguments: str, show: bool = False, check: bool = True, watch: Watch | None = None
    ) -> Result:
        """Runs `pulumi <arguments>`; with `show` its output appears while it runs.

        `watch` gets the engine's events as they come. Raises EngineError when the command fails,
        unless `check` is false.
        """
        environment = {**os.environ, **self.environment, **(DEBUG if watch else {})}
        ran = pulumi.run(
            arguments,
            folder=self.folder,
            environment=environment,
            merge=True,
            show=show,
            watch=watch,
        )
        if check and ran.code != 0:
            words = "" if show else f":\n{ran.output}"
            raise EngineError(f"pulumi {arguments[0]} -s {self.name} failed{words}")
        return Result(ran.output, ran.code)

    def ensure(self) -> None:
        """Makes the stack in the backend unless it is there."""
        self.drop_dead_lock()
        known = {entry["name"] for entry in json.loads(self.run("stack", "ls", "--json").text)}
        if self.name not in known:
            self.run("stack", "init", self.name, "--no-select")

    def drop_dead_lock(self) -> None:
        """Removes the lock that a killed engine left; a living one keeps its lock."""
        backend = Path(urlparse(self.environment["PULUMI_BACKEND_URL"]).path)
        for lock in backend.glob(f".pulumi/locks/organization/*/{self.name}/*.json"):
            if born(json.loads(lock.read_text())["pid"]) is None:
                lock.unlink(missing_ok=True)

    def up(
        self,
        *,
        show: bool = False,
        expect_no_changes: bool = False,
        watch: Watch | None = None,
    ) -> Result:
        """`pulumi up` without questions. Raises EngineError."""
        options = ["--expect-no-changes"] if expect_no_changes else []
        return self.run(
            "up",
            "-s",
            self.name,
            "--yes",
            "--skip-preview",
            "--suppress-outputs",
            *options,
            show=show,
            watch=watch,
        )

    def outputs(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs. Raises EngineError."""
        options = ["--show-secrets"] if show_secrets else []
        return json.loads(self.run("stack", "output", "-s", self.name, "--json", *options).text)
