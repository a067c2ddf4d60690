"""Backup: the bucket, and the objects by which operators back up into it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.backup.archive import location as location_of_backups
from components.backup.objects import (
    SCHEDULE,
    SECRET,
    SOURCE,
    SOURCE_SECRET,
    STORE,
    secret_data,
    store_spec,
    velero_spec,
)
from components.context import Context
from components.kubernetes.naming import FIELD_MANAGER
from components.object_storage.key_proof import KeyProof
from components.object_storage.location import location_props
from components.object_storage.s3.purpose import BACKUPS
from components.object_storage.s3_bucket import S3Bucket
from components.ordering import after
from components.settings.backup import BackupSettings, DestinationSettings
from components.stack_config import Secrets, StackConfig


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """`settings`: None where only `source` is read, the bucket of a restore; None without one, or
    where it is the destination. `namespace`: Harbor's, as a name; `is_shared`: whether others
    live there. `owner`: the stack, as the bucket's mark names it."""

    settings: BackupSettings | None
    source: DestinationSettings | None
    namespace: str
    secrets: Secrets
    owner: str
    context: Context
    is_shared: bool = False


class Backup(pulumi.ComponentResource):
    """Bucket, credentials, ObjectStores, and Velero's Schedule.

    `store` and `source` are names of ObjectStores, known once they are there: to which the database
    archives (None without backups), and from which it is restored (None unless it is).
    """

    store: pulumi.Output[str] | None = None
    source: pulumi.Output[str] | None = None

    def __init__(
        self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:Backup", name, None, opts)
        self._name, self._args = name, args
        if args.settings is not None:
            self.store = self._archive(args.settings)
            if args.settings.velero.enabled:
                self._velero(args.settings)
        if args.source is not None:
            self.source = self._store("source", SOURCE, SOURCE_SECRET, args.source)
        self.register_outputs({})

    def _archive(self, settings: BackupSettings) -> pulumi.Output[str]:
        name, context, destination = self._name, self._args.context, settings.destination
        location = location_of_backups(destination)
        bucket: pulumi.Input[str] = destination.bucket
        if settings.create:
            bucket = S3Bucket(
                f"{name}-bucket",
                {
                    **location_props(location),
                    "rootDirectory": "",
                    "owner": self._args.owner,
                    "adopt": False,
                    "versioning": destination.versioning.enabled,
                    "noncurrentDays": destination.versioning.noncurrent_days,
                    "abortDays": 7,
                    "tags": {},
                    "setting": BACKUPS.setting,
                },
                context.data_options(self),
            ).bucket
        proof = KeyProof(
            f"{name}-key-proof",
            bucket=bucket,
            location=location,
            setting=BACKUPS.setting,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return self._store("store", STORE, SECRET, destination, proof=proof, settings=settings)

    def _store(
        self,
        part: str,
        store: str,
        secret_name: str,
        destination: DestinationSettings,
        *,
        proof: KeyProof | None = None,
        settings: BackupSettings | None = None,
    ) -> pulumi.Output[str]:
        """An ObjectStore and its Secret, which waits for `proof`; the store's name."""
        name, context = self._name, self._args.context
        keys = (self._args.secrets["backupAccessKey"], self._args.secrets["backupSecretKey"])
        access_key, secret_key = keys if proof is None else map(proof.proven, keys)
        secret = context.sealed(
            f"{name}-credentials" if part == "store" else f"{name}-{part}-credentials",
            secret_name,
            secret_data(destination, access_key, secret_key),
            parent=self,
            # With this label the plugin reads a rotated key at once.
            labels={"cnpg.io/reload": "true"},
        )
        spec = store_spec(
            destination,
            secret_name,
            retention=None if settings is None else settings.retention,
            compression=None if settings is None else settings.compression,
        )
        made = CustomResource(
            f"{name}-{part}",
            api_version="barmancloud.cnpg.io/v1",
            kind="ObjectStore",
            metadata={
                "name": store,
                "namespace": context.namespace,
                "labels": context.labels("backup"),
                "annotations": dict(FIELD_MANAGER),
            },
            spec=after(secret.secret_name, spec),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return after(made.id, store)

    def _velero(self, settings: BackupSettings) -> None:
        context = self._args.context
        CustomResource(
            f"{self._name}-velero",
            api_version="velero.io/v1",
            kind="Schedule",
            metadata={
                "name": SCHEDULE,
                "namespace": settings.velero.namespace,
                "labels": context.labels("backup"),
                "annotations": dict(FIELD_MANAGER),
            },
            spec=velero_spec(settings, self._args.namespace, is_shared=self._args.is_shared),
            opts=pulumi.ResourceOptions(parent=self),
        )


def create(config: StackConfig, context: Context) -> Backup | None:
    """The backups that the settings ask for; None where they ask for none, and for no restore."""
    settings = config.settings
    backup, source = settings.backup, settings.restore_source
    if backup is None and source is None:
        return None
    args = BackupArgs(
        settings=backup,
        source=source if settings.is_restored_from_elsewhere else None,
        namespace=settings.harbor.namespace,
        secrets=config.secrets,
        # Not the mark of the images' bucket, which this stack would take for its own.
        owner=f"{pulumi.get_project()}/{pulumi.get_stack()} (backups)",
        context=context,
        is_shared=settings.harbor.shared_namespace,
    )
    return Backup("backup", args, context.options)
