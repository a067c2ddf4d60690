"""A sandbox ends with the process that started it, however early that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from engine.project import ROOT
from sandbox.waiting import wait_until

_START = """
import os, sys
from pathlib import Path
from engine.terminal import Steps
from sandbox import commands
from sandbox.state import State
from toolchain.build import ensure
state = State(Path(sys.argv[1]))
commands.start(state, ensure(report=lambda _: None), Steps(9), watch=os.getpid())
"""


def of_the_sandbox(folder: Path) -> list[str]:
    """The command lines of the processes that have the sandbox's folder as an argument."""
    commands: list[str] = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        if str(folder) in command:
            commands.append(command)
    return commands


def test_a_start_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    environment = {**os.environ, "SANDBOX_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen([sys.executable, "-c", _START, str(folder)], env=environment)
    try:
        is_begun = wait_until(
            lambda: any("kube-apiserver" in each for each in of_the_sandbox(folder)), seconds=180
        )
        assert is_begun, "the control plane did not begin to start"
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
    assert wait_until(lambda: of_the_sandbox(folder) == [], seconds=300), of_the_sandbox(folder)
