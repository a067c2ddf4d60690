"""The guides to the registry's configuration: what they declare is accepted, refused and applied as
they say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from components.settings.reading import refusals
from components.settings.reading.spec import is_known
from components.settings.schema.problems import Path as Key
from sandbox.fake_harbor.server import FakeHarbor, Settings
from tests.support.builders import FQDN, context_of
from tests.support.mocks import PROJECT
from tests.support.project import ROOT
from tests.support.raw_settings import GOOD
from tests.support.registry import ADMIN_PASSWORD
from tests.support.registry_stack import Stack, ran
from tests.unit.registry.test_component import registry

PAGES = sorted((ROOT / "docs/howto").glob("registry*.md"))
WITHOUT_A_SECTION = {"registry-export"}
"""Pages that tell of a command."""
_PREFIX = f"{PROJECT}:"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of YAML with keys of the stack's file. `refused`: words of the refusal that the page
    quotes; "" for a block that is accepted."""

    page: str
    number: int
    sections: dict[str, Any]
    refused: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def fenced(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, without their indentation."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^\1```", page.read_text(), re.DOTALL | re.M)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in blocks]


def _blocks() -> Iterator[Block]:
    for page in PAGES:
        for number, text in enumerate(fenced(page, "yaml"), start=1):
            parsed: dict[str, Any] = yaml.safe_load(text)
            if "apiVersion" in parsed:
                continue  # for kubectl
            marked = re.match(r"# Refused: (.+)\n", text)
            yield Block(
                page=page.stem,
                number=number,
                sections={key.removeprefix(_PREFIX): value for key, value in parsed.items()},
                refused=marked[1] if marked else "",
            )


BLOCKS = list(_blocks())
ACCEPTED = [block for block in BLOCKS if not block.refused]
REFUSED = [block for block in BLOCKS if block.refused]
APPLIED = [b for b in ACCEPTED if b.sections.get("registry", {}).get("enabled") is not False]


def _refusals(sections: dict[str, Any]) -> list[refusals.Refusal]:
    return list(refusals.read({**GOOD, **sections}, stack="omantel").refusals)


def _issuers() -> list[str]:
    logins = (block.sections.get("registry", {}).get("login", {}) for block in ACCEPTED)
    return sorted({login["issuer"] for login in logins if login})


@pytest.fixture
def stack() -> Iterator[Stack]:
    settings = Settings(version="2.15.1", issuers=_issuers())
    with FakeHarbor(admin_password=ADMIN_PASSWORD, settings=settings) as harbor:
        yield Stack(harbor)


def test_every_page_declares_something() -> None:
    pages = {page.stem for page in PAGES} - WITHOUT_A_SECTION
    assert {block.page for block in ACCEPTED} == pages
    assert len(REFUSED) > 5


@pytest.mark.parametrize("block", ACCEPTED, ids=str)
def test_what_a_page_declares_is_accepted(block: Block) -> None:
    assert _refusals(block.sections) == []


@pytest.mark.parametrize("block", REFUSED, ids=str)
def test_what_a_page_calls_refused_is_refused_with_the_words_that_it_quotes(block: Block) -> None:
    (refusal,) = _refusals(block.sections)
    assert block.refused in refusal.allowed


@pytest.mark.parametrize("block", APPLIED, ids=str)
def test_what_a_page_declares_is_applied_once(
    block: Block, stack: Stack, sealing_certificate: str
) -> None:
    sections = dict(block.sections)
    section = sections.pop("registry", {})

    def program() -> None:
        registry(context_of(sealing_certificate), section, **sections)

    stack.up(ran(program))
    stack.up(ran(program))
    assert stack.did == []


# --- Commands and keys ----------------------------------------------------------------------------


def key_path(text: str) -> Key:
    parts = re.findall(r"\[(\d+)\]|\[\"([^\"]+)\"\]|([^.\[\]]+)", text)
    return tuple(int(index) if index else quoted or name for index, quoted, name in parts)


def _settings(page: Path) -> list[tuple[Key, Any]]:
    """What the commands of a page set, in their order."""
    lines = [line for block in fenced(page, "sh") for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if "config set --path" in line]
    return [(key_path(parts[4]), yaml.safe_load(parts[5])) for parts in words]


COMMANDS = [(page, path, value) for page in PAGES for path, value in _settings(page)]


@pytest.mark.parametrize(
    ("page", "path", "value"),
    COMMANDS,
    ids=[f"{page.stem}-{path[-1]}-{value}" for page, path, value in COMMANDS],
)
def test_what_a_command_sets_beside_the_pages_first_block_is_accepted(
    page: Path, path: Key, value: Any
) -> None:
    first = next((block for block in ACCEPTED if block.page == page.stem), None)
    assert first is not None
    declared: dict[str, Any] = {**GOOD, **first.sections}
    changed = cast("dict[str, Any]", refusals.replaced(declared, path, value))
    assert _refusals(changed) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_setting_that_a_page_names_exists(page: Path) -> None:
    top = "registry|trivy|imagePolicy|networkPolicies"
    for text in re.findall(rf"`((?:{top})\.(?!{FQDN})[A-Za-z.]+)[^`]*`", page.read_text()):
        assert is_known(key_path(text), GOOD), text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_secret_that_a_page_declares_is_set_on_it(page: Path) -> None:
    text = page.read_text()
    declared = set(re.findall(r"\{ secret: (\w+) \}", text))
    assert declared <= set(re.findall(r"config set --secret (\w+) -s", text))
