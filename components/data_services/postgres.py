"""PostgreSQL of the Sovereign's own: a CloudNativePG Cluster, and when it is backed up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.backup.archive import ArchiveProof, place
from components.backup.objects import SOURCE, STORE, archiver, scheduled_backup_spec
from components.context import Context
from components.data_services.instance import DATABASE, OWNER, instance_spec
from components.data_services.origin import SERVER_ANNOTATION, Origin, recovery
from components.data_services.restore import DatabaseRestore
from components.images import postgres_image
from components.kubernetes.naming import DATABASE_CLUSTER, FIELD_MANAGER, adopting
from components.kubernetes.spread import spread
from components.ordering import after
from components.sealing.seal import Minted
from components.settings.backup import BackupSettings, DestinationSettings
from components.settings.database import FIRST_SERVER, DedicatedDatabase

CLUSTER: Final = DATABASE_CLUSTER
SECRET: Final = "harbor-pg-credentials"
"""Secret with the owner's password; a Cluster that names it is one of this program's."""
AUTHORITY_SECRET: Final = "harbor-pg-ca"
"""Secret in which the operator keeps its authority for this Cluster; key ca.crt, PEM."""
SERVER_PATH: Final = f'metadata.annotations["{SERVER_ANNOTATION}"]'


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    """`password` is a secret output. `adopted_id`: ID of an existing Cluster that is adopted.
    `minted`: of the password; None where somebody gave it. `backup`: None without backups.
    `store`, `source`: names of ObjectStores, see components/backup/component.py; `restored_from`:
    the bucket behind `source`, or that of the backups. `image_registry`: the setting."""

    settings: DedicatedDatabase
    password: pulumi.Input[str]
    context: Context
    origin: Origin = field(default_factory=lambda: Origin(server=FIRST_SERVER))
    backup: BackupSettings | None = None
    store: pulumi.Output[str] | None = None
    source: pulumi.Output[str] | None = None
    restored_from: DestinationSettings | None = None
    adopted_id: str | None = None
    minted: Minted | None = None
    image_registry: str | None = None


class Postgres(pulumi.ComponentResource):
    """A Cluster, and the Secret with its owner's password.

    `host` is known once the Cluster is Ready. It is the read-write Service, without a pooler before
    it: Harbor's migrations hold advisory locks, which a pooler in transaction mode breaks.
    """

    host: pulumi.Output[str]
    secret_name: pulumi.Output[str]
    revision: pulumi.Output[str]
    """Changes with the password, and with a restore, after which Harbor starts anew."""

    def __init__(
        self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:Postgres", name, None, opts)
        secret = args.context.sealed(
            f"{name}-credentials",
            SECRET,
            {"username": OWNER, "password": args.password},
            parent=self,
            kind="kubernetes.io/basic-auth",
            # With this label the operator sets a rotated password in the database at once.
            labels={"cnpg.io/reload": "true"},
            minted=args.minted and replace(args.minted, keys=("password",)),
        )
        ready = [*filter(None, (secret.secret_name, args.store, args.source))]
        origin = args.origin
        if args.backup is not None or origin.restore is not None:
            proof = self._archive_proof(name, args, after_stores=ready[1:])
            ready.append(proof.server)
        if origin.restore is not None:
            making_room = DatabaseRestore(
                f"{name}-restore",
                namespace=args.context.namespace,
                # Nothing is deleted before the proof.
                server=after(pulumi.Output.all(*ready), origin.server),
                replaces=origin.restore.replace,
                opts=pulumi.ResourceOptions(parent=self),
            )
            ready.append(making_room.server)
        cluster = CustomResource(
            f"{name}-cluster",
            api_version="postgresql.cnpg.io/v1",
            kind="Cluster",
            metadata={
                "name": CLUSTER,
                "namespace": args.context.namespace,
                "labels": args.context.labels("database"),
                # Pulumi awaits no custom resource unless told to.
                "annotations": {
                    **adopting(args.adopted_id),
                    **origin.annotations,
                    "pulumi.com/waitFor": "condition=Ready",
                },
            },
            spec=after(pulumi.Output.all(*ready), cluster_spec(args, SECRET)),
            opts=pulumi.ResourceOptions.merge(
                args.context.data_options(self), _cluster_options(args)
            ),
        )
        if args.backup is not None:
            CustomResource(
                f"{name}-scheduled-backup",
                api_version="postgresql.cnpg.io/v1",
                kind="ScheduledBackup",
                metadata={
                    "name": STORE,
                    "namespace": args.context.namespace,
                    "labels": args.context.labels("backup"),
                    "annotations": {**FIELD_MANAGER, **origin.annotations},
                },
                spec=after(cluster.id, scheduled_backup_spec(args.backup, CLUSTER)),
                opts=pulumi.ResourceOptions(
                    parent=self,
                    # Made anew after a restore: only a new one makes its first backup at once.
                    replace_on_changes=[SERVER_PATH],
                    delete_before_replace=True,
                ),
            )
        self.secret_name = secret.secret_name
        self.revision = secret.revision
        if origin.was_restored:
            self.revision = pulumi.Output.concat(secret.revision, "\n", origin.server).apply(
                lambda both: hashlib.sha256(both.encode()).hexdigest()
            )
        self.host = after(cluster.id, f"{CLUSTER}-rw")
        self.register_outputs({"host": self.host, "secretName": self.secret_name})

    def _archive_proof(
        self, name: str, args: PostgresArgs, after_stores: list[pulumi.Output[str]]
    ) -> ArchiveProof:
        """Proof that the bucket has what is restored, and room for what is archived."""
        restore, source = args.origin.restore, args.restored_from
        of_source = None
        if restore is not None and source is not None:
            of_source = place(source, server=restore.server, targetTime=restore.moment)
        return ArchiveProof(
            f"{name}-archive-proof",
            # The bucket may be made in this run, before its store.
            server=after(pulumi.Output.all(*after_stores), args.origin.server),
            is_new=args.origin.is_new,
            destination=None if args.backup is None else place(args.backup.destination),
            source=of_source,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _cluster_options(args: PostgresArgs) -> pulumi.ResourceOptions:
    """How the Cluster that lives is treated: adopted, replaced by a restored one, or left as it
    was made."""
    made_of = ["spec.bootstrap", "spec.externalClusters"]
    if args.adopted_id is not None:
        return pulumi.ResourceOptions(import_=args.adopted_id)
    if args.origin.begins:
        # The engine deletes nothing that it retains: that is what DatabaseRestore is for, whatever
        # retainData says. It replaces nothing that it protects.
        may_go = args.origin.restore is not None and args.origin.restore.replace
        return pulumi.ResourceOptions(
            replace_on_changes=[*made_of, SERVER_PATH],
            delete_before_replace=True,
            protect=False if may_go else None,
        )
    if args.origin.was_restored:
        return pulumi.ResourceOptions(ignore_changes=made_of)
    return pulumi.ResourceOptions()


def cluster_spec(args: PostgresArgs, secret_name: str) -> dict[str, Any]:
    """`spec` of the Cluster (postgresql.cnpg.io/v1)."""
    section = args.settings
    spec = instance_spec(section)
    if section.spread_over and section.instances > 1:
        spec["topologySpreadConstraints"] = spread(
            section.spread_over, {"cnpg.io/cluster": CLUSTER, "cnpg.io/podRole": "instance"}
        )
    if section.priority_class is not None:
        spec["priorityClassName"] = section.priority_class
    made_of: dict[str, Any] = {
        "bootstrap": {
            "initdb": {"database": DATABASE, "owner": OWNER, "secret": {"name": secret_name}}
        }
    }
    if args.origin.restore is not None:
        made_of = recovery(
            args.origin,
            STORE if args.source is None else SOURCE,
            database=DATABASE,
            owner=OWNER,
            secret_name=secret_name,
        )
    if args.backup is not None:
        spec["plugins"] = [archiver(STORE, args.origin.server)]
    return {
        **spec,
        **made_of,
        "instances": section.instances,
        "imageName": postgres_image(section, args.image_registry),
        # A disruption budget over a single instance would block every drain of its node.
        "enablePDB": section.instances > 1,
        "primaryUpdateStrategy": "unsupervised",
        "primaryUpdateMethod": "switchover" if section.instances > 1 else "restart",
        "inheritedMetadata": {"labels": args.context.labels("database")},
    }
