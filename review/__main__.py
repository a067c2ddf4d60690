"""`python -m review STACK [--output FILE] [--base REF]`: one stack's preview as a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.pulumi import EngineError
from engine.terminal import fail
from review import preview
from toolchain import closed_pipe
from toolchain.go import ToolchainError


def main(arguments: list[str]) -> int:
    """Runs it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m review")
    parser.add_argument("stack")
    parser.add_argument("--output", type=Path, help="file for the Markdown")
    parser.add_argument("--base", help="branch or commit to compare with (git)")
    chosen = parser.parse_args(arguments)
    try:
        return preview.main(chosen.stack, output=chosen.output, base=chosen.base)
    except (ToolchainError, EngineError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; the engine was told to stop and leaves no lock")


if __name__ == "__main__":
    closed_pipe.run(main)
