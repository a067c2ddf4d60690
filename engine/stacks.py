"""The stacks that exist as files. Standard library only: CI asks before anything is installed.

python3 -m engine.stacks [sovereigns]    their names as JSON, with or without the sandbox's
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from engine.project import ROOT
from toolchain import closed_pipe


def file_of(stack: str, root: Path = ROOT) -> Path:
    return root / f"Pulumi.{stack}.yaml"


def is_sandbox(stack: str, root: Path = ROOT) -> bool:
    """Whether the stack's file says so, as far as a file can be read without a reader of YAML.

    A file that is no YAML is a Sovereign's: each command says what is wrong with it. Raises
    FileNotFoundError.
    """
    text = file_of(stack, root).read_text(errors="replace")
    key = r"[\"']?(sovereign-harbor:(config:)?)?sandbox[\"']?:"
    return re.search(rf"^\s+{key}\s+[\"']?(true|True|TRUE)\b", text, re.M) is not None


def names(root: Path = ROOT) -> list[str]:
    """All of them, in order."""
    files = root.glob("Pulumi.*.yaml")
    return sorted(file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files)


def sovereigns(root: Path = ROOT) -> list[str]:
    """The real Sovereigns: all stacks but the sandbox's."""
    return [name for name in names(root) if not is_sandbox(name, root)]


def main(arguments: list[str]) -> int:
    """Prints the names; the exit code."""
    print(json.dumps(sovereigns() if arguments == ["sovereigns"] else names()))
    return 0


if __name__ == "__main__":
    closed_pipe.run(main)
