"""What exists already and is adopted, by the ids under which the engine imports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """None: made by this stack.

    With an id the engine reads the object into its state and updates it in the same run; it
    refuses to replace it. Once the object is in the state, an id changes nothing.
    """

    namespace: str | None = None
    release: str | None = None
    database: str | None = None
