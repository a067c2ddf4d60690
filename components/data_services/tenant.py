"""A database of Harbor's in a CloudNativePG Cluster of the estate, and the role that owns it.

Both are declared to the operator beside the Cluster, which stays its owner's: nothing of it is
patched. Neither database nor role is dropped with its object (the reclaim policies are `retain`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Context, DeliveredSecret
from components.data_services.applied import DatabaseApplied
from components.data_services.shared import Data, SharedCredentialsArgs, shared_copy
from components.kubernetes.naming import FIELD_MANAGER
from components.ordering import after
from components.sealing.revisions import Minted
from components.settings.database import CreateDatabaseSettings, SharedDatabase

API: Final = "postgresql.cnpg.io/v1"


@dataclass(frozen=True, kw_only=True)
class TenantDatabaseArgs:
    """`password`: minted, a secret output; `minted`: of it. `secret_name`: of the Secret for
    Harbor's pods, and `authority` what stands in it beside the password. `create` is that of
    `settings`. `template`: the same content as Go templates, where only a store has the
    password."""

    settings: SharedDatabase
    create: CreateDatabaseSettings
    password: pulumi.Output[str]
    minted: Minted | None
    secret_name: str
    authority: dict[str, str]
    template: dict[str, str]
    context: Context


class TenantDatabase(pulumi.ComponentResource):
    """Role, database and password. `host` is known once the operator has applied them."""

    host: pulumi.Output[str]
    secret_name: pulumi.Output[str]
    revision: pulumi.Output[str]
    """Of the password, known once the database takes it."""

    def __init__(
        self, name: str, args: TenantDatabaseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:TenantDatabase", name, None, opts)
        self._args = args
        settings, create = args.settings, args.create
        owner: pulumi.Output[str] | None = None
        role_revision: pulumi.Output[str] | None = None
        if create.role:
            secret = args.context.sealed(
                f"{name}-owner-credentials",
                create.secret_name(settings.name),
                {"username": settings.username, "password": args.password},
                parent=self,
                namespace=create.namespace,
                kind="kubernetes.io/basic-auth",
                # With this label the operator sets a rotated password in the database at once.
                labels={"cnpg.io/reload": "true"},
                minted=args.minted and replace(args.minted, keys=("password",)),
            )
            role = self._object(
                f"{name}-owner",
                "DatabaseRole",
                after(secret.secret_name, role_spec(settings, create)),
                pulumi.ResourceOptions(parent=self),
            )
            owner, role_revision = role.id, secret.revision
        spec = database_spec(settings, create)
        database = self._object(
            f"{name}-tenant",
            "Database",
            spec if owner is None else after(owner, spec),
            args.context.data_options(self),
        )
        applied = DatabaseApplied(
            f"{name}-applied",
            namespace=create.namespace,
            cluster=create.cluster,
            # By way of the object's ID, so that the wait begins after it was applied.
            object_name=after(database.id, create.object_name(settings.name)),
            secret_name=create.secret_name(settings.name) if create.role else None,
            revision=role_revision,
            opts=pulumi.ResourceOptions(parent=self),
        )
        copy = self._copy(f"{name}-password")
        self.secret_name = copy.secret_name
        # Harbor's pods restart on a rotated password when the role has it, and not before.
        self.revision = after(applied.name, copy.revision)
        self.host = after(applied.name, settings.host)
        self.register_outputs({"host": self.host, "secretName": self.secret_name})

    def _copy(self, name: str) -> DeliveredSecret:
        """The password for Harbor's pods, in their namespace."""
        args = self._args
        if not args.create.role:
            of_owner = SharedCredentialsArgs(
                source=args.settings.secret,
                secret_name=args.secret_name,
                data=lambda password: {"password": password, **args.authority},
                template=args.template,
                context=args.context,
            )
            return shared_copy(name, of_owner, parent=self)
        data: Data = {"password": args.password, **args.authority}
        return args.context.sealed(
            name,
            args.secret_name,
            data,
            parent=self,
            minted=args.minted and replace(args.minted, keys=("password",)),
        )

    def _object(
        self, name: str, kind: str, spec: Any, opts: pulumi.ResourceOptions
    ) -> CustomResource:
        args = self._args
        return CustomResource(
            name,
            api_version=API,
            kind=kind,
            metadata={
                "name": args.create.object_name(args.settings.name),
                "namespace": args.create.namespace,
                "labels": args.context.labels("database"),
                "annotations": dict(FIELD_MANAGER),
            },
            spec=spec,
            opts=opts,
        )


def role_spec(settings: SharedDatabase, create: CreateDatabaseSettings) -> dict[str, Any]:
    """`spec` of the DatabaseRole. Without a limit of its own: maxConnections is the server's."""
    return {
        "name": settings.username,
        "cluster": {"name": create.cluster},
        "login": True,
        "passwordSecret": {"name": create.secret_name(settings.name)},
        "databaseRoleReclaimPolicy": "retain",
    }


def database_spec(settings: SharedDatabase, create: CreateDatabaseSettings) -> dict[str, Any]:
    """`spec` of the Database."""
    return {
        "name": settings.name,
        "owner": settings.username,
        "cluster": {"name": create.cluster},
        "databaseReclaimPolicy": "retain",
    }
