"""`pulumi` in the shell of `make env`: runs the engine for a sandbox's stack, and for no other.

That shell has a passphrase that everybody knows and a backend that `make clean` removes. Neither
the program nor the policy pack runs when `pulumi config set --secret` encrypts a key, so the
command itself is guarded. A shell with both a backend and a passphrase of its own is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from components.public_passphrase import is_public_environment
from engine import stacks
from engine.project import ROOT

# Options of `pulumi` whose value is the next word, besides that of --stack.
_WITH_VALUE: Final = frozenset(
    {
        *("-C", "--cwd", "--color", "--config-file", "-c", "--config", "-m", "--message"),
        *("--memprofilerate", "--otel-traces", "--profiling", "--tracing", "-v", "--verbose"),
        *("--secrets-provider", "--copy-config-from", "--file", "--output", "-o"),
        *("--policy-pack", "--policy-pack-config", "-t", "--target", "--target-replace"),
        *("--exclude", "--replace", "-p", "--parallel", "--event-log", "--save-plan", "--plan"),
        *("--teams", "--type", "--remote-env"),
    }
)
_NAMES_A_STACK: Final = (
    ("stack", "init"),
    ("stack", "select"),
    ("stack", "rm"),
    ("stack", "rename"),
    ("cancel",),
)
"""Commands whose next word is the name of a stack."""


def stacks_named(arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The stacks that a command line of pulumi's names, without organization and project."""
    named: list[str] = []
    words: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-s", "--stack"):
            named.append(next(rest, ""))
        elif argument.startswith("--stack="):
            named.append(argument.removeprefix("--stack="))
        elif argument.startswith("-s") and not argument.startswith("--"):
            named.append(argument.removeprefix("-s").removeprefix("="))
        elif argument in _WITH_VALUE:
            next(rest, "")
        elif not argument.startswith("-"):
            words.append(argument)
    for command in _NAMES_A_STACK:
        if tuple(words[: len(command)]) == command:
            named += words[len(command) : len(command) + 1]
    named = named or [environ.get("PULUMI_STACK") or _selected(environ)]
    return [name.rpartition("/")[2] for name in named if name]


def _selected(environ: Mapping[str, str]) -> str:
    """The stack that `pulumi stack select` chose for this project; empty without one."""
    for file in (Path(environ.get("PULUMI_HOME", "")) / "workspaces").glob(
        "sovereign-harbor-*-workspace.json"
    ):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return str(json.loads(file.read_text()).get("stack") or "")
    return ""


def refusal(
    arguments: Sequence[str], environ: Mapping[str, str], *, backend: str, root: Path = ROOT
) -> str | None:
    """Why the engine must not run with these arguments; None when it may."""
    is_sandboxes = is_public_environment(environ) or environ.get("PULUMI_BACKEND_URL") == backend
    others = [name for name in stacks_named(arguments, environ) if not _is_sandbox(name, root)]
    if not is_sandboxes or not others:
        return None
    name = others[0]
    return (
        f"this shell has the sandbox's environment (make env), and stack {name} is no sandbox; "
        "nothing was touched.\n"
        "  Its passphrase is public and `make clean` removes its backend: a key that is set here "
        "is neither\n"
        "  secret nor kept. Open a new shell without `make env`, or give this one what belongs to "
        f"{name}:\n"
        "  export PULUMI_BACKEND_URL=… PULUMI_CONFIG_PASSPHRASE=… KUBECONFIG=…"
        "   # docs/howto/state-backends.md"
    )


def _is_sandbox(name: str, root: Path) -> bool:
    try:
        return stacks.is_sandbox(name, root)
    except FileNotFoundError:
        return False


def write(folder: Path, real: Path, backend: str, project: Path = ROOT) -> None:
    """Puts a command `pulumi` into `folder`, which asks this module and then becomes `real`.

    It runs in `project` if that is a copy of the repository, so that it never reads or writes an
    estate's committed stack file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    change = "" if project == ROOT else f'cd "{project}" || exit 1\n'
    command = folder / "pulumi"
    draft = folder / f".pulumi.{os.getpid()}"
    draft.write_text(
        "#!/bin/sh\n"
        "# Written by `make env`: sandbox/guard.py says why.\n"
        f'PYTHONPATH="{ROOT}" "{sys.executable}" -m sandbox.guard "{backend}" "{project}" "$@" '
        "|| exit 1\n"
        f"{change}"
        f'exec "{real}" "$@"\n'
    )
    draft.chmod(draft.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    draft.replace(command)


def main(arguments: Sequence[str]) -> int:
    """The arguments: the sandbox's backend, the project's folder, then those of pulumi."""
    backend, project, *rest = arguments
    told = refusal(rest, os.environ, backend=backend, root=Path(project))
    if told is None:
        return 0
    print(f"error: {told}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
