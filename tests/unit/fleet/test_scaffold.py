"""A new Sovereign is one stack file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.settings.reading import refusals
from fleet import scaffold

GOOD = ("dhofar", "dhofar.omani.works", "nbg1")


def write(root: Path, name: str = GOOD[0], fqdn: str = GOOD[1], region: str = GOOD[2]) -> int:
    return scaffold.main(name, fqdn, region, root=root)


def test_the_file_is_complete_and_commented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path) == 0
    text = (tmp_path / "Pulumi.dhofar.yaml").read_text()
    config = yaml.safe_load(text)["config"]
    assert config["pulumi:disable-default-providers"] == ["kubernetes"]
    raw = {
        key.removeprefix("sovereign-harbor:"): value
        for key, value in config.items()
        if key.startswith("sovereign-harbor:")
    }
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


@pytest.mark.parametrize("name", ["omantel", "otech"])
def test_the_committed_stack_files_pass_the_same_checks(name: str) -> None:
    problems = scaffold.refused(name, f"{name}.omani.works", "fsn1", scaffold.stacks.ROOT)
    assert [refusal.key for refusal in problems] == ["(NAME)"], "taken, and nothing else"
