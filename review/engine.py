"""Where a stack is previewed, and with which tools.

With a backend in the environment (PULUMI_BACKEND_URL, or PULUMI_ACCESS_TOKEN for Pulumi Cloud) a
stack that is there is compared with its state. Otherwise, as for a pull request from a fork, the
preview runs in a scratch copy with an empty state: no cluster, no backend and no secret is needed,
and everything appears as new.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.settings.rules import is_path_of_certificate
from sandbox import scratch, toolchain
from sandbox.environment import own_pulumi
from sandbox.state import ROOT, State

PREFIX = "sovereign-harbor:"
# --event-log is one of the engine's debugging flags.
DEBUG = {"PULUMI_DEBUG_COMMANDS": "1"}
_PASSPHRASE = "preview"  # of a state that lives for one preview


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A folder with the project and the environment for `pulumi` in it."""

    folder: Path
    environment: Mapping[str, str]
    is_scratch: bool

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """`pulumi <arguments>` with both streams kept."""
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


def stack_file(stack: str) -> Path:
    return ROOT / f"Pulumi.{stack}.yaml"


def sovereigns() -> list[str]:
    """The stacks that exist as files, without the sandbox's."""
    names = [file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in _stack_files()]
    return sorted(name for name in names if not is_sandbox(name))


def _stack_files() -> list[Path]:
    return [file for file in ROOT.glob("Pulumi.*.yaml") if file.name != "Pulumi.yaml"]


def is_sandbox(stack: str) -> bool:
    """Whether the stack's file says so."""
    return str(config(stack).get(f"{PREFIX}sandbox", "")).lower() == "true"


def config(stack: str) -> dict[str, Any]:
    """The stack's config as its file has it. Raises FileNotFoundError."""
    return (yaml.safe_load(stack_file(stack).read_text()) or {}).get("config") or {}


def tools_environment() -> dict[str, str]:
    """This process's environment, with pulumi and its plugins on PATH; built where there are none.

    Raises ToolchainError.
    """
    state = State.current()
    tools = toolchain.ensure(["pulumi", "pulumi-resource-kubernetes"], report=lambda _: None)
    own = own_pulumi(state, tools)
    before = os.environ.get("PATH", "").split(os.pathsep)
    first = [*own, *map(str, tools.bin_dirs())]
    path = os.pathsep.join([*first, *(part for part in before if part not in first)])
    result = {**os.environ, "PATH": path, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    if own:
        result["PULUMI_HOME"] = str(state.folder / "pulumi-home")
        result["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return result


def has_backend(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("PULUMI_BACKEND_URL") or environment.get("PULUMI_ACCESS_TOKEN"))


@contextmanager
def workplace(stack: str) -> Iterator[Workplace]:
    """The place for a preview of the stack. Raises FileNotFoundError, ToolchainError."""
    stack_file(stack).read_bytes()
    environment = {**tools_environment(), **DEBUG}
    if has_backend(environment) and stack in _known_stacks(environment):
        yield Workplace(folder=ROOT, environment=environment, is_scratch=False)
        return
    with tempfile.TemporaryDirectory(prefix=f"preview-{stack}-") as folder:
        yield _scratch(stack, Path(folder), environment)


def _known_stacks(environment: Mapping[str, str]) -> set[str]:
    listed = subprocess.run(
        ["pulumi", "stack", "ls", "--json", "--non-interactive"],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        raise RuntimeError(listed.stderr.strip())
    return {entry["name"].rpartition("/")[2] for entry in json.loads(listed.stdout)}


def _scratch(stack: str, folder: Path, environment: dict[str, str]) -> Workplace:
    project = scratch.project(folder / "project")
    strip(project / f"Pulumi.{stack}.yaml", sandbox=is_sandbox(stack))
    _copy_certificate(stack, project)
    (folder / "state").mkdir()
    place = Workplace(
        folder=project,
        environment={
            **environment,
            **(_SANDBOX_VALUES if is_sandbox(stack) else {}),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
            # No cluster is asked, whichever one this machine's kubeconfig names.
            "KUBECONFIG": str(folder / "no-kubeconfig"),
        },
        is_scratch=True,
    )
    made = place.run(["stack", "init", stack, "--no-select"])
    if made.returncode != 0:
        raise RuntimeError(made.stderr.strip())
    return place


# What only a running sandbox knows, for a preview of its stack without one.
_SANDBOX_VALUES: Mapping[str, str] = {
    "SANDBOX_KUBE_CONTEXT": "sandbox-not-running",
    "SANDBOX_S3_ENDPOINT": "http://127.0.0.1:9",
    "SANDBOX_S3_ACCESS_KEY": "SANDBOXACCESSKEY",
    "SANDBOX_S3_SECRET_KEY": "sandbox-not-running",
}


def strip(file: Path, *, sandbox: bool) -> None:
    """Takes out of a copied stack file what only the holder of its key can read.

    The program goes on with unknown values for the secrets that are missing then.
    """
    document = yaml.safe_load(file.read_text()) or {}
    for key in ("encryptionsalt", "encryptedkey", "secretsprovider"):
        document.pop(key, None)
    settings = document.get("config") or {}
    document["config"] = {
        key: value
        for key, value in settings.items()
        if not (isinstance(value, dict) and set(value) == {"secure"})
        # The running sandbox's certificate; without it the preview goes on with an unknown one.
        and not (sandbox and key == f"{PREFIX}sealing")
    }
    file.write_text(yaml.safe_dump(document))


def _copy_certificate(stack: str, project: Path) -> None:
    """The pinned sealing certificate lies beside the stack's file."""
    name = str((config(stack).get(f"{PREFIX}sealing") or {}).get("certificate", ""))
    if is_path_of_certificate(name) and (ROOT / name).is_file() and not Path(name).is_absolute():
        target = project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
