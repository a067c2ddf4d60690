"""Waiting until the controller has turned a SealedSecret into its Secret.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import time
from typing import Any

import pulumi
from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

REVISION_ANNOTATION = "sovereign-harbor/revision"
"""Annotation of the Secret's template: the controller writes it together with the data."""


class NotUnsealed(Exception):
    """The Secret did not appear in time; the text quotes the controller."""


class UnsealedProvider(ResourceProvider):
    """Holds `up` until the Secret carries the expected revision.

    A wait for the SealedSecret's Synced condition is not enough: after an update the old
    Synced=True stands until the controller gets to it, and Harbor would restart on old keys.
    """

    serialize_as_secret_always = False
    _context: str | None = None

    def configure(self, req: ConfigureRequest) -> None:
        from components.settings.provider_config import cluster_context

        self._context = cluster_context(req.config.get)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [k for k in ("namespace", "name") if _olds.get(k) != _news.get(k)]
        changed = _olds.get("revision") != _news.get("revision")
        return DiffResult(changes=bool(replaces) or changed, replaces=replaces)

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=f"{props['namespace']}/{props['name']}", outs=self._await(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self._await(_news))

    def _await(self, props: dict[str, Any]) -> dict[str, Any]:
        from components.kubernetes.client import (
            ClusterClient,
            sealed_secret_condition,
            secret_annotations,
        )

        client = ClusterClient(self._context)
        where = {"namespace": props["namespace"], "name": props["name"]}
        deadline = time.monotonic() + float(props["timeoutSeconds"])
        pause = 0.05
        while True:
            revision = secret_annotations(client, **where).get(REVISION_ANNOTATION)
            if revision == props["revision"]:
                return {k: v for k, v in props.items() if not k.startswith("__")}
            if time.monotonic() > deadline:
                raise NotUnsealed(
                    f"Secret {where['namespace']}/{where['name']} was not unsealed within "
                    f"{props['timeoutSeconds']:.0f} s. The controller says: "
                    f"{sealed_secret_condition(client, **where)}. A certificate of another "
                    "cluster shows as «no key could decrypt secret»: check sealing.certificate."
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)


class Unsealed(Resource, module="sealing", name="Unsealed"):
    """A Secret that exists with the declared content. The output `name` is its name."""

    name: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        secret_name: pulumi.Input[str],
        revision: pulumi.Input[str],
        timeout_seconds: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            UnsealedProvider(),
            name,
            {
                "namespace": namespace,
                "name": secret_name,
                "revision": revision,
                "timeoutSeconds": timeout_seconds,
            },
            opts,
        )
