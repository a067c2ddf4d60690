"""`python -m review STACK [--output FILE]`: the preview of one stack as a page to review."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.pulumi import EngineError
from engine.terminal import fail
from review import preview
from toolchain.go import ToolchainError


def main(arguments: list[str]) -> int:
    """Runs it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m review")
    parser.add_argument("stack")
    parser.add_argument("--output", type=Path, help="file for the Markdown")
    chosen = parser.parse_args(arguments)
    try:
        return preview.main(chosen.stack, output=chosen.output)
    except (ToolchainError, EngineError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; the engine was told to stop and leaves no lock")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
