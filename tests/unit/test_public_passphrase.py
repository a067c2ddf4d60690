"""The sandbox's passphrase encrypts the sandbox's stack and no other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from components.public_passphrase import is_public_environment, is_public_salt
from components.settings.reading import refusals
from policy.plaintext import no_plaintext_secret
from policy.resource import RELEASE, Resource, Sovereign
from tests.support.project import ROOT

SANDBOXES_SALT = yaml.safe_load((ROOT / "Pulumi.local.yaml").read_text())["encryptionsalt"]
RELEASED = Resource(type=RELEASE, name="harbor-release", props={})


def test_a_salt_made_with_the_public_passphrase_is_recognised() -> None:
    assert is_public_salt(SANDBOXES_SALT)


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


def test_a_salt_is_tried_once() -> None:
    is_public_salt(SANDBOXES_SALT)
    begun = time.process_time()
    is_public_salt(SANDBOXES_SALT)
    assert time.process_time() - begun < 0.1


def test_the_engine_s_passphrase_is_recognised_however_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("sandbox\n")
    assert is_public_environment({"PULUMI_CONFIG_PASSPHRASE": "sandbox"})
    assert is_public_environment({"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)})
    file.write_text("of the estate's")
    assert not is_public_environment({"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)})
    assert not is_public_environment({"PULUMI_CONFIG_PASSPHRASE_FILE": "/nonexistent/file"})
    assert not is_public_environment({})


def test_the_pack_refuses_a_sovereign_s_file_that_everybody_can_decrypt() -> None:
    [problem] = no_plaintext_secret(RELEASED, Sovereign.of({}, salt=SANDBOXES_SALT))
    assert "everybody knows" in problem
    sandbox = {"sovereign-harbor:sandbox": "true"}
    assert list(no_plaintext_secret(RELEASED, Sovereign.of(sandbox, salt=SANDBOXES_SALT))) == []
    assert list(no_plaintext_secret(RELEASED, Sovereign.of({}))) == []


def test_the_refusal_names_the_steps_for_this_stack() -> None:
    told = str(refusals.public_passphrase("dhofar"))
    assert "pulumi stack init dhofar" in told
    assert "every `secure:` value from Pulumi.dhofar.yaml" in told
    assert "a new shell" in told
