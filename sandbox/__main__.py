"""`python -m sandbox up|down|status|env|smoke|conformance|clean`: what the Make targets call."""

from __future__ import annotations

import argparse

from engine.pulumi import EngineError
from engine.terminal import fail
from sandbox import commands, estate
from sandbox.processes import SandboxError
from sandbox.state import STACK
from toolchain import closed_pipe
from toolchain.go import ToolchainError


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox")
    parser.add_argument("command", choices=sorted(commands.COMMANDS))
    parser.add_argument("--stack", default=STACK)
    parser.add_argument("--sandbox", action="store_true", help="a real Sovereign's stack, here")
    parser.add_argument("--until-exit-of", type=int, metavar="PID", help="stop when PID is gone")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "up" and chosen.stack != STACK and not chosen.sandbox:
            return commands.real_up(chosen.stack)
        return commands.COMMANDS[chosen.command](estate.of(chosen.stack), chosen)
    except (SandboxError, ToolchainError, EngineError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; the same command goes on where it stopped")


if __name__ == "__main__":
    closed_pipe.run(main)
