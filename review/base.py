"""The base of a change: the commit that it starts from, and what that commit's stack amounts to."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import workplace as engine
from engine.pulumi import EngineError
from policy.resource import Sovereign
from review import plan
from review.digest import digest
from review.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Base:
    """What is compared with. `config`: that of the stack's file; None where it has no such stack.

    `plan`: its offline preview; None where there is none, and `problem` says why.
    """

    commit: str
    config: Mapping[str, Any] | None = None
    plan: Plan | None = None
    problem: str = ""

    @property
    def is_sovereign(self) -> bool:
        """Whether it has the stack, and not as a sandbox."""
        return self.config is not None and not Sovereign.of(self.config).sandbox


def base_of(
    stack: str, reference: str, environment: Mapping[str, str] | None, *, previewed: bool
) -> Base:
    """The base of the stack at the merge base of HEAD and `reference`.

    `previewed`: whether its program is run. Raises EngineError, ToolchainError.
    """
    commit = merge_base(reference)
    with _tree(commit) as folder:
        try:
            config = engine.config(stack, folder)
        except FileNotFoundError:
            return Base(commit=commit, problem=f"it has no Pulumi.{stack}.yaml: the stack is new")
        except EngineError as error:
            return Base(commit=commit, problem=f"its file could not be read: {error}")
        if not previewed:
            return Base(commit=commit, config=config)
        with engine.offline_workplace(stack, environment, folder) as place:
            ran = place.run(["preview", "-s", stack, "--json", "--show-sames"])
        offline = plan.read(stack, digest(ran.output, ran.errors))
    if ran.code:
        problem = (offline.errors or ("pulumi said nothing",))[0].splitlines()[0]
        return Base(commit=commit, config=config, problem=f"its own preview failed: {problem}")
    return Base(commit=commit, config=config, plan=offline)


def merge_base(reference: str) -> str:
    """The commit at which the change began. Raises EngineError."""
    ran = _git("merge-base", "--end-of-options", reference, "HEAD")
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip()
        raise EngineError(
            f"BASE={reference}: {said or 'it has no commit in common with HEAD'}\n"
            "  fix: git fetch origin, and in CI a checkout with its history (fetch-depth: 0, "
            "GIT_DEPTH: 0)"
        )
    return ran.stdout.decode().strip()


@contextmanager
def _tree(commit: str) -> Iterator[Path]:
    """The project's files at a commit, and today's Python environment."""
    packed = _git("archive", "--format=tar", commit)
    if packed.returncode:
        raise EngineError(packed.stderr.decode(errors="replace").strip())
    with tempfile.TemporaryDirectory(prefix="base-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="tar")
        environment = Path(folder) / ".venv"
        if not environment.exists() and (engine.ROOT / ".venv").exists():
            environment.symlink_to((engine.ROOT / ".venv").resolve())
        yield Path(folder)


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=engine.ROOT, capture_output=True, check=False, timeout=120
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"git {arguments[0]}: {error}") from None
