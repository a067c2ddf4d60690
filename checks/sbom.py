"""Writes the bill of materials (CycloneDX 1.6, JSON): Python packages, and Go modules of the tools.

    .venv-audit/bin/python -m checks.sbom FILE

cyclonedx-py reads requirements.lock; the modules are those of each go.mod in toolchain/modules,
with their hashes in go.sum. Nothing is looked up, so the same commit gives the same file. Images
and charts are not in it: `make bundle` lists those of a stack, with their digests.

Exit codes: 0 the file is written; 1 it is not.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from toolchain import closed_pipe
from toolchain.catalogue import TOOLS, Tool

ROOT: Final = Path(__file__).parent.parent
LOCK: Final = ROOT / "requirements.lock"
PRODUCTION: Final = frozenset({"pulumi", "pulumi-resource-kubernetes"})
"""The tools that run where a Sovereign is deployed. The others are the sandbox's and the tests'."""

_VERSION: Final = r"([^\s/]\S*)\s+(v\S+)"
_REQUIRED: Final = re.compile(rf"^\s*(?:require\s+)?{_VERSION}(?:\s+//.*)?$")
_REPLACED: Final = re.compile(rf"^\s*(?:replace\s+)?(\S+)(?:\s+v\S+)?\s+=>\s+{_VERSION}$")


@dataclass(frozen=True, order=True)
class Module:
    """A Go module at a version, both as go.sum has them."""

    path: str
    version: str

    @property
    def purl(self) -> str:
        """As the purl specification has it for golang: lower case, `+` escaped."""
        return f"pkg:golang/{self.path.lower()}@{quote(self.version)}"


def modules(go_mod: str) -> set[Module]:
    """Every module that a go.mod requires, as its replacements have them.

    From Go 1.17 on these are all modules that the build needs. Raises ValueError at a replacement
    by a folder, which has no version.
    """
    required: dict[str, str] = {}
    replaced: dict[str, Module] = {}
    block = ""
    for line in go_mod.splitlines():
        bare = line.partition("//")[0].strip()
        if bare.endswith("("):
            block = bare.split()[0]
        elif bare == ")":
            block = ""
        elif (directive := block or bare.partition(" ")[0]) == "require":
            if match := _REQUIRED.match(bare):
                required[match[1]] = match[2]
        elif directive == "replace":
            match = _REPLACED.match(bare)
            if match is None:
                raise ValueError(f"no version in the replacement {bare!r}")
            replaced[match[1]] = Module(match[2], match[3])
    return {replaced.get(path, Module(path, version)) for path, version in required.items()}


def hashes(go_sum: str) -> dict[Module, str]:
    """Module → SHA-256 of its content (go.sum's h1), in hexadecimal digits."""
    lines = (line.split() for line in go_sum.splitlines())
    return {
        Module(path, version): base64.b64decode(h1.removeprefix("h1:")).hex()
        for path, version, h1 in lines
        if not version.endswith("/go.mod")
    }


def merged(python: Mapping[str, Any], tools: Mapping[Tool, set[Module]]) -> dict[str, Any]:
    """cyclonedx-py's document, with the tools and their modules. Pure but for each go.sum."""
    packages = [_package(each) for each in python["components"]]
    names = [package["bom-ref"] for package in packages]
    root = {**python["metadata"]["component"], "bom-ref": "sovereign-harbor"}
    known: dict[Module, str] = {}
    for tool in tools:
        known |= hashes((tool.folder / "go.sum").read_text())
    needed = {
        module: any(module in of and tool.name in PRODUCTION for tool, of in tools.items())
        for module in sorted({module for of in tools.values() for module in of})
    }
    return {
        **python,
        "metadata": {**python["metadata"], "component": root},
        "components": [
            *packages,
            *(_tool(tool) for tool in tools),
            *(_module(each, known.get(each), needed=needed[each]) for each in needed),
        ],
        "dependencies": [
            {"ref": root["bom-ref"], "dependsOn": [*names, *(_ref(tool) for tool in tools)]},
            *(
                {"ref": _ref(tool), "dependsOn": [each.purl for each in sorted(of)]}
                for tool, of in tools.items()
            ),
        ],
    }


def _package(component: Mapping[str, Any]) -> dict[str, Any]:
    """Without the line of the lock, which repeats the hashes and changes with every other."""
    kept = {key: value for key, value in component.items() if key != "description"}
    return {**kept, "bom-ref": component["purl"], "scope": "required"}


def _ref(tool: Tool) -> str:
    return f"toolchain/{tool.name}"


def _tool(tool: Tool) -> dict[str, Any]:
    return {
        "bom-ref": _ref(tool),
        "type": "application",
        "name": tool.name,
        "version": tool.version,
        "description": f"built from {tool.source}",
        "scope": _scope(needed=tool.name in PRODUCTION),
    }


def _module(module: Module, content: str | None, *, needed: bool) -> dict[str, Any]:
    """go.sum has no content of a module of which the build reads nothing but its go.mod."""
    known = {"hashes": [{"alg": "SHA-256", "content": content}]} if content else {}
    return {
        "bom-ref": module.purl,
        "type": "library",
        "name": module.path,
        "version": module.version,
        "purl": module.purl,
        "scope": _scope(needed=needed),
        **known,
    }


def _scope(*, needed: bool) -> str:
    return "required" if needed else "excluded"


def _problems(document: str) -> Iterator[str]:
    """What the schema of CycloneDX refuses, by the library that cyclonedx-py itself uses."""
    validator = importlib.import_module("cyclonedx.validation.json").JsonStrictValidator
    version = importlib.import_module("cyclonedx.schema").SchemaVersion.V1_6
    if problem := validator(version).validate_str(document):
        yield str(problem)


def main(arguments: list[str]) -> int:
    """The exit code."""
    (file,) = arguments
    command = ("requirements", LOCK.name, "--pyproject", "pyproject.toml", "--output-reproducible")
    ran = subprocess.run(
        # It warns that it draws no graph of dependencies, which a lock does not tell.
        [sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    if ran.returncode != 0:
        return 1
    tools = {tool: modules((tool.folder / "go.mod").read_text()) for tool in TOOLS}
    document = merged(json.loads(ran.stdout), tools)
    text = json.dumps(document, indent=1) + "\n"
    if problems := [*_problems(text)]:
        print(f"{file} is not written: {problems[0]}", file=sys.stderr)
        return 1
    Path(file).write_text(text)
    print(f"{file}: {len(document['components'])} components")
    return 0


if __name__ == "__main__":
    closed_pipe.run(main)
