"""Why some mutants are left alive. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXPLAINED: Final[Mapping[tuple[str, str], str]] = {}
"""A mutant's module and diff → the reason. A key of a line that is gone does nothing."""
