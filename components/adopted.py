"""What exists already and is adopted: its IDs, under which the engine imports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """IDs of objects, None where this stack makes the object; and `namespaces`.

    With an ID the engine reads the object into its state and updates it in the same run; it
    refuses to replace it. Once the object is in the state, the ID changes nothing.
    """

    namespace: str | None = None
    release: str | None = None
    database: str | None = None
    namespaces: frozenset[str] | None = None
    """Those that exist of the namespaces which the image policy leaves out; None where nobody
    looked."""
