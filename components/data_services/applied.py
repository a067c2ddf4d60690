"""Waiting until CloudNativePG has applied a database and its owner to the Cluster.

The operator says in the status of both objects whether PostgreSQL has them, and which version of
the password's Secret the role was given last. Without this a rotated password would reach Harbor's
pods before PostgreSQL.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pulumi
from pulumi.dynamic import Resource

from components.commands import run
from components.sealing.opened import secret_path
from components.sealing.waiting import WaitingProvider

SECONDS: Final = 180
"""How long the operator may take. It looks at a failure again every 30 s
(cloudnative-pg internal/management/controller/database_controller.go)."""

_API: Final = "/apis/postgresql.cnpg.io/v1"


class NotApplied(Exception):
    """PostgreSQL has not got the database or the role in time; the text quotes the operator."""


class DatabaseAppliedProvider(WaitingProvider):
    """Holds `up` until the operator has applied both objects.

    Inputs: `namespace` and `cluster`; `name`, of the Database and the DatabaseRole;
    `secretName` of the role's password, None where the role is somebody else's; `revision` of that
    Secret; `timeoutSeconds`.
    """

    waited_for = ("namespace", "cluster", "name", "secretName", "revision")

    def identity(self, props: dict[str, Any]) -> str:
        return f"{props['namespace']}/{props['name']}"

    def missing(self, props: dict[str, Any]) -> Sequence[str]:
        return list(self._reasons(props))

    def too_late(self, props: dict[str, Any], missing: Sequence[str]) -> Exception:
        return NotApplied(
            f"CloudNativePG did not apply {' and '.join(missing)} within "
            f"{props['timeoutSeconds']:.0f} s. Cluster {props['namespace']}/{props['cluster']} has "
            "to run, and nothing else may manage these. Then once more "
            f"{run('up', self.stack)}"
        )

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
