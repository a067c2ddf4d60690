"""Harbor's database and cache: the Sovereign's own, or somebody else's."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import versions
from components.harbor.values import Cache, Database
from components.postgres import DATABASE, OWNER, PORT, Postgres, PostgresArgs
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings, max_open_connections
from components.settings.valkey import DedicatedValkey
from components.shared_services import SharedCredentials, SharedCredentialsArgs
from components.site import Site
from components.valkey import Valkey, ValkeyArgs, cache_secret_data


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """A database that is ready, as Harbor reaches it; `revision` changes with its password."""

    database: pulumi.Output[Database]
    revision: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class CacheAccess:
    """A cache that is ready, as Harbor reaches it; `revision` changes with its password."""

    cache: pulumi.Output[Cache]
    revision: pulumi.Output[str]


def database_for(
    settings: Settings,
    password: pulumi.Input[str],
    site: Site,
    opts: pulumi.ResourceOptions,
    import_id: str | None = None,
) -> DatabaseAccess:
    """PostgreSQL by `database.mode`. `password` and `import_id` are a dedicated one's only."""
    wanted = settings.database
    pool = max_open_connections(settings)
    if isinstance(wanted, DedicatedDatabase):
        own = Postgres(
            "database",
            PostgresArgs(
                password=password,
                image=wanted.image or versions.POSTGRES_IMAGE,
                instances=wanted.instances,
                storage_size=wanted.storage_size,
                wal_storage_size=wanted.wal_storage_size,
                storage_class=wanted.storage_class,
                max_connections=wanted.max_connections,
                resources=requests_and_limits(wanted.cpu, wanted.memory),
                site=site,
                import_id=import_id,
            ),
            opts,
        )
        host, secret_name, revision = own.host, own.secret_name, own.revision
        port, name, username = PORT, DATABASE, OWNER
    else:
        shared = SharedCredentials(
            "database",
            SharedCredentialsArgs(
                source=wanted.secret,
                context=settings.cluster.context,
                secret_name="harbor-shared-database",
                data=lambda found: {"password": found},
                site=site,
            ),
            opts,
        )
        host = pulumi.Output.from_input(wanted.host)
        secret_name, revision = shared.secret_name, shared.revision
        port, name, username = wanted.port, wanted.name, wanted.username
    database = pulumi.Output.all(host, secret_name).apply(
        lambda found: Database(
            host=found[0],
            port=port,
            name=name,
            username=username,
            sslmode=wanted.sslmode,
            secret_name=found[1],
            max_open_connections=pool,
        )
    )
    return DatabaseAccess(database=database, revision=revision)


def cache_for(
    settings: Settings,
    password: pulumi.Input[str],
    site: Site,
    opts: pulumi.ResourceOptions,
) -> CacheAccess:
    """Valkey by `valkey.mode`. `password` is used by a dedicated one only."""
    wanted = settings.valkey
    if isinstance(wanted, DedicatedValkey):
        own = Valkey(
            "cache",
            ValkeyArgs(
                password=password,
                image=versions.VALKEY_IMAGE,
                storage_size=wanted.storage_size,
                storage_class=wanted.storage_class,
                max_memory_bytes=wanted.max_memory_bytes,
                resources=requests_and_limits(wanted.cpu, wanted.memory),
                site=site,
            ),
            opts,
        )
        return CacheAccess(cache=own.cache, revision=own.revision)
    at = Cache(
        host=wanted.host,
        port=wanted.port,
        secret_name="harbor-shared-valkey",
        core_index=wanted.indexes.core,
        jobservice_index=wanted.indexes.jobservice,
        registry_index=wanted.indexes.registry,
        trivy_index=wanted.indexes.trivy,
        harbor_index=wanted.indexes.harbor,
        cache_index=wanted.indexes.cache,
    )
    shared = SharedCredentials(
        "cache",
        SharedCredentialsArgs(
            source=wanted.secret,
            context=settings.cluster.context,
            secret_name=at.secret_name,
            data=lambda found: cache_secret_data(at, found),
            site=site,
        ),
        opts,
    )
    return CacheAccess(cache=shared.secret_name.apply(lambda _: at), revision=shared.revision)


def requests_and_limits(cpu: str, memory: str) -> dict[str, dict[str, str]]:
    """Resources of a container: both requested, memory limited too (CPU limits only throttle)."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}
