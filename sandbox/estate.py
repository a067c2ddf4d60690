"""The stacks that the sandbox runs: the local one, and estates by their committed stack files.

An estate has a folder in sandbox/estates/. Its stack.yaml names every setting that is another one
here than in the committed file, and why. The folder's other files are what the estate's cluster
has before this program comes. Each estate has a sandbox of its own, as it has a cluster of its own.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from engine import scratch, stacks
from engine.project import ROOT, data_folder
from sandbox.processes import SandboxError
from sandbox.state import STACK, State

ESTATES = ROOT / "sandbox" / "estates"
_OVERLAY = "stack.yaml"
_PREFIX = "sovereign-harbor:"


@dataclass(frozen=True)
class Estate:
    """One stack as it runs in the sandbox. `document`: its stack file here."""

    stack: str
    document: dict[str, Any]

    @property
    def state(self) -> State:
        """Where its sandbox keeps what it writes."""
        folder = data_folder()
        return State(folder if self.stack == STACK else folder / "estates" / self.stack)

    @property
    def namespace(self) -> str:
        """Harbor's namespace."""
        return self._section("harbor").get("namespace", "harbor")

    @property
    def has_kyverno(self) -> bool:
        """Whether the stack's image policies need Kyverno."""
        return self._section("imagePolicy").get("enabled", True) in (True, "true")

    @property
    def has_sealing(self) -> bool:
        """Whether its Secrets are sealed, not brought by the External Secrets Operator."""
        return self._section("secrets").get("delivery", "sealed") == "sealed"

    @property
    def has_own_cache(self) -> bool:
        """Whether its Valkey is one of its own, not the estate's."""
        return self._section("valkey").get("mode", "dedicated") == "dedicated"

    @property
    def issuers(self) -> list[str]:
        """Addresses at which people log in."""
        login = self._section("registry").get("login")
        return [] if login is None else [login["issuer"]]

    @property
    def manifests(self) -> list[Path]:
        """What its cluster has beforehand, in the order in which it is applied."""
        folder = ESTATES / self.stack
        return sorted(file for file in folder.glob("*.yaml") if file.name != _OVERLAY)

    def project(self, state: State) -> Path:
        """The folder in which the engine runs: the repository for the local stack, else a copy of
        it, where the stack's file is the one of the sandbox."""
        if self.stack == STACK:
            return ROOT
        folder = scratch.project(state.folder / "project")
        self.write(folder)
        return folder

    def write(self, project: Path) -> None:
        """Puts the stack's file, as it is in the sandbox, into a copy of the project."""
        origin = (
            f"# Pulumi.{self.stack}.yaml, as sandbox/estates/{self.stack}/{_OVERLAY} changes it"
        )
        text = yaml.safe_dump(self.document, sort_keys=False)
        stacks.file_of(self.stack, project).write_text(f"{origin}.\n{text}")

    def _section(self, name: str) -> dict[str, Any]:
        return self.document["config"].get(f"{_PREFIX}{name}", {})


def names() -> list[str]:
    """The stacks that run in a sandbox; the local one first."""
    return [STACK, *sorted(file.parent.name for file in ESTATES.glob(f"*/{_OVERLAY}"))]


def of(stack: str) -> Estate:
    """The estate of that name. Raises SandboxError for a stack that has none here."""
    if stack not in names():
        raise SandboxError(
            f"the sandbox runs {', '.join(names())}, not {stack}: what differs here from "
            f"Pulumi.{stack}.yaml is to be said in sandbox/estates/{stack}/{_OVERLAY}"
        )
    document = _read(stacks.file_of(stack))
    if stack != STACK:
        document = merged(document, _read(ESTATES / stack / _OVERLAY))
        # The passphrase of every sandbox is the same public one.
        document["encryptionsalt"] = _read(stacks.file_of(STACK))["encryptionsalt"]
    return Estate(stack, document)


def merged(document: Any, patch: Any) -> Any:
    """The document with a JSON merge patch (RFC 7396) applied: null removes a key. Pure."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    target: dict[str, Any] = (
        dict(cast("dict[str, Any]", document)) if isinstance(document, dict) else {}
    )
    for key, value in cast("dict[str, Any]", patch).items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merged(target.get(key), value)
    return target


def _read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text())
