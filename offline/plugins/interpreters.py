"""Which Python runs a program, and in which environment."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

# Names the helper of Pulumi's Python SDK that runs one program: pulumi-language-python-exec, under
# python/cmd in the Go module github.com/pulumi/pulumi/sdk/v3.
EXEC_VARIABLE = "SANDBOX_PYTHON_EXEC"

# The folder the launchers put on PYTHONPATH so that this package imports.
_OWN_ROOT = str(Path(__file__).resolve().parents[2])


class NoInterpreterError(Exception):
    """The project names a virtual environment that is not one."""


def virtualenv(root: str, options: Mapping[str, object]) -> Path | None:
    """`runtime.options.virtualenv` of Pulumi.yaml, which is relative to the project's folder."""
    named = options.get("virtualenv")
    if not isinstance(named, str) or not named:
        return None
    folder = Path(root, named)
    if not (folder / "bin" / "python").exists():
        raise NoInterpreterError(
            f"runtime.options.virtualenv is {named!r}, but {folder} is no virtual environment; "
            f"python -m venv {folder} makes one"
        )
    return folder


def interpreter(environment: Path | None) -> str:
    return str(environment / "bin" / "python") if environment else sys.executable


def child_environment(base: Mapping[str, str], environment: Path | None) -> dict[str, str]:
    """`base` as an activated virtual environment would have it, without this package's own path."""
    result = dict(base)
    # Output appears when it is printed, as under the official host.
    result["PYTHONUNBUFFERED"] = "1"
    paths = [p for p in base.get("PYTHONPATH", "").split(os.pathsep) if p and p != _OWN_ROOT]
    result.pop("PYTHONPATH", None)
    if paths:
        result["PYTHONPATH"] = os.pathsep.join(paths)
    if environment:
        result["VIRTUAL_ENV"] = str(environment)
        result["PATH"] = os.pathsep.join([str(environment / "bin"), base.get("PATH", os.defpath)])
        result.pop("PYTHONHOME", None)
    return result


def installed_packages(environment: Path | None, *, transitive: bool) -> list[tuple[str, str]]:
    """Name and version of what is installed; without `transitive`, of what nothing else needs."""
    path = sys.path
    if environment:
        path = [str(folder) for folder in environment.glob("lib/python*/site-packages")]
    versions: dict[str, str] = {}
    needed: set[str] = set()
    for distribution in importlib.metadata.distributions(path=path):
        versions[_normal(distribution.name)] = distribution.version
        for requirement in distribution.requires or ():
            if "extra ==" not in requirement:
                needed.add(_normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]))
    return sorted(p for p in versions.items() if transitive or p[0] not in needed)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
