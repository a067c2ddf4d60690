"""Harbor's database: the Sovereign's own, or somebody else's."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.context import Context
from components.credentials import Credentials
from components.data_services.postgres import DATABASE, OWNER, PORT, Postgres, PostgresArgs
from components.data_services.shared import SharedCredentials, SharedCredentialsArgs
from components.harbor_inputs import Database
from components.settings.database import DedicatedDatabase
from components.settings.model import max_open_connections
from components.stack_config import StackConfig


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """How Harbor reaches the database, known once it is ready; `revision`: of its password."""

    database: pulumi.Output[Database]
    revision: pulumi.Output[str]


def create(
    config: StackConfig,
    context: Context,
    credentials: Credentials,
    *,
    adopted_id: str | None = None,
) -> DatabaseAccess:
    """PostgreSQL by `database.mode`: the Sovereign's own, with the minted password, or a shared.

    `adopted_id`: ID of an existing Cluster that becomes the Sovereign's own. Raises RunError if the
    password of a shared one cannot be read.
    """
    settings = config.settings
    section = settings.database
    if isinstance(section, DedicatedDatabase):
        args = PostgresArgs(
            settings=section,
            password=credentials.database_password,
            context=context,
            adopted_id=adopted_id,
        )
        own = Postgres("database", args, context.options)
        host, secret_name, revision = own.host, own.secret_name, own.revision
        port, name, username = PORT, DATABASE, OWNER
    else:
        shared = SharedCredentials(
            "database",
            SharedCredentialsArgs(
                source=section.secret,
                secret_name="harbor-shared-database",
                data=lambda password: {"password": password},
                context=context,
            ),
            context.options,
        )
        host = pulumi.Output.from_input(section.host)
        secret_name, revision = shared.secret_name, shared.revision
        port, name, username = section.port, section.name, section.username
    database = pulumi.Output.all(host, secret_name).apply(
        lambda known: Database(
            host=known[0],
            port=port,
            name=name,
            username=username,
            sslmode=section.sslmode,
            secret_name=known[1],
            max_open_connections=max_open_connections(settings),
        )
    )
    return DatabaseAccess(database=database, revision=revision)
