"""Rules between the delivery of secrets and the sections that name secrets. Pure."""

from collections.abc import Iterator
from typing import Final

from pydantic.alias_generators import to_camel

from components.settings.database import (
    DatabaseSettings,
    SharedDatabase,
    StoreRef,
)
from components.settings.schema.problems import CrossRule, Problem
from components.settings.schema.rules import REMOVE
from components.settings.sealing import SealingSettings
from components.settings.secrets import ExternalDelivery, SecretsSettings
from components.settings.valkey import SharedValkey, ValkeySettings


def _sealing_is_of_sealed_secrets(
    *, secrets: SecretsSettings, sealing: SealingSettings
) -> Iterator[Problem]:
    if not isinstance(secrets, ExternalDelivery):
        return
    for name, field in type(sealing).model_fields.items():
        if getattr(sealing, name) == field.default:
            continue
        yield Problem(
            path=("sealing", to_camel(name)),
            reason="left out with secrets.delivery external: nothing is sealed then"
            + (
                ", and secrets.timeoutSeconds is how long the program waits"
                if name == "timeout_seconds"
                else ""
            ),
            example=REMOVE,
        )


def _stored_passwords_have_a_store(
    *, secrets: SecretsSettings, database: DatabaseSettings, valkey: ValkeySettings
) -> Iterator[Problem]:
    if isinstance(secrets, ExternalDelivery):
        return
    for name, section in (("database", database), ("valkey", valkey)):
        if isinstance(section, SharedDatabase | SharedValkey) and isinstance(
            section.secret, StoreRef
        ):
            yield Problem(
                path=(name, "secret", "storeKey"),
                reason="only with secrets.delivery external and secrets.store: nothing else reads "
                "the store. Without it, the namespace, name and key of a Secret",
                example=REMOVE,
            )


def _written_keys_are_not_read(
    *, secrets: SecretsSettings, fqdn: str, database: DatabaseSettings, valkey: ValkeySettings
) -> Iterator[Problem]:
    """A key under the prefix is this program's: a name it writes now or later."""
    if not isinstance(secrets, ExternalDelivery):
        return
    prefix = secrets.prefix_for(fqdn)
    for name, section in (("database", database), ("valkey", valkey)):
        if not isinstance(section, SharedDatabase | SharedValkey):
            continue
        password = section.secret
        if isinstance(password, StoreRef) and password.store_key.startswith(f"{prefix}harbor"):
            yield Problem(
                path=(name, "secret", "storeKey"),
                reason=f"a key that does not begin with {prefix}harbor, as those that this program "
                "writes (secrets.prefix)",
            )


RULES: Final[tuple[CrossRule, ...]] = (
    _sealing_is_of_sealed_secrets,
    _stored_passwords_have_a_store,
    _written_keys_are_not_read,
)
