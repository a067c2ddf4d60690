"""The documentation's links lead somewhere, and every page can be found from the index."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.project import ROOT

DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
GENERATED = {DOCS / "reference/settings.md", DOCS / "reference/versions.md"}
"""Pages that `make reference` writes."""
DECISIONS = sorted((DOCS / "decisions").iterdir())


def pages() -> list[Path]:
    """The Markdown files of the project, and those that git does not know yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def links(page: Path) -> list[str]:
    """Where its relative links lead, outside of code: path, anchor, or both."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "code", prose))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """What GitHub makes of its headings: lower case, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ +(.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() or target in GENERATED, link
        assert not anchor or anchor in anchors(target), link


def test_links_are_seen_at_all() -> None:
    assert "CONTRIBUTING.md" in links(ROOT / "README.md")


def test_every_page_is_in_the_index() -> None:
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(INDEX)}
    assert {page for page in pages() if page.is_relative_to(DOCS)} - {INDEX} <= listed


def test_the_readme_says_what_every_package_is_for() -> None:
    told = set(re.findall(r"^\| `(\w+)/", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {file.parent.name for file in ROOT.glob("*/__init__.py")} <= told


@pytest.mark.parametrize("page", DECISIONS[1:], ids=lambda page: page.stem)
def test_a_decision_has_a_number_a_status_and_a_date(page: Path) -> None:
    title, _, status, *_ = page.read_text().splitlines()
    assert title.startswith(f"# {int(page.name[:4])}. ")
    assert re.fullmatch(
        r"Status: (proposed|accepted|superseded by \[\d{4}\]\(\S+\.md\)) · Date: \d{4}-\d\d-\d\d",
        status,
    )


def test_decisions_are_numbered_without_a_gap_from_the_template_on() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(len(DECISIONS)))


# --- Commands -----------------------------------------------------------------------------------

PEOPLES = [page for page in pages() if page.parent.name in ("runbooks", "howto")]
_NEEDS_A_STACK = r"pulumi (?:config (?:set|rm)|stack (?:output|export|import))\b"


def commands(page: Path) -> list[str]:
    """Commands of pulumi's to copy: those in code blocks, and settings to set in the prose."""
    text = page.read_text()
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [part for block in blocks for part in re.split(r"\n|&&|;|\|", block)]
    typed = [line.strip() for line in lines]
    prose = re.findall(rf"`({_NEEDS_A_STACK}[^`]* [^`]*)`", text)
    verbs = r"pulumi (up|preview|refresh|destroy|config|stack (output|export|import))\b"
    return [line for line in typed if re.match(verbs, line)] + prose


@pytest.mark.parametrize("page", PEOPLES, ids=lambda page: page.stem)
def test_a_command_names_the_stack_that_it_is_for(page: Path) -> None:
    for command in commands(page):
        assert re.search(r" -s \S", command), command
