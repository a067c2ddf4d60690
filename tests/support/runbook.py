"""The commands of a runbook, run as they are written there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from engine.project import ROOT
from engine.stack import Stack

# Nobody looks at the preview that `up` shows before it asks; it would cost as much as the update.
# And a command that only previews asks nothing.
_UNSEEN = """
pulumi() {
  case " $* " in
    " up "*) shift; command pulumi up --skip-preview "$@" ;;
    *" --preview-only "*) env -u PULUMI_SKIP_CONFIRMATIONS pulumi "$@" ;;
    *) command pulumi "$@" ;;
  esac
}
"""


def commands(page: str) -> dict[str, str]:
    """Heading → its block of commands, of docs/runbooks/<page>.md; one block per section."""
    return commands_of(ROOT / "docs" / "runbooks" / f"{page}.md")


def commands_of(page: Path) -> dict[str, str]:
    """The same of any page."""
    blocks: dict[str, str] = {}
    text = page.read_text()
    for section in re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]:
        heading, _, rest = section.partition("\n")
        for block in re.findall(r"^```sh\n(.*?)^```", rest, flags=re.MULTILINE | re.DOTALL):
            assert heading not in blocks, "one block per section"
            blocks[heading] = block
    return blocks


def run(stack: Stack, block: str, variables: Mapping[str, str], *, typed: str = "") -> str:
    """Runs a block; what it said. `typed`: what each command that asks is given."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _UNSEEN + block],
        cwd=stack.folder,
        env={
            **os.environ,
            **stack.environment,
            **variables,
            "PULUMI_SKIP_CONFIRMATIONS": "true",  # a person is asked; here nobody answers
        },
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{block}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr
