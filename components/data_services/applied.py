"""Waiting until CloudNativePG has applied a database and its owner to the Cluster.

The operator says in the status of both objects whether PostgreSQL has them, and which version of
the password's Secret the role was given last. Without this a rotated password would reach Harbor's
pods before PostgreSQL.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pulumi
from pulumi.dynamic import ConfigureRequest, CreateResult, DiffResult, Resource, UpdateResult

from components.commands import run
from components.sealing.cluster_provider import ClusterProvider
from components.sealing.opened import secret_path

SECONDS: Final = 180
"""How long the operator may take. It looks at a failure again every 30 s
(cloudnative-pg internal/management/controller/database_controller.go)."""

_API: Final = "/apis/postgresql.cnpg.io/v1"
_WAITED_FOR: Final = ("namespace", "cluster", "name", "secretName", "revision")


class NotApplied(Exception):
    """PostgreSQL has not got the database or the role in time; the text quotes the operator."""


class DatabaseAppliedProvider(ClusterProvider):
    """Holds `up` until the operator has applied both objects.

    Inputs: `namespace` and `cluster`; `name`, of the Database and the DatabaseRole;
    `secretName` of the role's password, None where the role is somebody else's; `revision` of that
    Secret; `timeoutSeconds`.
    """

    _stack: str | None = None

    def configure(self, req: ConfigureRequest) -> None:
        from components.settings.provider_config import stack_name

        super().configure(req)
        self._stack = stack_name(req.config.get)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        changes = any(_olds.get(key) != _news.get(key) for key in _WAITED_FOR)
        return DiffResult(changes=changes, replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        id_ = f"{props['namespace']}/{props['name']}"
        return CreateResult(id_=id_, outs=self._await(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self._await(_news))

    def _await(self, props: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + float(props["timeoutSeconds"])
        pause = 0.1
        while True:
            reasons = list(self._reasons(props))
            if not reasons:
                return {key: value for key, value in props.items() if not key.startswith("__")}
            if time.monotonic() > deadline:
                raise NotApplied(
                    f"CloudNativePG did not apply {' and '.join(reasons)} within "
                    f"{props['timeoutSeconds']:.0f} s. Cluster {props['namespace']}/"
                    f"{props['cluster']} has to run, and nothing else may manage these. Then once "
                    f"more {run('up', self._stack)}"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)

    def _reasons(self, props: Mapping[str, Any]) -> Iterator[str]:
        client, namespace = self.client(), props["namespace"]
        home, name = f"{_API}/namespaces/{namespace}", props["name"]
        if props.get("secretName") is not None:
            secret = client.get(secret_path(namespace, props["secretName"]))
            role = client.get(f"{home}/databaseroles/{name}")
            yield from reasons("DatabaseRole", name, role, secret)
        yield from reasons("Database", name, client.get(f"{home}/databases/{name}"))


def reasons(
    kind: str,
    name: str,
    there: Mapping[str, Any] | None,
    secret: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """Why PostgreSQL does not have what that object says; `secret`: of a role's password. Pure."""
    what = f"{kind} {name}"
    if there is None:
        yield f"{what} (it is not there)"
        return
    status: Mapping[str, Any] = there.get("status") or {}
    generation: int = there["metadata"].get("generation") or 0
    if status.get("applied") is not True:
        yield f"{what} ({status.get('message') or 'no instance has looked at it'})"
    elif (status.get("observedGeneration") or 0) < generation:
        yield f"{what} (its last change)"
    elif secret is not None:
        # An operator that sets the version sets it with `applied`.
        version = status.get("secretResourceVersion")
        if version is not None and version != secret["metadata"].get("resourceVersion"):
            yield f"{what} (its new password)"


class DatabaseApplied(Resource, module="database", name="DatabaseApplied"):
    """A database and its owner that PostgreSQL has. `name`: of both objects."""

    name: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: str,
        cluster: str,
        object_name: pulumi.Input[str],
        secret_name: str | None,
        revision: pulumi.Input[str] | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "namespace": namespace,
            "cluster": cluster,
            "name": object_name,
            "secretName": secret_name,
            "revision": revision,
            "timeoutSeconds": SECONDS,
        }
        super().__init__(DatabaseAppliedProvider(), name, props, opts)
