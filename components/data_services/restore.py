"""Makes room for a restored database: the Cluster that lives is deleted, if that was told.

The engine could not: it deletes nothing that it retains (retainData, the default), and then applies
the restored Cluster over the one that lives, which changes nothing (data_services/origin.py).

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from components.data_services.origin import server_of
from components.kubernetes.client import dig
from components.sealing.cluster_provider import ClusterProvider
from components.settings.database import FIRST_SERVER

CLUSTER: Final = FIRST_SERVER
"""Name of the Cluster, whatever it archives as."""
SECONDS: Final = 300
"""How long its pods and volumes may take to go."""


class DatabaseLives(Exception):
    """A database is in the way of the restored one."""


class DatabaseRestoreProvider(ClusterProvider):
    """Deletes the Cluster of `namespace`, unless it archives as `server`.

    `replaces`: whether it may.
    Nothing happens in a run that restores nothing new, nor when the resource is removed.
    """

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_olds.get("server") != _news["server"], replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=CLUSTER, outs=self._make_room(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self._make_room(_news))

    def _make_room(self, props: dict[str, Any]) -> dict[str, Any]:
        namespace, outs = props["namespace"], {"server": props["server"]}
        lives_as = server_of(self._cluster(namespace))
        if lives_as in (None, props["server"]):
            return outs
        if not props["replaces"]:
            raise DatabaseLives(
                f"Cluster {namespace}/{CLUSTER} lives, and database.restore.replace is not true"
            )
        self.client().delete(f"{_path(namespace)}?propagationPolicy=Foreground")
        deadline = time.monotonic() + float(props.get("timeoutSeconds") or SECONDS)
        pause = 0.1
        while left := self._left(namespace):
            if time.monotonic() > deadline:
                raise DatabaseLives(
                    f"of the database that is replaced there still is {', '.join(left)} in "
                    f"namespace {namespace}. The next `up` goes on once it is gone"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)
        return outs

    def _cluster(self, namespace: str) -> Mapping[str, Any] | None:
        return self.client().get(_path(namespace))

    def _left(self, namespace: str) -> list[str]:
        """What is left of the Cluster. A volume of its name would be taken for the new one's."""
        if self._cluster(namespace) is not None:
            return [f"Cluster {CLUSTER}"]
        claims: Any = self.client().get(
            f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
            f"?labelSelector=cnpg.io%2Fcluster%3D{CLUSTER}"
        )
        items: list[Mapping[str, Any]] = dig(claims, "items") or []
        return [f"claim {item['metadata']['name']}" for item in items]


def _path(namespace: str) -> str:
    return f"/apis/postgresql.cnpg.io/v1/namespaces/{namespace}/clusters/{CLUSTER}"


class DatabaseRestore(Resource, module="database", name="DatabaseRestore"):
    """Room for the database that archives as `server`, known once there is room."""

    server: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        server: pulumi.Input[str],
        replaces: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "namespace": namespace,
            "server": server,
            "replaces": replaces,
            "timeoutSeconds": SECONDS,
        }
        super().__init__(DatabaseRestoreProvider(), name, props, opts)
