"""The proof on a fresh machine: what it hides from the commands, and what it finds afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from checks import fresh_machine
from checks.fresh_machine import Failed, Step
from tests.support.project import ROOT

STEPS = [Step("make up", 65.2, 130.4), Step("make down", 2.3, 0.4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As after the commands, with nothing left."""
    for name in ("home/.empty", "tmp", "clone"):
        (tmp_path / name).mkdir(parents=True)
    fresh_machine.git("init", "--quiet", folder=tmp_path / "clone")
    return tmp_path


def test_a_fresh_machine_knows_nothing_of_this_one(tmp_path: Path) -> None:
    used = {"HOME": "/root", "KUBECONFIG": "/root/x", "PULUMI_BACKEND_URL": "s3://x", "LANG": "C"}
    network = {"HTTPS_PROXY": "http://proxy.test", "GOPROXY": "https://go.test", "PATH": "/bin"}
    made = fresh_machine.environment(used | network, folder=tmp_path, cache=tmp_path / "cache")
    assert made == {
        **network,
        "LANG": "C",
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "SOVEREIGN_HARBOR_CACHE": str(tmp_path / "cache"),
    }


def test_nothing_is_left(folder: Path) -> None:
    (folder / "home/.rustup").mkdir()
    (folder / "home/.rustup/settings.toml").touch()  # of rustup, which pip asks
    assert fresh_machine.left_behind(folder) == []


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("home/.config/x", "left in the home folder: .config/x"),
        ("tmp/x", "left in the tmp folder: x"),
        ("clone/x", "changed in the clone: ?? x"),
    ],
)
def test_a_file_that_is_left_is_told(file: str, told: str, folder: Path) -> None:
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert fresh_machine.left_behind(folder) == [told]


def test_a_file_that_git_is_told_to_hide_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "COUNT": "1",
        "KEY_0": "status.showUntrackedFiles",
        "VALUE_0": "no",
    }.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    (folder / "clone/x").touch()
    assert fresh_machine.left_behind(folder) == ["changed in the clone: ?? x"]


def test_a_process_that_is_left_is_told(folder: Path) -> None:
    code = "import time; print(flush=True); time.sleep(60)"
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder / "clone", stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        child.stdout.readline()
        (told,) = fresh_machine.left_behind(folder)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert told.startswith(f"process {child.pid} still runs: ")


def test_a_command_that_fails_is_told_with_its_last_lines(folder: Path) -> None:
    (folder / "clone/Makefile").write_text("up:\n\t@echo no disk; exit 3\n")
    with pytest.raises(Failed, match=r"make up ended with 2\n  \| no disk"):
        fresh_machine.run("up", folder, {"PATH": "/usr/bin:/bin"})


def test_figures_take_their_place_in_the_readme() -> None:
    text = fresh_machine.report(STEPS, commit="0123456789abcdef", cache_bytes=1_200_000_000)
    assert "with all tools built, 1.2 GB in the cache afterwards" in text
    assert "| `make up` | 1 min 5 s | 2 min 10 s |" in text
    readme = (ROOT / "README.md").read_text()
    once = fresh_machine.written(readme, text)
    assert text in once
    assert fresh_machine.written(once, text) == once
    with pytest.raises(Failed, match="no place for the figures"):
        fresh_machine.written("# Sovereign Harbor\n", text)
