"""What of this Sovereign exists already: refused, or taken over if the settings ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components import versions
from components.adopted import Adopted
from components.data_services.postgres import CLUSTER
from components.harbor.recovery import RUNBOOK, foreign_release, records
from components.harbor_inputs import RELEASE
from components.kubernetes.client import ClusterClient, dig
from components.preflight.adoption import database, release
from components.preflight.adoption.running import running_harbor
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings
from components.stack_config import StackConfig


def is_asked_for(settings: Settings) -> bool:
    """Whether the settings say that something is to be taken over."""
    return settings.harbor.adopt or _adopts_database(settings)


def adopted(settings: Settings) -> Adopted:
    """The ids of what is to be taken over."""
    namespace = settings.harbor.namespace
    return Adopted(
        namespace=namespace if settings.harbor.adopt else None,
        release=f"{namespace}/{RELEASE}" if settings.harbor.adopt else None,
        database=f"{namespace}/{CLUSTER}" if _adopts_database(settings) else None,
    )


def problems(client: ClusterClient, config: StackConfig) -> list[str]:
    """Why what exists already is not touched; empty when it may be. Raises ClusterUnreachable."""
    return [
        *_release_problems(client, config),
        *_database_problems(client, config.settings),
    ]


def _adopts_database(settings: Settings) -> bool:
    return isinstance(settings.database, DedicatedDatabase) and settings.database.adopt


def _release_problems(client: ClusterClient, config: StackConfig) -> list[str]:
    settings = config.settings
    namespace, stack = settings.harbor.namespace, pulumi.get_stack()
    found = records(client, namespace)
    newest = found[-1] if found else None
    # By its values alone: at another address it is this stack's all the same, if its FQDN changed.
    is_foreign = newest is not None and not newest.made_here
    if is_foreign and not settings.harbor.adopt:
        return [foreign_release(namespace)]
    running = running_harbor(client, namespace)
    if settings.harbor.adopt and (newest is None or running is None):
        return [
            f"sovereign-harbor:harbor.adopt = true, but namespace {namespace} has no Helm release "
            f"{RELEASE} of Harbor's chart\n"
            f"  fix: set harbor.namespace to where it is, see {RUNBOOK}; for a new Harbor: "
            f"pulumi config rm --path 'harbor.adopt' -s {stack}"
        ]
    if running is None:
        return []
    warning = release.key_warning(running)
    if warning is not None:
        pulumi.log.warn(warning)
    key = release.key_problem(
        running, is_key=config.is_secret.get("harborSecretKey"), namespace=namespace, stack=stack
    )
    others: list[str] = []
    if is_foreign and newest is not None:
        others = list(release.release_problems(running, newest, settings, stack))
        if running.address != settings.registry_address.url:
            pulumi.log.warn(
                f"Harbor answers at {running.address} now and will at "
                f"{settings.registry_address.url}: images "
                "are named by their registry's host, see the runbook"
            )
    return [*([key] if key else []), *others]


def _database_problems(client: ClusterClient, settings: Settings) -> list[str]:
    wanted, namespace = settings.database, settings.harbor.namespace
    if not isinstance(wanted, DedicatedDatabase):
        return []
    stack = pulumi.get_stack()
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/{namespace}/clusters/{CLUSTER}"
    spec: Mapping[str, Any] | None = dig(client.get(path), "spec")
    if spec is None:
        if not wanted.adopt:
            return []
        return [
            f"sovereign-harbor:database.adopt = true, but namespace {namespace} has no Cluster "
            f"{CLUSTER}\n  fix: {database.USE_AS_SHARED}; for a new one: "
            f"pulumi config rm --path 'database.adopt' -s {stack}"
        ]
    if database.is_ours(spec):
        return []
    if not wanted.adopt:
        return [database.foreign_cluster(namespace, stack)]
    others = database.unwritten(spec)
    if others:
        pulumi.log.warn(
            f"Cluster {CLUSTER}: this program does not write {', '.join(others)} of its spec; what "
            "was set there goes back to the operator's default"
        )
    image = wanted.image or versions.POSTGRES_IMAGE
    return list(database.cluster_problems(spec, wanted, image, stack))
