"""The engine reads a stack's file as components/settings/reading/stack_file.py does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import tools
from engine.stack import Stack
from tests.support.yaml_values import READ, REFUSED_BY_THE_ENGINE

PROJECT = "name: sovereign-harbor\nruntime: python\n"


@pytest.fixture(scope="module")
def nizwa(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack in a project of its own, without a program and without a cluster."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "Pulumi.yaml").write_text(PROJECT)
    (folder / "state").mkdir()
    environment = {
        **tools.tools_environment(),
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
    }
    stack = Stack("nizwa", environment, folder)
    stack.run("stack", "init", "nizwa", "--no-select")
    return stack


def file_of(stack: Stack) -> Path:
    return stack.folder / "Pulumi.nizwa.yaml"


def test_the_engine_reads_every_value_alike(nizwa: Stack) -> None:
    lines = [f"  k{index}: {value}" for index, value in enumerate(READ)]
    file_of(nizwa).write_text("\n".join(["config:", *lines, ""]))
    listed: dict[str, Any] = json.loads(nizwa.run("config", "--json", "-s", "nizwa").text)
    for index, (value, is_read) in enumerate(READ.items()):
        entry = listed[f"sovereign-harbor:k{index}"]
        given = entry.get("objectValue", entry["value"])
        expected = is_read if isinstance(is_read, str | list) else json.dumps(is_read)
        assert given == expected, value


@pytest.mark.parametrize("text", REFUSED_BY_THE_ENGINE)
def test_the_engine_refuses_what_the_reader_refuses(text: str, nizwa: Stack) -> None:
    file_of(nizwa).write_text(text)
    assert nizwa.run("config", "--json", "-s", "nizwa", check=False).code != 0
