"""PostgreSQL of the Sovereign's own: a CloudNativePG Cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.naming import taken_over
from components.site import Site

CLUSTER: Final = "harbor-pg"
SECRET: Final = "harbor-pg-credentials"
"""Secret with its owner's password; a Cluster that names it is ours."""
DATABASE: Final = "registry"
OWNER: Final = "harbor"
PORT: Final = 5432


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    """`password` is a secret output; `storage_class` None means the cluster's default."""

    password: pulumi.Input[str]
    image: str
    instances: int
    storage_size: str
    wal_storage_size: str | None
    storage_class: str | None
    max_connections: int
    resources: Mapping[str, Mapping[str, str]]
    site: Site
    import_id: str | None = None
    """Of a Cluster that exists and is taken over."""


class Postgres(pulumi.ComponentResource):
    """A Cluster that is Ready, and the Secret with its owner's password.

    `host` is known once the Cluster is Ready. Use the read-write Service directly: Harbor's
    migrations hold advisory locks, which a transaction-mode pooler breaks.
    """

    host: pulumi.Output[str]
    secret_name: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:Postgres", name, None, opts)
        secret = args.site.sealed(
            f"{name}-credentials",
            SECRET,
            {"username": OWNER, "password": args.password},
            parent=self,
            kind="kubernetes.io/basic-auth",
            # With this label the operator sets a rotated password at once.
            labels={"cnpg.io/reload": "true"},
        )
        cluster = CustomResource(
            f"{name}-cluster",
            api_version="postgresql.cnpg.io/v1",
            kind="Cluster",
            metadata={
                "name": CLUSTER,
                "namespace": args.site.namespace,
                "labels": args.site.labels("database"),
                # Pulumi awaits no custom resource unless told to.
                "annotations": {
                    **taken_over(args.import_id),
                    "pulumi.com/waitFor": "condition=Ready",
                },
            },
            spec=secret.secret_name.apply(lambda found: cluster_spec(args, found)),
            opts=pulumi.ResourceOptions.merge(
                args.site.data_options(self), pulumi.ResourceOptions(import_=args.import_id)
            ),
        )
        self.secret_name = secret.secret_name
        self.revision = secret.revision
        self.host = cluster.id.apply(lambda _: f"{CLUSTER}-rw")
        self.register_outputs({"host": self.host, "secretName": self.secret_name})


def cluster_spec(args: PostgresArgs, secret_name: str) -> dict[str, Any]:
    """spec of the Cluster (postgresql.cnpg.io/v1)."""
    spec: dict[str, Any] = {"storage": _volume(args.storage_size, args.storage_class)}
    if args.wal_storage_size is not None:
        spec["walStorage"] = _volume(args.wal_storage_size, args.storage_class)
    return {
        **spec,
        "instances": args.instances,
        "imageName": args.image,
        "resources": dict(args.resources),
        "bootstrap": {
            "initdb": {"database": DATABASE, "owner": OWNER, "secret": {"name": secret_name}}
        },
        "postgresql": {"parameters": {"max_connections": str(args.max_connections)}},
        # A budget over a single instance would block every node drain for ever.
        "enablePDB": args.instances > 1,
        "primaryUpdateStrategy": "unsupervised",
        "primaryUpdateMethod": "switchover" if args.instances > 1 else "restart",
        "inheritedMetadata": {"labels": args.site.labels("database")},
    }


def _volume(size: str, storage_class: str | None) -> dict[str, str]:
    return (
        {"size": size} if storage_class is None else {"size": size, "storageClass": storage_class}
    )
