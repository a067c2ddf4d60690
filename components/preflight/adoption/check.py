"""What exists already of this Sovereign: adopted if the settings say so, otherwise refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.adopted import Adopted
from components.commands import unset
from components.data_services.postgres import CLUSTER
from components.harbor.recovery import RUNBOOK, foreign_release, records
from components.harbor_inputs import RELEASE
from components.images import postgres_image
from components.kubernetes.client import ClusterClient, dig
from components.preflight.adoption import database, release
from components.preflight.adoption.running import RunningHarbor, running_harbor
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings
from components.stack_config import StackConfig


def is_asked_for(settings: Settings) -> bool:
    """Whether the settings say that something is to be adopted."""
    return settings.harbor.adopt or _adopts_database(settings)


def adopted(settings: Settings) -> Adopted:
    """The ids of what is to be adopted."""
    namespace = settings.harbor.namespace
    return Adopted(
        namespace=namespace
        if settings.harbor.adopt and not settings.harbor.shared_namespace
        else None,
        release=f"{namespace}/{RELEASE}" if settings.harbor.adopt else None,
        database=f"{namespace}/{CLUSTER}" if _adopts_database(settings) else None,
    )


def problems(client: ClusterClient, config: StackConfig) -> list[str]:
    """Why what exists already must not be touched. Raises ClusterUnreachable."""
    return [
        *_release_problems(client, config),
        *_database_problems(client, config.settings),
    ]


def _adopts_database(settings: Settings) -> bool:
    return isinstance(settings.database, DedicatedDatabase) and settings.database.adopt


def _release_problems(client: ClusterClient, config: StackConfig) -> list[str]:
    settings = config.settings
    namespace, stack = settings.harbor.namespace, pulumi.get_stack()
    history = records(client, namespace)
    # At another address too: a release of this stack stays its own when its FQDN changes.
    foreign = history[-1] if history and not history[-1].made_here else None
    if foreign is not None and not settings.harbor.adopt:
        return [foreign_release(namespace)]
    running = running_harbor(client, namespace)
    if settings.harbor.adopt and not (history and running):
        return [
            f"sovereign-harbor:harbor.adopt = true, but namespace {namespace} has no Helm release "
            f"{RELEASE} of Harbor's chart\n"
            f"  fix: set harbor.namespace to where it is, see {RUNBOOK}; for a new Harbor: "
            f"{unset('harbor.adopt', stack)}"
        ]
    if running is None:
        return []
    _warn(running, settings, is_foreign=foreign is not None)
    key = release.key_problem(
        running, is_key=config.is_secret.get("harborSecretKey"), namespace=namespace, stack=stack
    )
    lock = release.lock_problem(running, settings, stack)
    return [
        *(problem for problem in (key, lock) if problem),
        *(release.release_problems(running, foreign, settings, stack) if foreign else []),
    ]


def _warn(running: RunningHarbor, settings: Settings, *, is_foreign: bool) -> None:
    """Warns of what does not stand in the way of an adoption."""
    warning = release.key_warning(running)
    if warning is not None:
        pulumi.log.warn(warning)
    url = settings.registry_address.url
    if is_foreign and running.address != url:
        pulumi.log.warn(
            f"Harbor answers at {running.address} now and will at {url}: images are named by their "
            "registry's host, see the runbook"
        )


def _database_problems(client: ClusterClient, settings: Settings) -> list[str]:
    section, namespace = settings.database, settings.harbor.namespace
    if not isinstance(section, DedicatedDatabase):
        return []
    stack = pulumi.get_stack()
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/{namespace}/clusters/{CLUSTER}"
    spec: Mapping[str, Any] | None = dig(client.get(path), "spec")
    if spec is None:
        if not section.adopt:
            return []
        return [
            f"sovereign-harbor:database.adopt = true, but namespace {namespace} has no Cluster "
            f"{CLUSTER}\n  fix: {database.USE_AS_SHARED}; for a new one: "
            f"{unset('database.adopt', stack)}"
        ]
    if database.is_ours(spec):
        return []
    if not section.adopt:
        return [database.foreign_cluster(namespace, stack)]
    unwritten = database.unwritten(spec)
    if unwritten:
        pulumi.log.warn(
            f"Cluster {CLUSTER}: this program does not write {', '.join(unwritten)} of its spec; "
            "what was set there goes back to the operator's default"
        )
    image = postgres_image(section, settings.image_registry)
    return list(database.cluster_problems(spec, image, stack))
