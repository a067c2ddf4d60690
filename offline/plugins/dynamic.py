"""Launcher for Pulumi's own dynamic provider, the part of its Python SDK that runs resources
written in the program itself. Not a stand-in: only the start script is missing without the
official language host. What is added is that it ends when the engine is killed.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

from offline.plugins import serving


def main(arguments: list[str]) -> None:
    threading.Thread(target=_end_with_engine, daemon=True).start()
    # An engine started in the background ignores interrupts, and what it starts inherits that; but
    # interrupting is how it ends its plugins, and else it waits 5 s to kill them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["pulumi.dynamic", *arguments]
    # As `python -m` does: the program's own modules import from the project's folder.
    sys.path.insert(0, os.getcwd())
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)


def _end_with_engine() -> None:
    serving.wait_for_engine_to_end()
    os._exit(0)
