"""A newcomer's first hour: the pages are followed as they are written, in an empty home folder.

The real engine runs; no cluster and no sandbox does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from engine.project import ROOT
from toolchain.go import cache_dir

VALUES = {"s3AccessKey": "ANACCESSKEYOF20CHARS", "s3SecretKey": "a-secret-key-" * 3}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home folder with a clone of the project in it, and its Python environment."""
    clone = tmp_path / "sovereign-harbor"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    (clone / ".venv").symlink_to((ROOT / ".venv").resolve())
    return tmp_path


def follow(home: Path, lines: list[str]) -> subprocess.CompletedProcess[str]:
    """What a shell does with these lines; each secret that is asked for is typed."""
    typed = [
        f"printf %s '{VALUES[asked[1]]}' | {line}"
        if (asked := re.match(r"pulumi config set --secret (\w+)", line))
        else line
        for line in lines
    ]
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    return subprocess.run(
        ["bash", "-e"],
        input="\n".join(typed),
        cwd=home / "sovereign-harbor",
        # The tools were built before: an empty cache would be 20 minutes.
        env={**kept, "HOME": str(home), "SOVEREIGN_HARBOR_CACHE": str(cache_dir())},
        capture_output=True,
        text=True,
    )


def lines_of(text: str) -> list[str]:
    """The commands of a text's code blocks, up to the last preview."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    last = max(i for i, line in enumerate(lines) if line.startswith("pulumi preview -s dhofar"))
    return lines[: last + 1]


README = (ROOT / "README.md").read_text().partition("## A Sovereign of your own")[2]
PAGES = {
    "README": README.partition("\n## ")[0],
    # The cluster comes afterwards, and nobody has one here.
    "new-sovereign": (ROOT / "docs/howto/new-sovereign.md").read_text().partition("\n5. ")[0],
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_followed_from_its_first_line_to_a_preview(page: str, home: Path) -> None:
    lines = lines_of(PAGES[page])
    assert lines[0].startswith("make sovereign NAME=dhofar")
    done = follow(home, lines)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "## dhofar: " in told, "the page of make preview"
    assert "Previewing update (dhofar)" in told
    file = home / "sovereign-harbor" / "Pulumi.dhofar.yaml"
    document = yaml.safe_load(file.read_text())
    for key, value in VALUES.items():
        assert set(document["config"][f"sovereign-harbor:{key}"]) == {"secure"}
        assert value not in file.read_text() + told
    assert (home / "passphrase").stat().st_mode & 0o077 == 0
    assert (home / "pulumi-state" / ".pulumi").is_dir()


def test_the_readme_s_next_section_is_refused_in_the_shell_of_the_sandbox(home: Path) -> None:
    clone = home / "sovereign-harbor"
    sandbox = clone / ".sandbox"
    sandbox.mkdir()
    # What a sandbox that ran has left.
    (sandbox / "object-storage.json").write_text('{"port": 9}')
    (sandbox / "chart.json").write_text('{"source": "offline/harbor-chart"}')
    before = (clone / "Pulumi.omantel.yaml").read_text()
    for line in (
        "pulumi stack init omantel",
        "pulumi config set --secret s3AccessKey -s omantel",
        "make fleet-status",
    ):
        done = follow(home, ['eval "$(make -s env)"', line])
        assert done.returncode != 0
        assert "the sandbox's environment" in done.stderr, done.stdout + done.stderr
    assert (clone / "Pulumi.omantel.yaml").read_text() == before
