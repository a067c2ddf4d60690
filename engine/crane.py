"""crane, the client of registries, run as a process: the only place of the project that does so."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from toolchain import build

_ANSWER_SECONDS = 60


class CraneError(Exception):
    """A registry did not answer, or it refused; the text is what crane said."""


@dataclass(frozen=True, kw_only=True)
class Crane:
    """`logins`: folder of the logins to use; None: those of whoever runs this (docker, podman)."""

    executable: Path
    logins: Path | None = None

    def tried(
        self, *arguments: str, stdin: str | None = None, seconds: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What the command did. Raises subprocess.TimeoutExpired after `seconds`."""
        own = {} if self.logins is None else {"DOCKER_CONFIG": str(self.logins)}
        return subprocess.run(
            [str(self.executable), *arguments],
            env={**os.environ, **own},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def run(self, *arguments: str, stdin: str | None = None, seconds: float | None = None) -> str:
        """What it prints. Raises CraneError with its words when it fails."""
        try:
            done = self.tried(*arguments, stdin=stdin, seconds=seconds)
        except subprocess.TimeoutExpired:
            raise CraneError(f"crane {arguments[0]}: no answer within {seconds:.0f} s") from None
        if done.returncode != 0:
            raise CraneError(f"crane {arguments[0]}: {words(done.stderr)}")
        return done.stdout

    def digest(self, reference: str) -> str:
        """`sha256:…` of what a registry has under that name. Raises CraneError."""
        return self.run("digest", reference, seconds=_ANSWER_SECONDS).strip()

    def login(self, host: str, username: str, password: str) -> None:
        """Keeps a login for a host; no password among the arguments of a process."""
        self.run("auth", "login", host, "-u", username, "--password-stdin", stdin=password)


def words(errors: str) -> str:
    """crane's reason in one line, without the queries of URLs, in which storage signs its links."""
    lines = [line for line in errors.splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if line.startswith("Error: ")), "")
    text = reason.removeprefix("Error: ") or (lines[-1] if lines else "no reason given")
    return re.sub(r"(https?://)([^/\s@]*@)?([^\s?\"]*)(\?[^\s\"]*)?", r"\1\3", text)[:500]


def find() -> Crane | None:
    """crane from PATH, or as the sandbox built it; None where there is neither. Builds nothing."""
    tools = build.selected(["crane"])
    on_path = build.clis_on_path(tools)
    if any(build.is_needed(tool, on_path) and not tool.cached().exists() for tool in tools):
        return None
    return Crane(executable=build.ensure(["crane"], report=lambda _: None).path("crane"))
