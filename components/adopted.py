"""What exists already: the IDs under which the engine adopts it, and what the stack has to know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LiveDatabase:
    """The Cluster of Harbor's database. `server`: the name under which it archives; None where
    there is no Cluster."""

    server: str | None


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """IDs of objects, None where this stack makes the object; `namespaces` and `live_database`.

    With an ID the engine reads the object into its state and updates it in the same run; it
    refuses to replace it. Once the object is in the state, the ID changes nothing.
    """

    namespace: str | None = None
    release: str | None = None
    database: str | None = None
    namespaces: frozenset[str] | None = None
    """Those that exist of the namespaces which the image policy leaves out; None where nobody
    looked."""
    live_database: LiveDatabase | None = None
    """The database that lives; None where nobody looked."""
