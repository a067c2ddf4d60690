"""crane with the sandbox's own logins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from engine import crane
from engine.crane import CraneError
from sandbox.processes import SandboxError
from toolchain.build import Toolbox


@dataclass(frozen=True)
class Crane:
    """crane with a folder of logins of its own."""

    tools: Toolbox
    logins: Path

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """What it prints. Raises SandboxError with its words when it fails."""
        try:
            return self._crane.run(*arguments, stdin=stdin)
        except CraneError as error:
            raise SandboxError(str(error)) from None

    def tried(self, *arguments: str, stdin: str | None = None) -> CompletedProcess[str]:
        return self._crane.tried(*arguments, stdin=stdin)

    def login(self, host: str, username: str, password: str) -> None:
        """Keeps a login for a host; no password among the arguments of a process."""
        self._crane.login(host, username, password)

    @property
    def _crane(self) -> crane.Crane:
        return crane.Crane(executable=self.tools.path("crane"), logins=self.logins)
