"""`python -m fleet preview|up|drift|status|sovereign|operator`: what the Make targets call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine import stacks
from engine.pulumi import EngineError
from engine.terminal import fail
from fleet import operator, run, scaffold
from toolchain.go import ToolchainError

_OPERATOR = ("repository", "commit", "backend", "namespace")


def main(arguments: list[str]) -> int:
    """Runs the command; the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "sovereign":
            return scaffold.main(chosen.name, chosen.fqdn, chosen.region)
        if chosen.command == "operator":
            options = {name: getattr(chosen, name) for name in _OPERATOR}
            print(operator.manifests(stacks.sovereigns(), operator.Operator(**options)), end="")
            return 0
        return run.main(
            chosen.command,
            chosen.stacks,
            parallel=chosen.parallel,
            report=chosen.report,
            output=chosen.output,
        )
    except (ToolchainError, EngineError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; every engine was told to stop and leaves no lock")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fleet")
    commands = parser.add_subparsers(dest="command", required=True)
    for verb in run.VERBS:
        many = commands.add_parser(verb, help="all Sovereigns, or those named")
        many.add_argument("stacks", nargs="*")
        many.add_argument("--parallel", type=int, help="how many at a time (as many as processors)")
        many.add_argument("--report", type=Path, help="file for a JSON report")
        many.add_argument("--output", type=Path, help="folder for the previews' Markdown")
    new = commands.add_parser("sovereign", help="write the stack file of a new one")
    for argument in ("name", "fqdn", "region"):
        new.add_argument(argument)
    stack = commands.add_parser("operator", help="Stack resources for the Kubernetes Operator")
    for argument in _OPERATOR:
        stack.add_argument(f"--{argument}", required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
