"""The objects of a restore drill: a namespace, and in it a Cluster made from the backup. Pure.

They are in a namespace of their own, not in Harbor's:

- its deletion takes all of them along, volumes and copied keys too. An estate may prepare the
  namespace, so that whoever drills needs no right to make one: then it stays, empty;
- Harbor asks for `harbor-pg-rw` in its own namespace, so it cannot meet this database; and where
  network policies are on, none lets a pod of Harbor through to it;
- alerts and backups look at Harbor's namespace.

The Cluster has no entry in `plugins`, so it archives nowhere: CloudNativePG throws its log away.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from components.backup.objects import SECRET, STORE, store_spec
from components.data_services.instance import DATABASE, OWNER, instance_spec
from components.data_services.origin import Origin, recovery
from components.images import postgres_image
from components.kubernetes.naming import PART_OF, RECORDED_METRICS
from components.network.rules import DataServices, Policy, network_policies, perimeter
from components.settings.backup import BackupSettings
from components.settings.database import DedicatedDatabase, RestoreSettings
from components.settings.model import Settings

CLUSTER: Final = "harbor-pg-drill"
PURPOSE: Final = {
    PART_OF[0]: PART_OF[1],
    "app.kubernetes.io/component": "restore-drill",
    "app.kubernetes.io/managed-by": "restore-drill",
}
"""Labels of every object of a drill."""
SELECTOR: Final = "app.kubernetes.io/managed-by=restore-drill"
RUN_ANNOTATION: Final = "sovereign-harbor/restore-drill"
"""Annotation of the namespace: the drill that made it, and that may delete it; or PREPARED."""
PREPARED: Final = "prepared"
"""Of a namespace that somebody made for drills, and that stays (docs/howto/restore-drill.yaml)."""
_SUFFIX: Final = "-drill"
_LONGEST: Final = 63
"""Of a namespace's name, in characters (RFC 1123)."""
_MEETS: Final = frozenset(
    {
        "operator",
        "dns",
        "dns-addresses",
        "dns-node",
        "api-server",
        "api-server-addresses",
        "backup-storage",
    }
)
"""Parties of the perimeter with which the drill's database may talk: none of Harbor's."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An object to create. `collection`: the API path to which it is posted."""

    collection: str
    body: Mapping[str, Any]

    @property
    def path(self) -> str:
        """The object's own API path."""
        return f"{self.collection}/{self.body['metadata']['name']}"


def namespace_of(harbor: str) -> str:
    """The drill's namespace. `harbor`: Harbor's."""
    return f"{harbor[: _LONGEST - len(_SUFFIX)].rstrip('-')}{_SUFFIX}"


def manifests(
    settings: Settings,
    database: DedicatedDatabase,
    backup: BackupSettings,
    *,
    server: str,
    credentials: Mapping[str, str],
    image: str | None,
    run: str,
) -> Iterator[Manifest]:
    """The objects in the order in which they are created; the Cluster is the last.

    `server`: folder of the database's backups. `credentials`: data of the Secret
    harbor-backup-credentials, as text. `image`: of the PostgreSQL that runs, None where none does:
    a backup is restored by the major version that made it. `run`: tells this drill from others.
    """
    namespace = namespace_of(settings.harbor.namespace)
    yield Manifest(
        collection="/api/v1/namespaces",
        body={
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "annotations": {RUN_ANNOTATION: run},
                "labels": {
                    **PURPOSE,
                    "pod-security.kubernetes.io/enforce": "baseline",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
        },
    )
    for policy in policies(settings):
        yield _policy(namespace, policy)
    yield _object(
        namespace,
        "v1",
        "Secret",
        SECRET,
        type="Opaque",
        data={key: base64.b64encode(value.encode()).decode() for key, value in credentials.items()},
    )
    yield _object(
        namespace,
        "barmancloud.cnpg.io/v1",
        "ObjectStore",
        STORE,
        # Without retention: the drill deletes nothing in the bucket.
        spec=store_spec(backup.destination, SECRET),
    )
    yield _object(
        namespace,
        "postgresql.cnpg.io/v1",
        "Cluster",
        CLUSTER,
        spec=cluster_spec(settings, database, server=server, image=image),
    )


def cluster_spec(
    settings: Settings, database: DedicatedDatabase, *, server: str, image: str | None
) -> dict[str, Any]:
    """`spec` of the drill's Cluster: one instance of the database's size, restored to the last
    moment that was archived. Without the database's priority, so that it evicts nobody."""
    origin = Origin(server=CLUSTER, restore=RestoreSettings(server=server))
    return {
        **instance_spec(database),
        **recovery(origin, STORE, database=DATABASE, owner=OWNER, secret_name=None),
        "instances": 1,
        "imageName": image or postgres_image(database, settings.image_registry),
        "enablePDB": False,
        "inheritedMetadata": {"labels": PURPOSE},
    }


def policies(settings: Settings) -> list[Policy]:
    """The network policies of the drill's database: those of Harbor's, without Harbor's pods."""
    if not settings.network_policies.enabled:
        return []
    own = DataServices(
        database={"cnpg.io/cluster": CLUSTER},
        cache={},
        recorded_metrics={"app.kubernetes.io/name": RECORDED_METRICS},
    )
    whole = perimeter(settings, own)
    edges = tuple(
        edge
        for edge in whole.edges
        if (edge.target == "database" and edge.source in _MEETS)
        # What an estate lets the database reach besides may be the way to the bucket.
        or (edge.source == "database" and (edge.target in _MEETS or _is_extra(edge.target)))
    )
    narrowed = replace(whole, guarded=("database",), edges=edges)
    # The first one is about pods of Harbor.
    return [each for each in network_policies(narrowed) if each.name == "harbor-database"]


def _is_extra(party: str) -> bool:
    return party.startswith("extra-")


def _policy(namespace: str, policy: Policy) -> Manifest:
    is_plain = policy.kind == "NetworkPolicy"
    version = "networking.k8s.io/v1" if is_plain else "cilium.io/v2"
    return _object(namespace, version, policy.kind, CLUSTER, spec=policy.spec)


def _object(namespace: str, version: str, kind: str, name: str, **parts: Any) -> Manifest:
    group = "/api/v1" if version == "v1" else f"/apis/{version}"
    plural = "networkpolicies" if kind == "NetworkPolicy" else f"{kind.lower()}s"
    plural = "ciliumnetworkpolicies" if kind == "CiliumNetworkPolicy" else plural
    return Manifest(
        collection=f"{group}/namespaces/{namespace}/{plural}",
        body={
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "labels": dict(PURPOSE)},
            **parts,
        },
    )
