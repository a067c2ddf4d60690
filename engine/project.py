"""The project's folder, and the one folder that commands write into (git ignores it)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
"""The repository."""


def data_folder() -> Path:
    """$SANDBOX_DIR, or `.sandbox` in the repository: absolute, not necessarily there yet."""
    chosen = os.environ.get("SANDBOX_DIR")
    return Path(chosen).resolve() if chosen else ROOT / ".sandbox"
