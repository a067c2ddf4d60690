"""Where pulumi runs for a stack: in the project itself, or in a copy with an empty state.

With a backend in the environment (PULUMI_BACKEND_URL, or PULUMI_ACCESS_TOKEN for Pulumi Cloud) a
stack that is there is compared with its state. Otherwise, as for a pull request from a fork, the
preview runs in a scratch copy with an empty state: no cluster, no backend and no secret is needed,
and everything appears as new.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.settings.reading import refusals
from components.settings.reading import stack_file as files
from components.settings.reading.stack_file import StackFile, StackFileRefused
from components.settings.schema.rules import is_path_of_certificate
from engine import pulumi, scratch, stacks, tools
from engine.project import ROOT
from engine.pulumi import DEBUG, EngineError, Ran, Watch

_PASSPHRASE = "preview"  # of a state that lives for one preview


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A folder with the project and the environment for `pulumi` in it."""

    folder: Path
    environment: Mapping[str, str]
    is_scratch: bool

    def run(self, arguments: Sequence[str], *, watch: Watch | None = None) -> Ran:
        """`pulumi <arguments>`; with `watch` also its event log. Ends it when interrupted."""
        return pulumi.run(arguments, folder=self.folder, environment=self.environment, watch=watch)


def stack_file(stack: str, root: Path | None = None) -> Path:
    return stacks.file_of(stack, root or ROOT)


def sovereigns() -> list[str]:
    """The stacks that exist as files, without the sandbox's."""
    return stacks.sovereigns(ROOT)


def is_sandbox(stack: str, root: Path | None = None) -> bool:
    """Whether the stack's file says so. Raises FileNotFoundError and EngineError."""
    return read(stack, root).is_sandbox


def config(stack: str, root: Path | None = None) -> Mapping[str, Any]:
    """The stack's config as its file has it. Raises FileNotFoundError and EngineError.

    `root`: the project, this one unless given.
    """
    return read(stack, root).config


def salt(stack: str) -> str:
    """`encryptionsalt` of the stack's file, or nothing. Raises FileNotFoundError."""
    line = re.search(r"^encryptionsalt: *(\S+)", stack_file(stack).read_text(), re.MULTILINE)
    return line[1] if line else ""


def read(stack: str, root: Path | None = None) -> StackFile:
    """The stack's file. Raises FileNotFoundError, and EngineError with file, line and column."""
    try:
        return files.read(stack_file(stack, root))
    except StackFileRefused as error:
        raise EngineError(str(error)) from None


def has_backend(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("PULUMI_BACKEND_URL") or environment.get("PULUMI_ACCESS_TOKEN"))


@contextmanager
def workplace(stack: str, environment: Mapping[str, str] | None = None) -> Iterator[Workplace]:
    """Where the stack is previewed; `environment` as of tools_environment.

    Raises FileNotFoundError, ToolchainError, EngineError.
    """
    read(stack)
    environment = {**(environment or tools.tools_environment()), **DEBUG}
    if has_backend(environment) and stack in {entry["name"] for entry in listed(environment)}:
        yield Workplace(folder=ROOT, environment=environment, is_scratch=False)
        return
    with offline_workplace(stack, environment) as place:
        yield place


@contextmanager
def offline_workplace(
    stack: str, environment: Mapping[str, str] | None = None, root: Path | None = None
) -> Iterator[Workplace]:
    """A copy with an empty state, whatever the backend. `root`: the project, this unless given.

    Raises FileNotFoundError, ToolchainError, EngineError.
    """
    environment = {**(environment or tools.tools_environment()), **DEBUG}
    with tempfile.TemporaryDirectory(prefix=f"preview-{stack}-") as folder:
        yield _scratch(stack, read(stack, root), Path(folder), environment, root or ROOT)


def backend_workplace(environment: Mapping[str, str]) -> Workplace:
    """Where a stack is changed. Raises EngineError without a backend."""
    if not has_backend(environment):
        raise EngineError(
            "no backend: set PULUMI_BACKEND_URL, or PULUMI_ACCESS_TOKEN "
            "(docs/howto/state-backends.md)"
        )
    return Workplace(folder=ROOT, environment={**environment, **DEBUG}, is_scratch=False)


_LISTED: dict[str, list[dict[str, Any]]] = {}
_LISTING = threading.Lock()


def listed(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """The project's stacks as the backend lists them; asked once. Raises EngineError."""
    backend = environment.get("PULUMI_BACKEND_URL") or "Pulumi Cloud"
    with _LISTING:
        if backend not in _LISTED:
            place = backend_workplace(environment)
            ran = place.run(["stack", "ls", "--json"])
            if ran.code != 0:
                raise EngineError(ran.errors.strip())
            _LISTED[backend] = [
                # Pulumi Cloud puts the organization in front.
                {**entry, "name": entry["name"].rpartition("/")[2]}
                for entry in json.loads(ran.output)
            ]
        return _LISTED[backend]


def _scratch(
    stack: str, file: StackFile, folder: Path, environment: dict[str, str], root: Path
) -> Workplace:
    project = scratch.project(folder / "project", root)
    stacks.file_of(stack, project).write_text(files.written(without_secrets(file)))
    _copy_certificate(file, project, root)
    (folder / "state").mkdir()
    place = Workplace(
        folder=project,
        environment={
            **environment,
            **(SANDBOX_VALUES if file.is_sandbox else {}),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
            refusals.EDITS: "1",
            # No cluster is asked, whichever one this machine's kubeconfig names. The path stands
            # in a warning, which is the same in every run then.
            "KUBECONFIG": "/no-kubeconfig-in-this-preview",
        },
        is_scratch=True,
    )
    made = place.run(["stack", "init", stack, "--no-select"])
    if made.code != 0:
        raise EngineError(made.errors.strip())
    return place


# For a preview of the sandbox's stack while no sandbox runs: values that only a running one knows.
SANDBOX_VALUES: Mapping[str, str] = {
    "SANDBOX_KUBE_CONTEXT": "sandbox-not-running",
    "SANDBOX_S3_ENDPOINT": "http://127.0.0.1:9",
    "SANDBOX_S3_ACCESS_KEY": "SANDBOXACCESSKEY",
    "SANDBOX_S3_SECRET_KEY": "sandbox-not-running",
}


def without_secrets(file: StackFile) -> dict[str, Any]:
    """The config without encrypted values: their key may be missing here.

    The program takes unknown values for the missing secrets.
    """
    return {
        key: value
        for key, value in file.config.items()
        if not files.is_encrypted(value)
        # Only a running sandbox has this certificate; without it the program takes an unknown one.
        and not (file.is_sandbox and key == f"{files.PROJECT}:sealing")
    }


def _copy_certificate(file: StackFile, project: Path, root: Path) -> None:
    """The pinned sealing certificate lies beside the stack's file."""
    sealing = file.settings.get("sealing")
    name = str(sealing.get("certificate", "")) if isinstance(sealing, dict) else ""
    if is_path_of_certificate(name) and (root / name).is_file() and not Path(name).is_absolute():
        target = project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
