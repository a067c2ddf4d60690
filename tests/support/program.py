"""What the program creates around the chart: its components run against a pretended engine."""

from __future__ import annotations

import multiprocessing
import zlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from components.harbor_inputs import Cache, Database, RemoteStorage, SecretNames, VolumeStorage
from components.object_storage.location import BucketLocation
from components.settings.model import Settings

NAMESPACE = "registry"


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


def created(settings: Settings) -> Created:
    """Runs in a process of its own: the pretended engine is global and cannot be taken back."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_created, settings.model_dump(by_alias=True)).result()


def _created(sections: dict[str, Any]) -> Created:
    import pulumi

    from components.context import Context
    from components.credentials import READERS, Credentials, CredentialsArgs, combined
    from components.data_services import cache, database
    from components.object_storage.args import ObjectStorageArgs
    from components.object_storage.component import ObjectStorage

    settings = Settings.model_validate(sections)
    keys: dict[str, frozenset[str]] = {}
    secret_with: dict[str, str] = {}
    """Revision → the Secret that has it."""

    class Engine(pulumi.runtime.Mocks):
        def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
            return {}

        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            plain = {k: v for k, v in args.inputs.items() if not _is_secret(v)}
            if args.typ == "random:index/randomPassword:RandomPassword":
                plain |= {"result": "random", "bcryptHash": "hash"}
            if args.typ == "tls:index/privateKey:PrivateKey":
                plain |= {"privateKeyPem": "key"}
            if args.typ == "tls:index/selfSignedCert:SelfSignedCert":
                plain |= {"certPem": "certificate"}
            if args.typ == "pulumi-python:dynamic/sealing:Seal":
                name, data = args.inputs["name"], args.inputs["data"]["value"]
                # Hexadecimal digits may look like a number, as these do.
                revision = f"{zlib.crc32(name.encode()) % 10**6:06}e1"
                if args.inputs["namespace"] == NAMESPACE:
                    keys[name] = frozenset(data)
                    secret_with[revision] = name
                plain |= {"ciphertexts": dict.fromkeys(data, "sealed"), "revision": revision}
            return f"{args.name}-id", plain

    found: dict[str, Any] = {}

    @pulumi.runtime.test
    def program() -> pulumi.Output[None]:
        context = Context(
            registry=settings.registry_address,
            kube_context=None,
            namespace=NAMESPACE,
            certificate="certificate",
            unseal_seconds=1,
            protect=True,
            retain=True,
            options=pulumi.ResourceOptions(),
        )
        storage = ObjectStorage(
            "object-storage",
            ObjectStorageArgs(
                settings=settings.storage,
                secrets={
                    key: pulumi.Output.secret("key") for key in settings.storage.needed_secrets
                },
                owner="project/stack",
                context=context,
            ),
        )
        credentials = Credentials(
            "credentials", CredentialsArgs(epochs=settings.rotation.epochs, context=context)
        )
        postgres = database.create(settings, context, credentials)
        valkey = cache.create(settings, context, credentials)
        revisions = {
            **credentials.revisions,
            "object-storage": storage.revision,
            "database": postgres.revision,
            "valkey": valkey.revision,
        }

        def annotations(**changed: str) -> dict[str, pulumi.Output[str]]:
            now = {**revisions, **changed}
            return {component: combined(now, component) for component in READERS}

        return pulumi.Output.all(
            storage=storage.storage,
            location=storage.location,
            database=postgres.database,
            cache=valkey.cache,
            secret_names=credentials.secret_names,
            revisions=revisions,
            annotations=annotations(),
            rotated={what: annotations(**{what: "rotated!"}) for what in revisions},
        ).apply(found.update)

    pulumi.runtime.set_mocks(Engine(), preview=False)
    program()
    revisions: dict[str, str] = found.pop("revisions")
    secret_of = {w: secret_with[r] for w, r in revisions.items() if r in secret_with}
    return Created(keys=keys, secret_of=secret_of, **found)


def _is_secret(value: Any) -> bool:
    from pulumi.runtime.rpc import _special_sig_key

    return isinstance(value, Mapping) and _special_sig_key in value
