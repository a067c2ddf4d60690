"""Processes that a sandbox must not leave behind, and the ports that they listen on."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

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


def test_a_free_port_is_kept_for_a_server_that_asks_for_it() -> None:
    ports = [processes.free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    for port in ports:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    assert not processes.answers(ports[0])
    with socket.create_server(("127.0.0.1", ports[0])):
        assert processes.answers(ports[0])
