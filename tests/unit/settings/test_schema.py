"""docs/reference/stack-file.schema.json: editors accept what the settings accept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checks import stack_file_schema
from components.settings.reading import refusals, stack_file
from engine import stacks
from fleet import scaffold
from tests.support.project import ROOT
from tests.support.raw_settings import GOOD, merged
from tests.support.stack_files import objects, stack_files

SCHEMA = stack_file_schema.schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def problems(settings: dict[str, Any], **rest: Any) -> list[str]:
    config = {f"sovereign-harbor:{key}": value for key, value in settings.items()}
    return [error.json_path for error in VALIDATOR.iter_errors({"config": config, **rest})]


def test_the_committed_schema_is_what_the_models_say() -> None:
    assert stack_file_schema.main([]) == 0, f"run {stack_file_schema.COMMAND}"
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_a_schema_that_differs_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stack-file.schema.json"
    monkeypatch.setattr(stack_file_schema, "SCHEMA", file)
    assert stack_file_schema.main([]) == 1
    assert stack_file_schema.COMMAND in capsys.readouterr().err
    assert stack_file_schema.main(["--write"]) == 0
    assert stack_file_schema.main([]) == 0
    assert json.loads(file.read_text()) == SCHEMA


@pytest.mark.parametrize("name", stacks.names())
def test_every_stack_file_passes(name: str) -> None:
    config = stack_file.read(stacks.file_of(name, ROOT)).config
    assert [error.message for error in VALIDATOR.iter_errors({"config": dict(config)})] == []


def test_a_new_stack_file_names_the_schema() -> None:
    first, *_ = scaffold.text(scaffold.example("hetzner", "nizwa")).splitlines()
    assert first == stack_file_schema.MODELINE
    assert (ROOT / first.partition("$schema=")[2]).is_file()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stack_files(), st.data())
def test_the_schema_accepts_random_files_and_refuses_an_unknown_key(
    raw: dict[str, Any], data: Any
) -> None:
    assert problems(raw) == []
    path = data.draw(st.sampled_from(objects(raw)))
    assert problems(refusals.replaced(raw, (*path, "zzzUnknown"), "x"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("imagePolicy.enforcement", "enforce"),
        ("storage.kind", "minio"),
        ("storage.size", "50Gi"),
        ("harbor.replicas.core", "two"),
        ("protect", "no"),
        ("networkPolicies.outside", "10.0.0.0/8"),
        ("s3AccessKey", "a key that everybody can read"),
        ("fqdn", ["a.b"]),
        ("fqdn", ...),
    ],
)
def test_what_an_editor_marks(path: str, value: Any) -> None:
    raw = merged(path, value)
    assert bool(problems(raw)) == (value is not ...), "what is left out is told by the program"


def test_secrets_short_keys_and_keys_of_providers_pass() -> None:
    config = {**GOOD, "s3AccessKey": {"secure": "v1:x"}, "sandbox": "true"}
    assert problems(config, encryptionsalt="v1:x") == []
    other = {**config, "aws:region": "eu-central-1", "pulumi:disable-default-providers": ["*"]}
    assert list(VALIDATOR.iter_errors({"config": other})) == []
    assert list(VALIDATOR.iter_errors({"cofig": other})) != []


def test_a_secret_that_the_registry_names_passes_encrypted_only() -> None:
    assert problems({**GOOD, "hubToken": {"secure": "v1:x"}}) == []
    assert problems({**GOOD, "hubToken": "${SANDBOX_HUB_TOKEN}"}) == []
    assert problems({**GOOD, "hubToken": "a token that everybody can read"})


def test_a_registry_may_be_the_name_of_one_that_is_declared() -> None:
    mirrors = {"m": {"from": "ghcr", "repositories": ["a/b"], "into": "p"}}
    assert problems({**GOOD, "registry": {"mirrors": mirrors}}) == []
    assert problems({**GOOD, "registry": {"mirrors": {"m": {"from": ["ghcr"]}}}})


@pytest.mark.parametrize(
    ("word", "is_marked"), [("ghcr", False), ("docker.io", False), ("gchr", True)]
)
def test_a_word_that_is_taken_for_a_value_passes(word: str, is_marked: bool) -> None:
    caches = {"c": {"upstream": {"type": word}}}
    assert bool(problems({**GOOD, "registry": {"proxyCaches": caches}})) is is_marked
