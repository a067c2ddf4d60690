"""python -m benchmarks [NAME…] [--cold] [--quick] [--print]: measures, and writes what it found.

Ratios compare runs that were made one after the other in the same minutes. Each goal is in the
benchmark's own file, with the cause where it is missed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback

from benchmarks import measuring, page
from benchmarks.sandboxed import Session
from engine.project import ROOT
from toolchain import closed_pipe

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
# In this order: `first_up` takes the Sovereign down that those before it use.
NAMES = ("program", "noop", "memory", "offline_preview", "first_up", "fleet", "registry")
COLD = "cold_tools"


def main(arguments: list[str]) -> int:
    """The exit code: 1 if a measurement failed. A goal that is missed is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*NAMES, COLD)))
    parser.add_argument("--cold", action="store_true", help="also build all tools anew: 20 minutes")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller counts")
    parser.add_argument("--print", action="store_true", help="do not write the page")
    chosen = parser.parse_args(arguments)
    if unknown := {*chosen.names} - {*NAMES, COLD}:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}")
    names = chosen.names or [*NAMES, *([COLD] if chosen.cold else [])]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as in the Makefile
    failed = False
    with Session() as session:
        session.quick = chosen.quick
        for name in sorted(names, key=(*NAMES, COLD).index):
            print(f"{name} …", flush=True)
            try:
                section = importlib.import_module(f"benchmarks.{name}").measure(session)
            except Exception as error:  # The others are measured all the same.
                failed = True
                traceback.print_exc()
                print(f"{name} failed: {getattr(error, 'output', '')}", file=sys.stderr)
                continue
            text = section.text(measuring.machine())
            print(f"\n{text}\n", flush=True)
            if not chosen.print:
                PAGE.write_text(page.written(PAGE.read_text(), name, text))
    return int(failed)


if __name__ == "__main__":
    closed_pipe.run(main)
