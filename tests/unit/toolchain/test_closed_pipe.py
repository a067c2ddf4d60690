"""A command whose output nobody reads any more ends quietly, and undoes what it began."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT
from toolchain import closed_pipe

FOREIGN = {"pip", "pytest", "venv", "compileall"}
COMMANDS = {
    module
    for module in re.findall(
        r"\b(?:RUN|python|PYTHON)\)? -m ([\w.]+)", (ROOT / "Makefile").read_text()
    )
    if module not in FOREIGN
}
OWN_WAY = {"chaos"}
"""Its workers' words come in threads."""
SOCKET = "import socket; a, b = socket.socketpair(); b.close(); a.send(b'x'); a.send(b'x')"


def unread(*command: str, both: bool = False) -> tuple[int, str]:
    """The exit code of a command whose reader is gone, and what it wrote on standard error;
    `both`: that has no reader either."""
    read, write = os.pipe()
    os.close(read)
    try:
        ran = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=write,
            stderr=write if both else subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(write)
    return ran.returncode, ran.stderr or ""


def script(*lines: str) -> str:
    """A program with a command of these lines."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"from toolchain import closed_pipe\ndef main(_):\n{body}closed_pipe.run(main)\n"


@pytest.mark.parametrize(
    "command",
    [
        ("operations", "--help"),
        ("fleet", "--help"),
        ("sandbox", "--help"),
        ("review", "--help"),
        ("checks.vendor_coupling", "--help"),
        ("engine.stacks",),
        ("toolchain",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("both", [False, True])
def test_a_command_ends_quietly_when_its_reader_is_gone(
    command: tuple[str, ...], both: bool
) -> None:
    assert unread("-m", *command, both=both) == (141, "")


@pytest.mark.parametrize("module", sorted(COMMANDS - OWN_WAY))
def test_every_command_of_the_makefile_ends_so(module: str) -> None:
    file = ROOT / f"{module.replace('.', '/')}.py"
    if not file.exists():
        file = ROOT / module / "__main__.py"
    text = file.read_text()
    if module == "toolchain":
        text = (ROOT / "toolchain/build.py").read_text()
    assert "    closed_pipe.run(" in text


def test_the_commands_are_found() -> None:
    assert {"operations", "fleet", "sandbox", "review", "engine.tools", "checks.audit"} <= COMMANDS


def test_what_a_command_does_at_its_end_is_done_although_it_says_so_to_nobody(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "undone"
    code = script(
        "try:",
        "    print('begun', flush=True)",
        "finally:",
        "    print('undoing', flush=True)",
        f"    open({str(mark)!r}, 'w').close()",
        "return 0",
    )
    assert unread("-c", code) == (141, "")
    assert mark.exists()


def test_code_that_handles_the_errors_of_a_connection_does_not_take_it_for_one() -> None:
    code = script(
        "try:",
        "    print('begun', flush=True)",
        "except (OSError, Exception):",
        "    return 7",
    )
    assert unread("-c", code) == (141, "")


def test_a_connection_that_its_other_end_closed_is_still_an_error() -> None:
    code, told = unread("-c", script(*SOCKET.split("; ")))
    assert code == 1
    assert "BrokenPipeError" in told


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_command_that_is_read_ends_with_its_own_exit_code(code: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", script("print('Größe')", f"return {code}")],
        cwd=ROOT,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert (ran.returncode, ran.stdout.decode()) == (code, "Größe\n")


def test_a_process_without_standard_output_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as ended:
        closed_pipe.run(lambda _: 3)
    assert ended.value.code == 3
