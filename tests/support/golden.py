"""Objects of a settled form, compared with a file that has them as YAML."""

import os
from pathlib import Path
from typing import Any

import yaml


def compare(objects: Any, golden: Path) -> None:
    """Fails where the objects differ from the file. UPDATE_GOLDEN=1 writes the file instead."""
    made = yaml.safe_dump(objects, sort_keys=False, width=100, allow_unicode=True)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(made)
    assert made == golden.read_text(), "UPDATE_GOLDEN=1 if this is intended"
