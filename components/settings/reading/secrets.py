"""All secrets that a stack config may hold, collected from the sections that need them. Pure.

Most have names of the program's. The section `registry` refers to secrets by names of a person's.
"""

from collections.abc import Mapping
from typing import Any, get_args

from components.settings.backup import BackupSettings
from components.settings.database import DedicatedDatabase
from components.settings.dns import DnsSettings
from components.settings.harbor import HarborSettings
from components.settings.model import Settings
from components.settings.registry import stack_secrets
from components.settings.schema.secret_rules import AsksForSecrets, SecretRule
from components.settings.storage.section import StorageSettings


def _of_kinds(union: Any) -> dict[str, SecretRule]:
    kinds: tuple[type[AsksForSecrets], ...] = get_args(get_args(union)[0])
    return {key: rule for kind in kinds for key, rule in kind.secrets.items()}


OF_SECTIONS: Mapping[str, Mapping[str, SecretRule]] = {
    "storage": _of_kinds(StorageSettings),
    "dns": _of_kinds(DnsSettings),
    "harbor": HarborSettings.secrets,
    "database": DedicatedDatabase.secrets,
    "backup": BackupSettings.secrets,
}
"""By the key of the section that may need them, then by config key."""
SECRETS: Mapping[str, SecretRule] = {
    key: rule for rules in OF_SECTIONS.values() for key, rule in rules.items()
}
"""By config key."""


def secrets_of(raw: Mapping[str, Any]) -> Mapping[str, SecretRule]:
    """By config key: SECRETS, and those that the raw section `registry` refers to. A name that a
    section has already stands for that section."""
    named = stack_secrets.references(raw.get("registry"))
    return {**{name: rule for name, rule in named.items() if name not in _TAKEN}, **SECRETS}


def is_taken(name: str) -> bool:
    """Whether a person cannot give this name to a secret."""
    return name in _TAKEN or name in SECRETS


_TAKEN = frozenset(field.alias or name for name, field in Settings.model_fields.items())
