"""Rules between sections. Pure.

Each names the sections it needs, so that it still runs when another section is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.object_storage.settings import StorageKind
from components.settings.cluster import Cluster
from components.settings.database import Database, SharedDatabase
from components.settings.harbor import Harbor, HarborReplicas

Path = tuple[str | int, ...]

MINIMAL_POOL = 10
"""Connections per pod below which Harbor's core waits for itself under a handful of pushes."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A setting that is valid by itself and not beside the others."""

    path: Path
    reason: str
    example: str | None = None


@dataclass(frozen=True, kw_only=True)
class CrossRule:
    """A check over several sections, by their attribute names."""

    needs: tuple[str, ...]
    check: Callable[..., Iterator[Problem]]

    def problems(self, sections: Mapping[str, Any]) -> Iterator[Problem]:
        """What is wrong; nothing when a section it needs is missing."""
        if all(name in sections for name in self.needs):
            yield from self.check(**{name: sections[name] for name in self.needs})


def pods_with_a_pool(replicas: HarborReplicas) -> int:
    """Pods that open connections to the database: each has a pool of its own."""
    return replicas.core + replicas.jobservice + replicas.exporter


def connections_per_pod(database: Database, replicas: HarborReplicas) -> int:
    """Harbor's maxOpenConns, so that all pods together stay within what the server has left."""
    available = database.max_connections - database.reserved_connections
    return available // pods_with_a_pool(replicas)


def _pool_is_large_enough(*, database: Database, harbor: Harbor) -> Iterator[Problem]:
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


def _endpoint_is_encrypted(*, sandbox: bool, storage: StorageKind) -> Iterator[Problem]:
    endpoint = storage.endpoint_url
    if not sandbox and endpoint is not None and endpoint.startswith("http://"):
        yield Problem(
            path=("storage", "endpoint"),
            reason="https outside the sandbox: keys and images would cross the network in clear",
            example=endpoint.replace("http://", "https://", 1),
        )


def _database_is_encrypted(*, sandbox: bool, database: Database) -> Iterator[Problem]:
    if not sandbox and database.sslmode == "disable":
        yield Problem(
            path=("database", "sslmode"),
            reason="disable is for the sandbox: the password would cross the network in clear",
            example="require",
        )


def _cluster_is_named(*, sandbox: bool, cluster: Cluster) -> Iterator[Problem]:
    if not sandbox and cluster.name is None:
        yield Problem(
            path=("cluster", "name"),
            reason="required: it keeps this stack from being applied to another cluster",
        )


RULES: tuple[CrossRule, ...] = (
    CrossRule(needs=("sandbox", "cluster"), check=_cluster_is_named),
    CrossRule(needs=("sandbox", "storage"), check=_endpoint_is_encrypted),
    CrossRule(needs=("sandbox", "database"), check=_database_is_encrypted),
    CrossRule(needs=("database", "harbor"), check=_pool_is_large_enough),
)


def problems(sections: Mapping[str, Any]) -> list[Problem]:
    """What is wrong between the sections given (by attribute name)."""
    return [problem for rule in RULES for problem in rule.problems(sections)]


def hints(database: Database) -> list[str]:
    """What is allowed and still worth a warning."""
    if not isinstance(database, SharedDatabase) or not database.looks_pooled:
        return []
    if database.pool_mode != "none":
        return []
    hint = (
        f"database {database.host}:{database.port} looks like a connection pooler. Harbor needs "
        "one in session mode, or the server itself; set database.poolMode to session once that "
        "is sure."
    )
    return [hint]
