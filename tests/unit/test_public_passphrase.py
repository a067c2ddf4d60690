"""The sandbox's passphrase encrypts the sandbox's stack and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.public_passphrase import (
    is_empty_passphrase,
    is_public_environment,
    is_public_salt,
)
from components.settings.reading import refusals
from policy.plaintext import no_plaintext_secret
from policy.resource import RELEASE, Resource, Sovereign
from tests.support.project import ROOT

SANDBOXES_SALT = yaml.safe_load((ROOT / "Pulumi.local.yaml").read_text())["encryptionsalt"]
EMPTY_SALT = "v1:hjB5klMKUJw=:v1:pNjhXqldynjGXES8:oAhHmFDUvl/8WhbEKpD3j29nb3GvZg=="
"""As the engine (3.250) writes it for PULUMI_CONFIG_PASSPHRASE=""."""
RELEASED = Resource(type=RELEASE, name="harbor-release", props={})


def test_a_salt_made_with_the_public_passphrase_is_recognised() -> None:
    assert is_public_salt(SANDBOXES_SALT)


def test_a_salt_made_with_an_empty_passphrase_is_recognised() -> None:
    assert is_public_salt(EMPTY_SALT)


@pytest.mark.parametrize(
    "salt",
    [
        "",
        "v1:AAAA",
        "v1:not base64:v1:x:y",
        "v2:LycdZFLBPqc=:v1:TWdsyIbrb5Gzyj05:bZH/HDUa0Eo490XkZFMcfywIEoPDZw==",
        # Another salt before the same ciphertext: another key.
        "v1:MycdZFLBPqc=:v1:TWdsyIbrb5Gzyj05:bZH/HDUa0Eo490XkZFMcfywIEoPDZw==",
        "v1:LycdZFLBPqc=:v1::bZH/HDUa0Eo490XkZFMcfywIEoPDZw==",
    ],
)
def test_any_other_text_is_no_such_salt(salt: str) -> None:
    assert not is_public_salt(salt)


def test_a_salt_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    is_public_salt(SANDBOXES_SALT)
    monkeypatch.delattr("hashlib.pbkdf2_hmac")
    assert is_public_salt(SANDBOXES_SALT)


def test_the_engine_s_passphrase_is_recognised_however_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("sandbox\n")
    assert is_public_environment({"PULUMI_CONFIG_PASSPHRASE": "sandbox"})
    assert is_public_environment({"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)})
    file.write_text("of the estate's")
    assert not is_public_environment({"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)})
    assert not is_public_environment({"PULUMI_CONFIG_PASSPHRASE_FILE": "/nonexistent/file"})
    assert not is_public_environment({})


def test_an_empty_passphrase_counts_where_the_stack_s_file_was_encrypted_with_one(
    tmp_path: Path,
) -> None:
    file, blank = tmp_path / "Pulumi.dhofar.yaml", tmp_path / "passphrase"
    blank.write_text("\n")
    empty = [
        {"PULUMI_CONFIG_PASSPHRASE": ""},
        {"PULUMI_CONFIG_PASSPHRASE": "", "PULUMI_CONFIG_PASSPHRASE_FILE": "/of/the/estate"},
        {"PULUMI_CONFIG_PASSPHRASE_FILE": str(blank)},
    ]
    others = [{}, {"PULUMI_CONFIG_PASSPHRASE": "ours"}, {"PULUMI_CONFIG_PASSPHRASE_FILE": ""}]
    file.write_text(f"encryptionsalt: {EMPTY_SALT}\nconfig: {{}}\n")
    assert all(is_empty_passphrase(each, file) for each in empty)
    assert not any(is_empty_passphrase(each, file) for each in others)
    # Of a key service, or of Pulumi Cloud: the engine asks for no passphrase, and CI sets "".
    file.write_text("secretsprovider: awskms://alias/pulumi\nencryptedkey: AAAA\nconfig: {}\n")
    assert not any(is_empty_passphrase(each, file) for each in empty)
    assert not is_empty_passphrase(empty[0], tmp_path / "Pulumi.missing.yaml")


@pytest.mark.parametrize("salt", [SANDBOXES_SALT, EMPTY_SALT], ids=["sandbox's", "empty"])
def test_the_pack_refuses_a_sovereign_s_file_that_everybody_can_decrypt(salt: str) -> None:
    [problem] = no_plaintext_secret(RELEASED, Sovereign.of({}, salt=salt))
    assert "everybody" in problem
    sandbox = {"sovereign-harbor:sandbox": "true"}
    assert list(no_plaintext_secret(RELEASED, Sovereign.of(sandbox, salt=SANDBOXES_SALT))) == []
    assert list(no_plaintext_secret(RELEASED, Sovereign.of({}))) == []


def test_the_refusal_names_the_steps_for_this_stack() -> None:
    told = str(refusals.public_passphrase("dhofar"))
    assert "pulumi stack init dhofar" in told
    assert "every `secure:` value from Pulumi.dhofar.yaml" in told
    assert "a new shell" in told


def test_the_refusal_of_an_empty_passphrase_keeps_the_stack() -> None:
    told = str(refusals.empty_passphrase("dhofar"))
    assert "pulumi stack change-secrets-provider passphrase -s dhofar" in told
    assert "empty" in told
