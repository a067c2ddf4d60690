"""Process ids are used again by the system: id and start time together name one process."""

from __future__ import annotations

from pathlib import Path


def born(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
