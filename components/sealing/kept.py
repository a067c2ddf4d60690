"""The Secrets that stay in the cluster like the database, and what they are worth to a new state.

After `pulumi destroy` with `retainData` the database stays, encrypted with a key of which the state
had the only other copy. So the Secrets with that key, and with the two passwords that the database
knows, stay, too. Pure.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.harbor_inputs import GIVEN_SECRET_KEY, MINTED_SECRET_KEY


@dataclass(frozen=True, kw_only=True)
class KeptSecret:
    """A Secret that stays. `key`: its key that holds the value.

    `names`: those that it may have; if several are there, the first one has the value in use.
    `given_by`: the config secret that gives the value to a state that does not have it. `fixed`:
    whether no other value than this one will do.
    """

    given_by: str
    key: str
    names: tuple[str, ...]
    fixed: bool = False


KEPT: Final = (
    KeptSecret(
        given_by="harborSecretKey",
        key="secretKey",
        # A stack that was given its key once is given it for ever, so this name is the later one.
        names=(GIVEN_SECRET_KEY, MINTED_SECRET_KEY),
        fixed=True,
    ),
    # Somebody may have changed it in Harbor, so another one may be right.
    KeptSecret(
        given_by="harborAdminPassword",
        key="HARBOR_ADMIN_PASSWORD",
        names=("harbor-minted-admin-password",),
    ),
    # The operator sets whichever it is given in the database.
    KeptSecret(given_by="databasePassword", key="password", names=("harbor-pg-credentials",)),
)

KNOWN_TO_A_DATABASE: Final = ("harborSecretKey", "harborAdminPassword")
"""Config secrets whose values are in a database, and so in its backup. The operator sets the
database's own password after a restore."""

NAMES: Final = frozenset(name for kept in KEPT for name in kept.names)


def earlier_names(name: str) -> tuple[str, ...]:
    """The names under which the value in use may stand, where this one is written; it is last."""
    for kept in KEPT:
        if name in kept.names:
            return kept.names[: kept.names.index(name) + 1]
    return (name,)


def may_be_another(name: str) -> bool:
    """Whether a person may give another value than the one that was kept."""
    return any(name in kept.names and not kept.fixed for kept in KEPT)


@dataclass(frozen=True, kw_only=True)
class LeftBehind:
    """A Secret in the cluster whose value a new state lacks."""

    name: str
    kept: KeptSecret


def left_behind(
    look: Callable[[str], Mapping[str, Any] | None], given: Mapping[str, str]
) -> list[LeftBehind]:
    """The kept Secrets whose values a new state would make anew.

    `look`: name → the Secret, None unless it is this program's and stays. `given`: the config
    secrets that are set.
    """
    left: list[LeftBehind] = []
    for kept in KEPT:
        there = ((name, secret) for name in kept.names if (secret := look(name)) is not None)
        name, secret = next(there, ("", None))
        value = given.get(kept.given_by)
        is_enough = value is not None and (not kept.fixed or has_values(secret, {kept.key: value}))
        if secret is not None and not is_enough:
            left.append(LeftBehind(name=name, kept=kept))
    return left


def has_values(secret: Mapping[str, Any] | None, data: Mapping[str, str]) -> bool:
    """Whether a Secret of the API has these plaintexts."""
    encoded: Mapping[str, str] = (secret or {}).get("data") or {}
    return all(
        hmac.compare_digest(encoded.get(key) or "", base64.b64encode(value.encode()).decode())
        for key, value in data.items()
    )
