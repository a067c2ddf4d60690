"""Calls of the Pulumi CLI against a stack, in the sandbox's environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from sandbox.processes import SandboxError, born
from sandbox.state import ROOT


@dataclass(frozen=True)
class Result:
    """What a command said (both streams, in order) and its exit code."""

    text: str
    code: int


@dataclass(frozen=True)
class Pulumi:
    """The CLI for one stack. `environment` is complete, as from sandbox.environment."""

    stack: str
    environment: Mapping[str, str]
    folder: Path = ROOT

    def run(self, *arguments: str, show: bool = False, check: bool = True) -> Result:
        """Runs `pulumi <arguments>`; with `show` its output appears while it runs."""
        lines: list[str] = []
        with subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                lines.append(line)
                if show:
                    print(f"    {line}", end="", flush=True)
        result = Result("".join(lines), child.returncode)
        if check and result.code != 0:
            words = "" if show else f":\n{result.text}"
            raise SandboxError(f"pulumi {arguments[0]} -s {self.stack} failed{words}")
        return result

    def ensure_stack(self) -> None:
        """Makes the stack in the backend unless it is there."""
        self.drop_dead_lock()
        known = {entry["name"] for entry in json.loads(self.run("stack", "ls", "--json").text)}
        if self.stack not in known:
            self.run("stack", "init", self.stack, "--no-select")

    def drop_dead_lock(self) -> None:
        """Removes the lock that a killed engine left; a living one keeps its lock."""
        backend = Path(urlparse(self.environment["PULUMI_BACKEND_URL"]).path)
        for lock in backend.glob(f".pulumi/locks/organization/*/{self.stack}/*.json"):
            if born(json.loads(lock.read_text())["pid"]) is None:
                lock.unlink(missing_ok=True)

    def up(self, *, show: bool = False, expect_no_changes: bool = False) -> Result:
        """`pulumi up` without questions."""
        wanted = ["--expect-no-changes"] if expect_no_changes else []
        return self.run(
            "up",
            "-s",
            self.stack,
            "--yes",
            "--skip-preview",
            "--suppress-outputs",
            *wanted,
            show=show,
        )

    def outputs(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs."""
        wanted = ["--show-secrets"] if show_secrets else []
        return json.loads(self.run("stack", "output", "-s", self.stack, "--json", *wanted).text)
