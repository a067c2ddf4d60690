"""The commands by which the guides to the registry's configuration set a stack's configuration.

The real pulumi runs them. They need neither cluster nor sandbox.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.settings.reading import refusals
from components.settings.registry import stack_secrets
from engine.stack import Stack
from engine.tools import own_pulumi
from tests.support.mocks import PROJECT
from tests.support.raw_settings import GOOD
from tests.unit.test_docs_registry import ACCEPTED, PAGES, WITHOUT_A_SECTION, fenced
from toolchain.build import ensure

_TYPED = "Typed12345"
"""What a person types where a command asks for a secret."""
_CONFIGURES = re.compile(r"pulumi config |/dev/urandom")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    project = tmp_path / "project"
    for folder in (project, tmp_path / "state"):
        folder.mkdir()
    (project / "Pulumi.yaml").write_text(f"{{name: {PROJECT}, runtime: python}}")
    tools = ensure(["pulumi", "pulumi-resource-kubernetes"], report=lambda _: None)
    own = own_pulumi(tmp_path / "tools", tools)
    stack = Stack(
        "omantel",
        {
            "PATH": os.pathsep.join([*own, *map(str, tools.bin_dirs()), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
            "PULUMI_HOME": str(tmp_path / "tools" / "pulumi-home"),
            "PULUMI_CONFIG_PASSPHRASE": "of these pages",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        },
        project,
    )
    stack.ensure()
    return stack


def sections(stack: Stack) -> dict[str, Any]:
    """The stack's file without its secrets, by key."""
    text = (stack.folder / f"Pulumi.{stack.name}.yaml").read_text()
    config: dict[str, Any] = yaml.safe_load(text)["config"]
    named = {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items()}
    return {
        key: value
        for key, value in named.items()
        if not (isinstance(value, dict) and "secure" in value)
    }


def declare(stack: Stack, declared: dict[str, Any]) -> None:
    file = stack.folder / f"Pulumi.{stack.name}.yaml"
    document = yaml.safe_load(file.read_text()) if file.exists() else {}
    document["config"] = {f"{PROJECT}:{key}": value for key, value in declared.items()}
    file.write_text(yaml.safe_dump(document))


DECLARING = [page for page in PAGES if page.stem not in WITHOUT_A_SECTION]


@pytest.mark.parametrize("page", DECLARING, ids=lambda page: page.stem)
def test_the_commands_of_a_page_leave_a_file_that_is_accepted(page: Path, stack: Stack) -> None:
    declared = next(block for block in ACCEPTED if block.page == page.stem)
    declare(stack, {**GOOD, **declared.sections})
    lines = [line for block in fenced(page, "sh") for line in block.splitlines()]
    for line in filter(_CONFIGURES.search, lines):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=stack.folder,
            env={**os.environ, **stack.environment},
            input=_TYPED,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert [*refusals.read(sections(stack), stack="omantel").refusals] == [], line


def test_the_password_that_a_page_makes_is_one_that_harbor_takes(tmp_path: Path) -> None:
    (page,) = (page for page in PAGES if page.stem == "registry-robots")
    (line,) = (
        line
        for block in fenced(page, "sh")
        for line in block.splitlines()
        if "/dev/urandom" in line
    )
    subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=tmp_path, check=True)
    rules = stack_secrets.references({"robots": {"ci": {"secret": {"secret": "shopCi"}}}})
    check = rules["shopCi"].shape.check
    assert check is not None and check((tmp_path / "shop-ci.txt").read_text()) is None
