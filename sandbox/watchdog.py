"""Ends the sandbox when the process that started it is gone, even by SIGKILL."""

from __future__ import annotations

import sys
import time

from sandbox import commands
from sandbox.processes import born
from sandbox.state import State


def main(pid: int) -> None:
    birth = born(pid)
    while birth is not None and born(pid) == birth:
        time.sleep(1)
    commands.stop_all(State.current())


if __name__ == "__main__":
    main(int(sys.argv[1]))
