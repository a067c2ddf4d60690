"""The section `secrets`: Secrets are sealed, or come by way of a secret store. Pure."""

import hashlib
import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from components.settings.schema.rules import (
    OBJECT_NAME,
    Section,
    SettingRule,
    matching,
    whole_number,
)

LONGEST_PREFIX: Final = 100
_KEY: Final = r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?"

STORE_KEY = SettingRule(
    allowed="the name of a key in the secret store, of letters, digits, '-', '_', '.' and '/' "
    "(never the secret itself)",
    example="<key>",
    check=matching(rf"(?=.{{1,253}}$){_KEY}"),
    conceal=True,
)
STORE_PROPERTY = SettingRule(
    allowed="the name of a property of that key, of letters, digits, '-', '_' and '.' (never the "
    "secret itself)",
    example="password",
    check=matching(r"[-._a-zA-Z0-9]{1,253}"),
    conceal=True,
)


def _prefix(text: str) -> str | None:
    if text.startswith("/"):
        return "a store's keys do not begin with '/': the store's own path comes before them"
    return matching(rf"(?=.{{1,{LONGEST_PREFIX}}}$)[A-Za-z0-9][-A-Za-z0-9_./]*")(text)


_PREFIX = SettingRule(
    allowed=f"1 to {LONGEST_PREFIX} letters, digits, '-', '_', '.' and '/', with which the keys of "
    "this stack begin in the store",
    example="{stack}-",
    check=_prefix,
    suggest=lambda text: [text.strip().lstrip("/"), text.strip().replace(" ", "-")],
)

_UNITS: Final = {"h": 3600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?=[0-9])([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?", re.ASCII)


def seconds_of(duration: str) -> int:
    """The seconds of a duration such as 1h30m."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def _interval(text: str) -> str | None:
    if not _DURATION.fullmatch(text):
        return ""
    if seconds_of(text) < 60:
        return (
            "0 would never fetch a value again that changed in the store, and a shorter interval "
            "asks the store all the time"
        )
    return None if seconds_of(text) <= 24 * 3600 else "a changed value would wait longer than a day"


def _intervals(text: str) -> Iterator[str]:
    bare = re.sub(r"\s+", "", text.lower())
    yield re.sub(r"(hours?|hrs?)$", "h", bare)
    yield re.sub(r"(minutes?|mins?)$", "m", bare)
    yield re.sub(r"(seconds?|secs?)$", "s", bare)
    if bare in ("1d", "1day"):
        yield "24h"
    if bare.isdigit():
        yield f"{bare}s"


_INTERVAL = SettingRule(
    allowed="a duration from 1m to 24h, such as 30m or 1h",
    example="1h",
    check=_interval,
    suggest=_intervals,
)

StoreKind = Literal["ClusterSecretStore", "SecretStore"]


class StoreSettings(Section):
    """The estate's store of the External Secrets Operator."""

    kind: StoreKind = "ClusterSecretStore"
    """Kind of the store. A SecretStore must be in each namespace where a Secret goes."""
    name: Annotated[str, OBJECT_NAME]
    """Name of the store."""


class SealedDelivery(Section):
    """Secrets are sealed for the cluster's sealed-secrets controller, see the section `sealing`."""

    also_called = ("sealed-secrets", "sealedsecrets", "kubeseal", "bitnami")

    delivery: Literal["sealed"] = "sealed"


class ExternalDelivery(Section):
    """Secrets are made by the External Secrets Operator from the estate's store."""

    also_called = ("external-secrets", "eso", "externalsecrets", "vault", "openbao")

    delivery: Literal["external"]
    store: StoreSettings
    """The store. The operator reads there, and writes there what this program makes."""
    refresh_interval: Annotated[str, _INTERVAL] = "1h"
    """How often the operator looks into the store."""
    prefix: Annotated[str, _PREFIX] | None = None
    """With what the keys of this stack begin in the store, so that two Sovereigns do not write over
    each other; the Sovereign's domain with '-' for '.', and a '-', when unset."""
    timeout_seconds: Annotated[int, whole_number(5, 900, example=120)] = 120
    """Seconds that the program waits for the operator to bring a value to the store and back."""

    def prefix_for(self, fqdn: str) -> str:
        """The prefix in use. The default has characters that every kind of store takes."""
        if self.prefix is not None:
            return self.prefix
        name = re.sub(r"[^a-z0-9]", "-", fqdn.lower())
        if len(name) >= LONGEST_PREFIX:
            digest = hashlib.sha256(fqdn.encode()).hexdigest()[:8]
            name = f"{name[: LONGEST_PREFIX - 10]}-{digest}"
        return f"{name}-"


SecretsSettings = Annotated[SealedDelivery | ExternalDelivery, Field(discriminator="delivery")]
