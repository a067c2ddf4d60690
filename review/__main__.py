"""`python -m review preview|…`: what the Make targets call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sandbox.steps import fail
from sandbox.toolchain import ToolchainError


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m review")
    commands = parser.add_subparsers(dest="command", required=True)
    preview = commands.add_parser("preview")
    preview.add_argument("stack")
    preview.add_argument("--output", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        from review import preview as previews

        return previews.main(chosen.stack, output=chosen.output)
    except (ToolchainError, RuntimeError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
