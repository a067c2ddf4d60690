"""`python -m fleet`, with a verb or sovereign, gitlab, operator: what the Make targets call."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from engine import stacks
from engine.pulumi import EngineError
from engine.terminal import fail
from fleet import gitlab, operator, run, scaffold
from toolchain import closed_pipe
from toolchain.go import ToolchainError

_OPERATOR = ("repository", "commit", "backend", "namespace")


def main(arguments: list[str]) -> int:
    """Runs the command; the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "sovereign":
            values = dict(pair.partition("=")[::2] for pair in chosen.set)
            return scaffold.main(
                chosen.name, chosen.fqdn, chosen.region, kind=chosen.kind, values=values
            )
        if chosen.command == "gitlab":
            parent = yaml.safe_load((stacks.ROOT / ".gitlab-ci.yml").read_text())
            print(gitlab.pipeline(chosen.verb, stacks.sovereigns(), parent), end="")
            return 0
        if chosen.command == "operator":
            options = {name: getattr(chosen, name) for name in _OPERATOR}
            if empty := [name for name, value in options.items() if not value.strip()]:
                raise EngineError(
                    f"{', '.join(map(str.upper, empty))} not set: each Stack names where the "
                    "program and its state are. For example\n  make fleet-operator "
                    "REPOSITORY=https://git.example.com/estate/sovereign-harbor.git "
                    "BACKEND='s3://estate-pulumi?region=…' > stacks.yaml"
                )
            print(operator.manifests(stacks.sovereigns(), operator.Operator(**options)), end="")
            return 0
        return run.main(
            chosen.command,
            chosen.stacks,
            parallel=chosen.parallel,
            report=chosen.report,
            output=chosen.output,
            base=chosen.base,
            doctor=chosen.doctor,
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
        many.add_argument("--base", help="preview: branch or commit to compare with (git)")
        many.add_argument("--doctor", action="store_true", help="status: what the doctor finds too")
        many.add_argument("--output", type=Path, help="folder for the previews' Markdown")
    new = commands.add_parser("sovereign", help="write the stack file of a new one")
    for argument in ("name", "fqdn"):
        new.add_argument(argument)
    new.add_argument("region", nargs="?", default="")
    new.add_argument("--kind", default=scaffold.DEFAULT_KIND, help=", ".join(scaffold.KINDS))
    new.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of storage")
    child = commands.add_parser("gitlab", help="GitLab's child pipeline, a job for each Sovereign")
    child.add_argument("verb", choices=gitlab.VERBS)
    stack = commands.add_parser("operator", help="Stack resources for the Kubernetes Operator")
    for argument in _OPERATOR:
        stack.add_argument(f"--{argument}", required=True)
    return parser


if __name__ == "__main__":
    closed_pipe.run(main)
