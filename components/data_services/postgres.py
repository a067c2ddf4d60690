"""PostgreSQL of the Sovereign's own: a CloudNativePG Cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Context
from components.data_services.pods import nodes
from components.images import postgres_image
from components.kubernetes.naming import adopting
from components.kubernetes.quantities import requests_and_limits
from components.ordering import after
from components.sealing.seal import Minted
from components.settings.database import DedicatedDatabase

CLUSTER: Final = "harbor-pg"
SECRET: Final = "harbor-pg-credentials"
"""Secret with the owner's password; a Cluster that names it is one of this program's."""
AUTHORITY_SECRET: Final = "harbor-pg-ca"
"""Secret in which the operator keeps its authority for this Cluster; key ca.crt, PEM."""
DATABASE: Final = "registry"
OWNER: Final = "harbor"
PORT: Final = 5432


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    """`password` is a secret output. `adopted_id`: ID of an existing Cluster that is adopted.
    `minted`: of the password; None where somebody gave it. `image_registry`: the setting."""

    settings: DedicatedDatabase
    password: pulumi.Input[str]
    context: Context
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
                    "pulumi.com/waitFor": "condition=Ready",
                },
            },
            spec=after(secret.secret_name, cluster_spec(args, SECRET)),
            opts=pulumi.ResourceOptions.merge(
                args.context.data_options(self), pulumi.ResourceOptions(import_=args.adopted_id)
            ),
        )
        self.secret_name = secret.secret_name
        self.revision = secret.revision
        self.host = after(cluster.id, f"{CLUSTER}-rw")
        self.register_outputs({"host": self.host, "secretName": self.secret_name})


def cluster_spec(args: PostgresArgs, secret_name: str) -> dict[str, Any]:
    """`spec` of the Cluster (postgresql.cnpg.io/v1)."""
    section = args.settings
    spec: dict[str, Any] = {"storage": _volume(section.storage_size, section.storage_class)}
    if affinity := nodes(section):
        spec["affinity"] = affinity
    if section.priority_class is not None:
        spec["priorityClassName"] = section.priority_class
    if section.wal_storage_size is not None:
        spec["walStorage"] = _volume(section.wal_storage_size, section.storage_class)
    return {
        **spec,
        "instances": section.instances,
        "imageName": postgres_image(section, args.image_registry),
        "resources": requests_and_limits(section.cpu, section.memory),
        "bootstrap": {
            "initdb": {"database": DATABASE, "owner": OWNER, "secret": {"name": secret_name}}
        },
        "postgresql": {"parameters": {"max_connections": str(section.max_connections)}},
        # A disruption budget over a single instance would block every drain of its node.
        "enablePDB": section.instances > 1,
        "primaryUpdateStrategy": "unsupervised",
        "primaryUpdateMethod": "switchover" if section.instances > 1 else "restart",
        "inheritedMetadata": {"labels": args.context.labels("database")},
    }


def _volume(size: str, storage_class: str | None) -> dict[str, str]:
    return (
        {"size": size} if storage_class is None else {"size": size, "storageClass": storage_class}
    )
