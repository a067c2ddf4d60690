"""Harbor's database: the Sovereign's own, or somebody else's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import pulumi

from components.adopted import Adopted
from components.backup.component import Backup
from components.context import Context
from components.credentials import Credentials
from components.data_services.instance import DATABASE, OWNER, PORT
from components.data_services.origin import origin_of
from components.data_services.postgres import AUTHORITY_SECRET, Postgres, PostgresArgs
from components.data_services.shared import SharedCredentials, SharedCredentialsArgs
from components.data_services.tenant import TenantDatabase, TenantDatabaseArgs
from components.delivery.objects import PASSWORD, literal
from components.harbor_inputs import Database
from components.settings.database import DedicatedDatabase
from components.settings.model import max_open_connections
from components.stack_config import StackConfig
from components.unknown import unknown

SHARED_SECRET: Final = "harbor-shared-database"
"""Secret with the password of a shared database, and its authority if the settings have one."""


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """How Harbor reaches the database, known once it is ready; `revision`: of its password.

    `server`: the name under which it archives; None where nobody backs it up or restored it.
    """

    database: pulumi.Output[Database]
    revision: pulumi.Output[str]
    server: str | None = None


def create(
    config: StackConfig,
    context: Context,
    credentials: Credentials,
    backup: Backup | None = None,
    existing: Adopted | None = None,
) -> DatabaseAccess:
    """PostgreSQL by `database.mode`: the Sovereign's own, with the minted password, or a shared.

    `existing`: what exists already; a Cluster of it may become the Sovereign's own. Raises RunError
    if the password of a shared one cannot be read.
    """
    settings, existing = config.settings, existing or Adopted()
    section = settings.database
    server = None
    if isinstance(section, DedicatedDatabase):
        origin = origin_of(settings, existing.live_database)
        server = origin.server if settings.backup or origin.was_restored else None
        args = PostgresArgs(
            settings=section,
            password=credentials.database_password,
            context=context,
            origin=origin,
            backup=settings.backup,
            store=backup and backup.store,
            source=backup and backup.source,
            restored_from=settings.restore_source,
            adopted_id=existing.database,
            minted=credentials.minted.get("database-password"),
            image_registry=settings.image_registry,
        )
        own = Postgres("database", args, context.options)
        host, secret_name, revision = own.host, own.secret_name, own.revision
        port, name, username = PORT, DATABASE, OWNER
        authority = None
        if section.checks_certificate:
            authority = AUTHORITY_SECRET
            revision = with_authority(revision, host, context, settings.harbor.namespace)
    else:
        # Beside the password, so that Harbor's pods restart on either.
        certificate = {} if section.ca_bundle is None else {"ca.crt": section.ca_bundle}
        template = {
            "password": PASSWORD,
            **{key: literal(text) for key, text in certificate.items()},
        }
        if section.create is not None:
            of_tenant = TenantDatabaseArgs(
                settings=section,
                create=section.create,
                password=credentials.database_password,
                minted=credentials.minted.get("database-password"),
                secret_name=SHARED_SECRET,
                authority=certificate,
                template=template,
                context=context,
            )
            created = TenantDatabase("database", of_tenant, context.options)
            host, secret_name, revision = created.host, created.secret_name, created.revision
        else:
            shared = SharedCredentials(
                "database",
                SharedCredentialsArgs(
                    source=section.secret,
                    secret_name=SHARED_SECRET,
                    data=lambda password: {"password": password, **certificate},
                    template=template,
                    context=context,
                ),
                context.options,
            )
            host = pulumi.Output.from_input(section.host)
            secret_name, revision = shared.secret_name, shared.revision
        port, name, username = section.port, section.name, section.username
        authority = None if section.ca_bundle is None else SHARED_SECRET
    database = pulumi.Output.all(host, secret_name).apply(
        lambda known: Database(
            host=known[0],
            port=port,
            name=name,
            username=username,
            sslmode=section.sslmode,
            secret_name=known[1],
            max_open_connections=max_open_connections(settings),
            ca_bundle_secret=authority,
        )
    )
    return DatabaseAccess(database=database, revision=revision, server=server)


def with_authority(
    revision: pulumi.Output[str], host: pulumi.Output[str], context: Context, namespace: str
) -> pulumi.Output[str]:
    """`revision`, which also changes when the operator renews its authority, every 90 days.

    Harbor's pods read the authority once, when they start, and the old one expires: so the next
    `up` restarts them.
    """

    def read(_: str) -> pulumi.Output[str]:
        from components.kubernetes.client import ClusterClient, secret_value
        from components.kubernetes.unreachable import ClusterUnreachable

        try:
            client = ClusterClient(context.kube_context)
            where = {"namespace": namespace, "name": AUTHORITY_SECRET, "key": "ca.crt"}
            return pulumi.Output.from_input(secret_value(client, **where) or "")
        except ClusterUnreachable as error:
            if pulumi.runtime.is_dry_run():
                return unknown()
            reason = f"Secret {namespace}/{AUTHORITY_SECRET} was not read: {error}"
            raise pulumi.RunError(reason) from None

    # The host is known once the Cluster is Ready; then its authority is there.
    authority = host.apply(read)
    return pulumi.Output.all(revision, authority).apply(
        lambda known: hashlib.sha256("\n".join(known).encode()).hexdigest()
    )
