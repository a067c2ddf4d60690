"""A recorded Sovereign under the real engine, without a cluster: what is printed, what is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.project import ROOT
from sandbox.state import STACK
from tests.support import recording

VERSION = recording.versions()[-1]
DATA = ("namespace", "database-cluster", "object-storage-bucket", "credentials-secret-key")
"""What a Sovereign protects."""


def texts(value: Any) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def decrypted(value: Any) -> Iterator[str]:
    """Every text of every secret in an export with --show-secrets."""
    if isinstance(value, dict):
        if "plaintext" in value:
            yield from texts(json.loads(value["plaintext"]))
        for item in value.values():
            yield from decrypted(item)
    elif isinstance(value, list):
        for item in value:
            yield from decrypted(item)


def test_debug_output_has_no_plaintext_secret(tmp_path: Path) -> None:
    place = recording.imported(VERSION, tmp_path)
    public = json.dumps(recording.exported(place))
    secrets = {
        text
        for text in decrypted(recording.exported(place, "--show-secrets"))
        if len(text) >= 12 and text not in public
    }
    assert len(secrets) > 15
    printed = recording.done(place, "preview", "--debug", "-s", STACK)
    assert "register resource outputs prepared" in printed, "the SDK's debug log was printed"
    for secret in secrets:
        for line in (secret, *(line for line in secret.splitlines() if len(line) > 40)):
            assert line not in printed


@pytest.mark.parametrize("flag", ["--logtostderr", "-v=1"])
def test_the_engine_s_own_log_has_every_secret_in_it(tmp_path: Path, flag: str) -> None:
    """Its marshaling of properties, whatever the level (pulumi 3.250). The program cannot change
    that: SECURITY.md warns. Once this fails, tests/sandbox/test_leaks.py can look at that log."""
    place = recording.imported(VERSION, tmp_path)
    shown = ("stack", "output", "adminPassword", "--show-secrets", "-s", STACK)
    password = recording.done(place, *shown).strip()
    (tmp_path / "tmp").mkdir()
    logged = replace(place, environment={**place.environment, "TMPDIR": str(tmp_path / "tmp")})
    ran = logged.run(["preview", "-s", STACK, flag])
    files = "".join(file.read_text() for file in (tmp_path / "tmp").glob("pulumi.*"))
    assert len(password) == 32
    assert password in ran.errors + files
    assert password not in ran.output
    assert f"`{flag.partition('=')[0]}`" in (ROOT / "SECURITY.md").read_text()


def protected(tmp_path: Path) -> Any:
    state = recording.state_of(VERSION)
    # A component may have the name of a resource in it, which is what is protected.
    for resource in state["deployment"]["resources"]:
        if resource["custom"] and resource["urn"].rpartition("::")[2] in DATA:
            resource["protect"] = True
    return recording.imported(VERSION, tmp_path, state=state)


def test_the_preview_of_a_destroy_refuses_a_protected_stack_as_a_whole(tmp_path: Path) -> None:
    place = protected(tmp_path)
    before = set(recording.by_name(recording.exported(place)))
    ran = place.run(["destroy", "-s", STACK, "--yes"])
    assert ran.code != 0
    assert "cannot be deleted" in ran.output
    assert set(recording.by_name(recording.exported(place))) == before


def test_exclude_protected_shows_what_would_go_and_keeps_the_data(tmp_path: Path) -> None:
    place = protected(tmp_path)
    shown = recording.done(place, "destroy", "-s", STACK, "--exclude-protected", "--preview-only")
    own = r"^ - +(?!sovereign-harbor:)\S+ (\S+) delete"
    gone = set(re.findall(own, shown, flags=re.MULTILINE))
    assert {"harbor-release", "cache-server"} <= gone
    assert not gone & set(DATA)
    assert "credentials-database-password" not in gone, "the database stands on it"


def test_a_refused_secret_stays_in_one_file_of_the_history_that_can_be_removed(
    tmp_path: Path,
) -> None:
    """docs/howto/state-backends.md, "A secret that was refused"."""
    place = recording.imported(VERSION, tmp_path)
    secret = "a-secret-that-was-never-encrypted" * 2
    recording.done(place, "config", "set", "--plaintext", "dnsToken", secret, "-s", STACK)

    def files() -> list[Path]:
        backend = [file for file in (tmp_path / "state").rglob("*") if file.is_file()]
        return [file for file in backend if secret in file.read_text(errors="replace")]

    assert place.run(["preview", "-s", STACK]).code != 0
    assert files() == []
    refused = place.run(["up", "-s", STACK, "--yes", "--skip-preview"])
    assert refused.code != 0
    assert secret not in refused.output + refused.errors
    (file,) = files()
    assert file.name.endswith(".history.json")
    file.unlink()
    recording.done(place, "config", "rm", "dnsToken", "-s", STACK)
    assert recording.done(place, "stack", "history", "-s", STACK)
    recording.done(place, "preview", "-s", STACK)


def test_a_state_that_a_full_disk_cut_off_comes_back_from_its_backup(tmp_path: Path) -> None:
    """docs/howto/state-backends.md, "A full disk"."""
    place = recording.imported(VERSION, tmp_path)
    state = tmp_path / "state" / ".pulumi" / "stacks" / "sovereign-harbor" / f"{STACK}.json"
    # An `up` that fails, for want of a cluster, writes the state too.
    assert place.run(["up", "-s", STACK, "--yes", "--skip-preview"]).code != 0
    whole = state.read_text()
    before = set(recording.by_name(recording.exported(place)))
    for length in (len(whole) // 2, 0):
        state.write_text(whole[:length])
        ran = place.run(["preview", "-s", STACK])
        assert ran.code != 0
        assert "unexpected end of JSON input" in ran.output + ran.errors
    # The engine copies the state before it changes it.
    state.write_text(state.with_name(f"{state.name}.bak").read_text())
    assert set(recording.by_name(recording.exported(place))) == before
