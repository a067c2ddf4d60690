"""Rules between the database and other sections. Pure."""

from collections.abc import Iterator
from typing import Final

from components.settings.database import (
    CommonDatabaseSettings,
    DatabaseSettings,
    SharedDatabase,
)
from components.settings.harbor import HarborReplicas, HarborSettings
from components.settings.schema.problems import CrossRule, Problem
from components.settings.valkey import SharedValkey, ValkeySettings

MINIMAL_POOL = 10
"""Connections that each pod needs at least: with fewer, a few pushes at once make Harbor's core
wait for connections that it holds itself."""


def pods_with_a_pool(replicas: HarborReplicas) -> int:
    """Number of pods that open connections to the database; each has its own pool."""
    return replicas.core + replicas.jobservice + replicas.exporter


def connections_per_pod(database: CommonDatabaseSettings, replicas: HarborReplicas) -> int:
    """Harbor's maxOpenConns, so that all pods together stay within what the server has left."""
    available = database.max_connections - database.reserved_connections
    return available // pods_with_a_pool(replicas)


def _pool_is_large_enough(
    *, database: CommonDatabaseSettings, harbor: HarborSettings
) -> Iterator[Problem]:
    pool = connections_per_pod(database, harbor.replicas)
    if pool < MINIMAL_POOL:
        pods = pods_with_a_pool(harbor.replicas)
        needed = pods * MINIMAL_POOL + database.reserved_connections
        yield Problem(
            path=("database", "maxConnections"),
            reason=f"at least {needed}: {pods} pods of core, jobservice and exporter with at least "
            f"{MINIMAL_POOL} connections each, beside {database.reserved_connections} reserved; "
            f"this leaves {pool} each",
            example=str(needed),
        )


def _database_is_encrypted(*, sandbox: bool, database: CommonDatabaseSettings) -> Iterator[Problem]:
    if not sandbox and database.sslmode == "disable":
        yield Problem(
            path=("database", "sslmode"),
            reason="disable is for the sandbox: the password would cross the network in clear",
            example="require",
        )


def _one_authority_beside_the_public_ones(
    *, database: DatabaseSettings, valkey: ValkeySettings
) -> Iterator[Problem]:
    own = (
        database.ca_bundle is not None
        if isinstance(database, SharedDatabase)
        else (database.checks_certificate)
    )
    if own and isinstance(valkey, SharedValkey) and valkey.ca_bundle is not None:
        yield Problem(
            path=("valkey", "caBundle"),
            reason="not beside a database with an authority of its own (database.sslmode, "
            "database.caBundle): Harbor's chart takes one authority for both "
            "(caBundleSecretName)",
        )


RULES: Final[tuple[CrossRule, ...]] = (
    _pool_is_large_enough,
    _database_is_encrypted,
    _one_authority_beside_the_public_ones,
)
