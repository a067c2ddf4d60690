"""Ends the sandbox when the process that started it is gone, even by SIGKILL."""

from __future__ import annotations

import sys
import time
from typing import Final

from sandbox import commands
from sandbox.processes import born
from sandbox.state import State

_QUIET: Final = 5
"""Seconds without a process to end: a start that was interrupted may still be starting some."""


def main(pid: int) -> None:
    birth = born(pid)
    while birth is not None and born(pid) == birth:
        time.sleep(1)
    quiet = 0
    while quiet < _QUIET:
        quiet = 0 if commands.stop_all(State.current()) else quiet + 1
        time.sleep(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
