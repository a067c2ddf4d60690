"""Every command that a message prints is for this stack: where `-s` is used, none is selected."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi.dynamic import Config, ConfigureRequest

from components import commands
from components.object_storage.blob_place import BlobPlaceProvider
from components.object_storage.location import BucketLocation, location_props
from components.object_storage.s3.errors import BucketError
from components.object_storage.s3_bucket import S3BucketProvider
from tests.support.project import ROOT

SOURCES = sorted(
    file
    for package in ("components", "engine", "fleet", "policy", "review")
    for file in (ROOT / package).rglob("*.py")
)

COMMAND = re.compile(
    r"pulumi (?:config (?:set|rm|get|refresh)|up|preview|refresh|destroy|import|cancel|state \w+"
    r"|stack (?:import|export|output|rm|rename|change-secrets-provider))\b"
)
END = re.compile(r"[`\n;]|&&| and |, then |$")
"""Where a command ends in a text."""


def without_stack(text: str) -> list[str]:
    """The commands in a text that name no stack."""
    commands = (
        text[match.start() : match.end() + rest.start()]
        for match in COMMAND.finditer(text)
        if (rest := END.search(text[match.end() :])) is not None
    )
    return [command for command in commands if not re.search(r" -s \S", command)]


def texts(source: str) -> Iterator[str]:
    """The texts of a module as they are printed, `{}` for each value; no docstrings."""
    tree = ast.parse(source)
    apart = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            apart.update(id(part) for part in node.values)
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and id(node) not in apart:
            yield str(node.value)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_printed_command_names_its_stack(file: Path) -> None:
    assert [one for text in texts(file.read_text()) for one in without_stack(text)] == []


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("said = f\"fix: pulumi config set --path 'a.b' {value} -s {stack}\"", []),
        ('said = "fix: pulumi up -s omantel; pulumi refresh"', ["pulumi refresh"]),
        ('said = f"run `pulumi up`, or {other} -s {stack}"', ["pulumi up"]),
        ('said = "a " "pulumi state delete"', ["pulumi state delete"]),
        ('said = f"pulumi config rm --path {path}\\n -s {stack}"', ["pulumi config rm --path {}"]),
        ('said = "the next `up` tries again"', []),
        ('def f():\n    "As `pulumi up` does."', []),
        ('said = f"{stack}" "then pulumi import"', ["pulumi import"]),
    ],
)
def test_a_command_without_a_stack_is_recognised(source: str, refused: list[str]) -> None:
    assert [one for text in texts(source) for one in without_stack(text)] == refused


def test_commands_are_written_for_a_stack() -> None:
    assert commands.run("up", "omantel") == "pulumi up -s omantel"
    assert (
        commands.set_value("storage.bucket", "omantel-harbor", "omantel")
        == "pulumi config set --path 'storage.bucket' omantel-harbor -s omantel"
    )
    assert commands.unset("storage.adopt", "a") == "pulumi config rm --path 'storage.adopt' -s a"
    assert commands.set_secret("s3AccessKey", "a") == "pulumi config set --secret s3AccessKey -s a"
    # A provider learns it from the state, and one of an earlier version does not say it.
    assert commands.run("up") == "pulumi up -s <stack>"
    assert commands.for_stack(f"fix: {commands.run('up')}", "a") == "fix: pulumi up -s a"
    assert commands.for_stack(commands.run("up"), None) == "pulumi up -s <stack>"


def test_what_a_provider_says_is_for_its_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.nizwa.yaml").write_text("config:\n  sovereign-harbor:fqdn: nizwa.om\n")
    monkeypatch.chdir(tmp_path)
    config = Config({"sovereign-harbor:fqdn": "nizwa.om"}, "sovereign-harbor")
    location = BucketLocation(bucket="a-harbor", region="fsn1", endpoint=None)
    buckets = S3BucketProvider()
    buckets.configure(ConfigureRequest(config=config))
    with pytest.raises(BucketError, match="pulumi config set --secret s3AccessKey -s nizwa"):
        buckets.read("a-harbor", location_props(location))
    place = BlobPlaceProvider()
    place.configure(ConfigureRequest(config=config))
    olds, news = {"place": {"bucket": "a"}}, {"place": {"bucket": "b"}, "name": "b"}
    (failure,) = place.check(olds, news).failures
    assert without_stack(failure.reason) == []
    assert "pulumi config set --path 'storage.bucket' 'a' -s nizwa" in failure.reason
