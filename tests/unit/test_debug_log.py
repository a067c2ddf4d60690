"""What the SDK logs with --debug: without the values, and only where it is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pulumi.log
import pytest

from components import debug_log
from components.debug_log import asks_for_debugging, without_values
from tests.support.project import ROOT


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (
            'register resource outputs prepared: urn=urn:x, props=fields {\n  key: "p"\n  "secret"',
            "register resource outputs prepared: urn=urn:x, props=(left out: it may hold secrets)",
        ),
        (
            "incoming output value translated: secret -> secret",
            "incoming output value translated: (left out: it may hold secrets)",
        ),
        ("registering resource: ty=a:b:C, name=d", "registering resource: ty=a:b:C, name=d"),
    ],
)
def test_only_values_are_left_out(message: str, kept: str) -> None:
    assert without_values(message) == kept


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ("up -s local --yes --skip-preview", False),
        ("preview --json --show-sames", False),
        ("up --debug", True),
        ("up --debug=true", True),
        ("up -d", True),
        ("up -yd", True),
        ("up -s debug", False),
        ("--logtostderr -v=9 up", False),
    ],
)
def test_the_log_is_asked_for_by_an_option(options: str, asks: bool) -> None:
    assert asks_for_debugging(["pulumi", *options.split()], {}) is asks


def test_the_log_is_asked_for_by_a_variable() -> None:
    assert asks_for_debugging(["pulumi", "up"], {"PULUMI_OPTION_DEBUG": "true"})


# A language host, which starts the program that it is given.
_HOST = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"
_PROGRAM = "from components import debug_log; print(debug_log.is_wanted())"


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [("pulumi", "", False), ("pulumi", "--debug", True), ("another", "", True)],
)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_messages_are_dropped_only_below_an_engine_that_does_not_print_them(
    name: str, options: str, wanted: bool, tmp_path: Path
) -> None:
    engine = tmp_path / name
    engine.symlink_to("/bin/sh")
    # The second command keeps the shell from becoming the first one.
    script = f'"{sys.executable}" -c "$1" "{_PROGRAM}"; :'
    ran = subprocess.run(
        [str(engine), "-c", script, "up", _HOST, *options.split()],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.stdout == f"{wanted}\n"


@pytest.mark.parametrize(
    ("is_wanted", "messages"), [(True, ["props=(left out: it may hold secrets)"]), (False, [])]
)
def test_a_message_reaches_the_engine_only_if_it_is_wanted(
    is_wanted: bool, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    reaches: Callable[..., None] = told.append
    monkeypatch.setattr(pulumi.log, "debug", reaches)
    monkeypatch.setattr(debug_log, "is_wanted", lambda: is_wanted)
    debug_log.keep_secrets_out()
    pulumi.log.debug("props=secret")
    assert told == messages
