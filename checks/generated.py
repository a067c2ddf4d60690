"""A committed file that is generated from the settings: written anew, or compared with them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(
    arguments: Sequence[str] | None,
    *,
    description: str,
    text: str,
    file: Path,
    of: str,
    command: str,
) -> int:
    """The exit code: 1 if `file` is not `text`. With --write it is written first.

    `of`: what the text comes from, and `command`: what writes it, both for the message.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--write", action="store_true", help="write the file instead of comparing")
    if parser.parse_args(arguments).write:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return 0
    if file.is_file() and file.read_text() == text:
        return 0
    print(f"{file} differs from {of}; run: {command}", file=sys.stderr)
    return 1
