"""All secrets that a stack config may hold, collected from the sections that need them. Pure."""

from collections.abc import Mapping
from typing import Any, get_args

from components.settings.database import DedicatedDatabase
from components.settings.dns import DnsSettings
from components.settings.harbor import HarborSettings
from components.settings.schema.secret_rules import AsksForSecrets, SecretRule
from components.settings.storage.section import StorageSettings


def _of_kinds(union: Any) -> dict[str, SecretRule]:
    kinds: tuple[type[AsksForSecrets], ...] = get_args(get_args(union)[0])
    return {key: rule for kind in kinds for key, rule in kind.secrets.items()}


SECRETS: Mapping[str, SecretRule] = {
    **_of_kinds(StorageSettings),
    **_of_kinds(DnsSettings),
    **HarborSettings.secrets,
    **DedicatedDatabase.secrets,
}
"""By config key."""
