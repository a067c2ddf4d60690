"""The search of tests/sandbox/test_leaks.py finds a secret in whichever notation it stands."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.waiting import wait_until
from tests.support.leaks import HASH, Artefacts, files_in, forms, kinds_with, leaks, watching

SECRET = "s3cr3t/with+signs&ß~0123456789"
PEM = "-----BEGIN KEY-----\n" + "\n".join("MIIEvQIBADANBgkq" * 4 + str(i) for i in range(3))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def zipped(text: str) -> bytes:
    """Without the moment, which would be in the tests' names: workers have to agree on them."""
    return gzip.compress(text.encode(), mtime=0)


@pytest.mark.parametrize(
    "text",
    [
        f"password: {SECRET}",
        json.dumps({"password": SECRET}),
        json.dumps(json.dumps({"password": SECRET})),
        f"https://robot:{quote(SECRET, safe='')}@registry",
        encoded(SECRET),
        # In the middle of another text, at each of the three alignments of base64.
        encoded(f"a{SECRET}z"),
        encoded(f"ab{SECRET}"),
        encoded(f"robot$ci:{SECRET}"),
        base64.urlsafe_b64encode(f"ab{SECRET}".encode()).decode(),
        SECRET.encode().hex(),
        # As Helm stores a release, and as kubectl shows that.
        base64.b64encode(zipped(f"x {SECRET} y")).decode(),
        base64.b64encode(base64.b64encode(zipped(f"x {SECRET}"))).decode(),
    ],
)
def test_a_secret_is_found_in_every_notation(text: str) -> None:
    artefacts = Artefacts()
    artefacts.add("log", "a", f"before {text} after")
    found = leaks(artefacts, {"admin": SECRET})
    assert found == ["admin stands in log: a"]


def test_a_line_of_a_key_is_found_alone() -> None:
    artefacts = Artefacts()
    artefacts.add("log", "a", PEM.splitlines()[2])
    assert leaks(artefacts, {"key": PEM}) == ["key stands in log: a"]


@pytest.mark.parametrize(
    "text", ["robot:$2y$05$" + "a" * 53, "robot:$apr1$abcdefgh$" + "a" * 22, "r:{SHA}" + "a" * 27]
)
def test_the_hash_of_a_password_is_found_without_knowing_the_password(text: str) -> None:
    artefacts = Artefacts()
    artefacts.add("state", "a", text)
    assert leaks(artefacts, {}) == ["the hash of a password stands in state: a"]


def test_what_is_no_secret_is_not_reported() -> None:
    artefacts = Artefacts()
    artefacts.add("log", "a", f"{encoded('something else')} $(VALKEY_PASSWORD) {SECRET[:-1]}")
    assert leaks(artefacts, {"admin": SECRET}) == []
    assert not HASH.search("costs $5")
    assert "ab" not in forms("ab")


def test_what_was_searched_once_hides_no_secret_in_a_later_text() -> None:
    several = "first line of a secret\nand its second line"
    artefacts = Artefacts()
    artefacts.add("state", "1", f"a\nb\n{SECRET[:-1]}\nfirst line of a secret\nx")
    artefacts.add("state", "2", f"a\nb\n{SECRET}\nand its second line")
    artefacts.add("state", "3", f"a\n{SECRET}")
    artefacts.add("state", "4", f"a\n{several}")
    assert leaks(artefacts, {"admin": SECRET, "several": several}) == [
        "admin stands in state: 2",
        "admin stands in state: 3",
        "several stands in state: 4",
    ]


def test_a_file_is_read_also_where_it_is_packed(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "a.json.gz").write_bytes(gzip.compress(SECRET.encode()))
    artefacts = Artefacts()
    artefacts.add_folder("state", tmp_path)
    assert kinds_with(artefacts, SECRET) == {"state"}


def test_what_only_begins_as_gzip_does_is_searched_as_it_is(tmp_path: Path) -> None:
    encrypted = b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 40
    with pytest.raises(zlib.error):
        gzip.decompress(encrypted)
    (tmp_path / "encrypted").write_bytes(encrypted + SECRET.encode())
    artefacts = Artefacts()
    artefacts.add("log", "a", f"{base64.b64encode(encrypted).decode()} {SECRET}")
    artefacts.add_folder("state", tmp_path)
    assert kinds_with(artefacts, SECRET) == {"log", "state"}


def run_until(is_seen: Callable[[], bool], command: list[str], mark: dict[str, str]) -> None:
    """Runs a command, which ends with its input: once it was seen."""
    with subprocess.Popen(command, env=mark, stdin=subprocess.PIPE):
        assert wait_until(is_seen, seconds=60)


def test_a_script_has_its_own_name_and_not_that_of_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "a-plugin"
    script.write_text("#!/bin/sh\nread line\n")
    script.chmod(0o755)
    mark = {"MARK_OF_THIS_TEST": "2"}
    with watching("MARK_OF_THIS_TEST=2", tmp_path) as seen:

        def commands() -> set[str]:
            return {command for command, _ in [*seen.environments]}

        run_until(lambda: "a-plugin" in commands(), [str(script)], mark)
        run_until(lambda: "sh" in commands(), ["sh", "-c", "read line; true"], mark)
    assert commands() == {"a-plugin", "sh"}


def test_a_folder_that_goes_away_meanwhile_is_left_out(tmp_path: Path) -> None:
    """As those of kubectl's sockets do, in the temporary folder of a run."""
    (tmp_path / "first").touch()
    for name in ("gone", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    files = files_in(tmp_path)
    assert next(files) == tmp_path / "first"
    shutil.rmtree(tmp_path / "gone")
    assert [*files] == [tmp_path / "kept" / "file"]


def test_a_process_and_a_file_are_seen_while_they_are_there(tmp_path: Path) -> None:
    # One that hides its environment from its child, as sudo does.
    program = (
        "import pathlib, subprocess, sys; waiting = 'import sys; sys.stdin.read()'; "
        "file = pathlib.Path(sys.argv[1], 'short-lived'); file.write_text('planted file'); "
        "subprocess.run([sys.executable, '-c', waiting, 'planted-argument'], "
        "env={'PLANTED': 'planted-value'}); file.unlink()"
    )
    with watching("MARK_OF_THIS_TEST=1", tmp_path) as seen:
        run_until(
            lambda: (
                "short-lived" in seen.files
                and any(each.endswith(" planted-argument ") for each in [*seen.arguments])
            ),
            [sys.executable, "-c", program, str(tmp_path)],
            {"MARK_OF_THIS_TEST": "1"},
        )
    assert any("planted-argument" in each for each in seen.arguments)
    assert "planted-value" in {v for values in seen.environments.values() for v in values}
    assert seen.files == {"short-lived": "planted file"}


def test_the_public_half_of_a_key_is_no_leak_and_the_private_half_is_one() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    public = key.public_key()
    ssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    halves = serialization.PublicFormat.SubjectPublicKeyInfo
    artefacts = Artefacts()
    artefacts.add("log", "public", ssh.decode())
    artefacts.add("log", "PEM", public.public_bytes(serialization.Encoding.PEM, halves).decode())
    artefacts.add("log", "private", f"before {pem.splitlines()[-3]} after")
    assert leaks(artefacts, {"key": pem}) == ["key stands in log: private"]
