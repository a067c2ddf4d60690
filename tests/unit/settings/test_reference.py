"""docs/reference/settings.md: it has every setting, and says what the models say."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from checks import settings_reference
from components.settings.harbor import HarborSettings
from components.settings.model import Settings
from components.settings.reading.secrets import SECRETS
from components.settings.registry.endpoints import ALIASES
from components.settings.storage.base import StorageKind
from tests.support.kinds import KINDS, minimal


def test_the_committed_reference_is_what_the_models_say() -> None:
    assert settings_reference.main([]) == 0, f"run {settings_reference.COMMAND}"


def test_a_reference_that_differs_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reference" / "settings.md"
    monkeypatch.setattr(settings_reference, "REFERENCE", file)
    assert settings_reference.main([]) == 1
    assert settings_reference.COMMAND in capsys.readouterr().err
    assert settings_reference.main(["--write"]) == 0
    assert settings_reference.main([]) == 0
    file.write_text(file.read_text() + "\n")
    assert settings_reference.main([]) == 1


def keys_of(section: BaseModel, path: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in type(section).model_fields.items():
        key = f"{path}{field.alias}"
        value = getattr(section, name)
        keys += [key, *(keys_of(value, f"{key}.") if isinstance(value, BaseModel) else [])]
    return keys


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_stack_is_in_the_reference(kind: type[StorageKind]) -> None:
    storage = minimal(kind)
    settings = Settings.model_validate(
        {"fqdn": "omantel.omani.works", "cluster": {"name": "omantel"}, "storage": storage}
    )
    lines = settings_reference.reference().splitlines()
    rows = {line.split("`")[1] for line in lines if line.startswith("| `")}
    headings = {line.removeprefix("## ") for line in lines if line.startswith("## ")}
    assert rows | headings >= {*keys_of(settings), *SECRETS}


def test_a_row_says_type_default_what_is_allowed_and_the_docstring() -> None:
    lines = settings_reference.reference().splitlines()
    assert (
        "| `harbor.replicas.core` | number | `1` | a whole number from 1 to 50 "
        "| API, login, proxy in front of the registry. |"
    ) in lines
    # The default is that of the section it stands in, not the one of its class.
    cpu = HarborSettings().resources.registryctl.cpu
    assert any(f"| `harbor.resources.registryctl.cpu` | text | `{cpu}` |" in line for line in lines)
    assert any("| `storage.bucket` | text | required |" in line for line in lines)
    assert any("| `storage.endpoint` | text | unset |" in line for line in lines)


def test_the_program_reads_no_docstring_of_an_attribute() -> None:
    for section in (Settings, HarborSettings, *KINDS):
        assert not section.model_config.get("use_attribute_docstrings")
        assert not any(field.description for field in section.model_fields.values())


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("registry.proxyCaches.<name>.upstream.type", ALIASES),
        ("registry.projects.<name>.members.users", {"projectAdmin": "admin", "master": ""}),
    ],
)
def test_every_word_that_is_taken_for_a_value_is_listed(key: str, words: Mapping[str, str]) -> None:
    lines = settings_reference.reference().splitlines()
    (row,) = [line for line in lines if line.startswith(f"| `{key}` |")]
    assert [word for word in words if f"`{word}`" not in row] == []
    assert f"`{next(iter(words))}`" in row
