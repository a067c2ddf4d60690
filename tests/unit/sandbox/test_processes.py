"""Processes that a sandbox must not leave behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sandbox import processes
from sandbox.state import State


def test_a_plugin_whose_engine_was_killed_ends_with_its_sandbox(tmp_path: Path) -> None:
    def plugin(folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(parents=True)
        copied = folder / "pulumi-resource-example"
        shutil.copy(shutil.which("sleep") or "", copied)
        return subprocess.Popen([str(copied), "60"])

    left = plugin(tmp_path / "mine" / "pulumi-home" / "plugins")
    others = plugin(tmp_path / "other" / "pulumi-home" / "plugins")
    try:
        ended = processes.stop_left_plugins(State(tmp_path / "mine"))
        assert ended == ["pulumi-resource-example"]
        assert left.wait(30) != 0
        assert others.poll() is None
    finally:
        for process in (left, others):
            process.kill()
            process.wait()
