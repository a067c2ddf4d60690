"""crane, the client of registries."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import SandboxError
from toolchain.build import Toolbox


@dataclass(frozen=True)
class Crane:
    """crane with a folder of logins of its own."""

    tools: Toolbox
    logins: Path

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """What it prints. Raises SandboxError with its words when it fails."""
        done = self.tried(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise SandboxError(f"crane {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def tried(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.tools.path("crane")), *arguments],
            env={**os.environ, "DOCKER_CONFIG": str(self.logins)},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def login(self, host: str, username: str, password: str) -> None:
        """Keeps a login for a host; no password among the arguments of a process."""
        self.run("auth", "login", host, "-u", username, "--password-stdin", stdin=password)
