"""A new Sovereign is one stack file."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from components.settings.reading import refusals, stack_file
from components.settings.reading.secrets import SECRETS
from fleet import scaffold
from tests.support.project import ROOT

GOOD = ("dhofar", "dhofar.omani.works", "nbg1")


def write(root: Path, name: str = GOOD[0], fqdn: str = GOOD[1], region: str = GOOD[2]) -> int:
    return scaffold.main(name, fqdn, region, root=root)


def test_the_file_is_complete_and_commented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path) == 0
    text = (tmp_path / "Pulumi.dhofar.yaml").read_text()
    file = stack_file.read(tmp_path / "Pulumi.dhofar.yaml")
    assert file.config["pulumi:disable-default-providers"] == ["kubernetes"]
    raw = file.settings
    assert raw == scaffold.config(*GOOD)
    settings = refusals.read(raw, stack="dhofar").settings
    assert settings is not None
    assert settings.registry_address.host == "registry.dhofar.omani.works"
    assert settings.protect
    assert text.count("#") >= 6
    told = capsys.readouterr().out
    for command in (
        "pulumi config set --secret s3AccessKey -s dhofar",
        "pulumi config set --secret s3SecretKey -s dhofar",
        "make preview STACK=dhofar",
        "pulumi stack init dhofar",
    ):
        assert command in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Dhofar", *GOOD[1:]), "(NAME) = 'Dhofar'"),
        (("d", *GOOD[1:]), "3 to 42 lower-case letters"),
        (("dhofar-", *GOOD[1:]), "not ending with '-'"),
        (("../x", *GOOD[1:]), "3 to 42 lower-case letters"),
        (("local", *GOOD[1:]), "local is the sandbox's"),
        ((GOOD[0], "https://dhofar.omani.works", GOOD[2]), "a name, not a URL"),
        ((GOOD[0], "Dhofar.omani.works", GOOD[2]), "upper-case letters are not allowed"),
        ((GOOD[0], "registry.dhofar.omani.works", GOOD[2]), "puts 'registry.' in front of it"),
        ((GOOD[0], "", GOOD[2]), "sovereign-harbor:fqdn"),
        ((GOOD[0], "x: [y\n", GOOD[2]), "sovereign-harbor:fqdn"),
        ((*GOOD[:2], "ash"), "ash is a compute-only location without object storage"),
        ((*GOOD[:2], "mars"), "one of fsn1, nbg1, hel1"),
        ((*GOOD[:2], ""), "sovereign-harbor:storage.region"),
    ],
)
def test_what_is_wrong_is_refused_in_the_settings_words(
    arguments: tuple[str, str, str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert scaffold.main(*arguments, root=tmp_path) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.startswith("nothing was written\n")
    assert list(tmp_path.iterdir()) == []


def test_the_fix_is_the_same_command_with_what_was_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path, fqdn="https://Dhofar.omani.works/", region="NBG1") == 2
    told = capsys.readouterr().err
    assert "make sovereign NAME=dhofar FQDN=dhofar.omani.works REGION=NBG1" in told
    assert "make sovereign NAME=dhofar FQDN=https://Dhofar.omani.works/ REGION=nbg1" in told


def test_a_file_that_exists_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Pulumi.dhofar.yaml"
    file.write_text("config: {}\n")
    assert write(tmp_path) == 2
    assert file.read_text() == "config: {}\n"
    assert "never overwritten" in capsys.readouterr().err


def test_two_sovereigns_never_have_one_domain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path) == 0
    assert write(tmp_path, name="salalah") == 2
    assert "dhofar has it" in capsys.readouterr().err
    assert write(tmp_path, name="salalah", fqdn="dhofar.omani.works.example") == 0


def test_a_file_that_cannot_be_read_may_have_the_domain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Pulumi.salalah.yaml").write_text("config:\n\tfqdn: dhofar.omani.works\n")
    assert write(tmp_path) == 2
    told = capsys.readouterr().err
    assert "Pulumi.salalah.yaml:2:1: a tab" in told
    assert "mend Pulumi.salalah.yaml" in told


@pytest.mark.parametrize("name", ["omantel", "otech"])
def test_the_committed_stack_files_pass_the_same_checks(name: str) -> None:
    problems = scaffold.refused(name, f"{name}.omani.works", "fsn1", scaffold.stacks.ROOT)
    assert [refusal.key for refusal in problems] == ["(NAME)"], "taken, and nothing else"


# --- Every kind of storage ----------------------------------------------------------------------


def make_sovereign(*variables: str) -> list[str]:
    """The arguments that `make sovereign` hands on, after the name and the domain."""
    shown = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "-n",
            "--assume-old=.venv/program",
            "sovereign",
            "NAME=n",
            "FQDN=f",
            *variables,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace("\\\n", " ")
    return shlex.split(shown.strip().splitlines()[-1])[6:]


@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_a_stack_file_of_every_kind_is_written_whole(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = scaffold.example(kind, "dhofar").values
    assert scaffold.main("dhofar", GOOD[1], "", kind=kind, values=values, root=tmp_path) == 0
    config = stack_file.read(tmp_path / "Pulumi.dhofar.yaml").config
    storage = config["sovereign-harbor:storage"]
    assert storage["kind"] == kind
    assert list(storage)[1:] == scaffold.required(kind)
    told = capsys.readouterr().out
    for key, rule in SECRETS.items():
        is_needed = f"config set --secret {key} " in told
        assert is_needed is (key in scaffold._secrets(kind)), rule.description
    assert ("No secret is to be set" in told) is (scaffold._secrets(kind) == ())


def test_a_vendor_s_default_provider_is_switched_off_with_the_cluster_s(tmp_path: Path) -> None:
    values = {"region": "eu-central-1", "accountId": "111122223333"}
    assert scaffold.main("dhofar", GOOD[1], "", kind="aws", values=values, root=tmp_path) == 0
    config = stack_file.read(tmp_path / "Pulumi.dhofar.yaml").config
    assert config["pulumi:disable-default-providers"] == ["kubernetes", "aws"]
    assert config["sovereign-harbor:storage"]["accountId"] == "111122223333"


@pytest.mark.parametrize(
    ("kind", "values", "key", "fix"),
    [
        ("s3", {"region": "r"}, "storage.endpoint", "KIND=s3 REGION=r ENDPOINT=https://"),
        ("s3", {"endpoint": "https://s3.example.com"}, "storage.region", "REGION=us-east-1"),
        ("azure", {}, "storage.account", "KIND=azure ACCOUNT="),
        ("filesystem", {}, "storage.size", "KIND=filesystem SIZE="),
        ("minio", {}, "storage.kind", "FQDN=dhofar.omani.works KIND="),
    ],
)
def test_what_a_kind_needs_is_asked_for_by_the_same_command(
    kind: str,
    values: dict[str, str],
    key: str,
    fix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert scaffold.main("dhofar", GOOD[1], "", kind=kind, values=values, root=tmp_path) == 2
    told = capsys.readouterr().err
    assert f"sovereign-harbor:{key} = " in told
    assert f"make sovereign NAME=dhofar FQDN={GOOD[1]}" in told
    assert fix in told
    assert "pulumi config" not in told, "there is neither a file nor a stack yet"
    assert list(tmp_path.iterdir()) == []


def test_make_hands_every_key_of_a_place_on() -> None:
    handed = make_sovereign("KIND=s3", "REGION=r", "ENDPOINT=https://s3.example.com")
    assert handed == ["r", "--kind", "s3", "--set", "endpoint=https://s3.example.com"]
    needed = {key for kind in scaffold.KINDS for key in scaffold.required(kind)} - {"region"}
    variables = [f"{key.upper()}=x" for key in sorted(needed)]
    handed = make_sovereign(*variables)
    assert {pair.partition("=")[0] for pair in handed[2::2]} == needed
