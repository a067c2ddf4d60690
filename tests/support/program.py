"""What the program creates around the chart: its components, run by the engine of the mocks."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.credentials import revision_by_component
from components.data_services import cache, database
from components.harbor_inputs import Cache, Database, RemoteStorage, SecretNames, VolumeStorage
from components.object_storage.location import BucketLocation
from components.settings.model import Settings
from components.stack_config import StackConfig
from tests.support import builders
from tests.support.mocks import SEAL, Provider, fresh_engine, plain


@dataclass(frozen=True, kw_only=True)
class Created:
    """What Harbor's values are made of, as the program's own components say it."""

    storage: RemoteStorage | VolumeStorage
    location: BucketLocation | None
    database: Database
    cache: Cache
    secret_names: SecretNames
    keys: Mapping[str, frozenset[str]]
    """Secret in Harbor's namespace → its keys."""
    secret_of: Mapping[str, str]
    """Credential → name of its Secret."""
    annotations: Mapping[str, str]
    """Component of Harbor → annotation of its pods."""
    rotated: Mapping[str, Mapping[str, str]]
    """Credential → the annotations after it was rotated."""


class NumberLike(Provider):
    """Seals nothing; the revision of a Secret follows from its name, and looks like a number.

    Revisions are hexadecimal digits, and 123456e1 is a float to a YAML parser.
    """

    def outputs(self, typ: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if typ != SEAL:
            return super().outputs(typ, name, inputs)
        data = dict.fromkeys(plain(inputs["data"]), "sealed")
        return {**inputs, "ciphertexts": data, "revision": revision_of(inputs["name"])}


def revision_of(secret_name: str) -> str:
    return f"{zlib.crc32(secret_name.encode()) % 10**6:06}e1"


def created(settings: Settings) -> Created:
    """Runs the components that these settings ask for."""

    def build() -> dict[str, Any]:
        context = builders.context_of()
        storage = builders.object_storage(context, settings.storage.model_dump(by_alias=True))
        credentials = builders.credentials(context)
        config = StackConfig(settings=settings, secrets={}, is_secret={})
        postgres = database.create(config, context, credentials)
        valkey = cache.create(config, context, credentials)
        revisions = {
            **credentials.revisions,
            "object-storage": storage.revision,
            "database-password": postgres.revision,
            "valkey-password": valkey.revision,
        }
        return {
            "storage": storage.storage,
            "location": storage.location,
            "database": postgres.database,
            "cache": valkey.cache,
            "secret_names": credentials.secret_names,
            "revisions": pulumi.Output.all(**revisions),
            "annotations": pulumi.Output.all(**revision_by_component(revisions)),
            "rotated": pulumi.Output.all(
                **{
                    what: pulumi.Output.all(
                        **revision_by_component({**revisions, what: "rotated!"})
                    )
                    for what in revisions
                }
            ),
        }

    with fresh_engine() as engine:
        engine.provider = NumberLike()
        outputs = {key: engine.resolve(output).value for key, output in engine.run(build).items()}
    harbors = [seal for seal in engine.all(SEAL) if seal["namespace"] == builders.NAMESPACE]
    secret_with = {revision_of(seal["name"]): seal["name"] for seal in harbors}
    revisions: dict[str, str] = outputs.pop("revisions")
    return Created(
        keys={seal["name"]: frozenset(seal["data"]) for seal in harbors},
        secret_of={w: secret_with[r] for w, r in revisions.items() if r in secret_with},
        **outputs,
    )
