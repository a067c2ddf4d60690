"""A mark in the cluster by which a state knows the Sovereign that it made.

That an object was written by this program does not say by which state. After the state was lost, or
with a second backend, `up` from an empty state would take everything for its own, and mint new
credentials over those that Harbor's database is encrypted with. So the state has a random text, and
a ConfigMap in Harbor's namespace has the same one.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from components.sealing.cluster_provider import ClusterProvider
from components.sealing.lost_state import unknown_mark

CONFIG_MAP: Final = "sovereign-harbor-state"
KEY: Final = "mark"


class StateMarkProvider(ClusterProvider):
    """Keeps `mark`, which `check` mints, and refuses a cluster that has another one.

    Inputs: `namespace`, `adopting` (whether a Sovereign that another state made is adopted) and
    `stack`. A cluster without a mark is accepted: it is empty, or of an earlier version.
    """

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        own: str | None = _olds.get("mark")
        namespace: str = news["namespace"]
        answered, record = self.look(f"/api/v1/namespaces/{namespace}/configmaps/{CONFIG_MAP}")
        there = mark_of(record) if answered else None
        # An adopted Sovereign gets a mark of its own, so that the state before is refused.
        inputs = {**news, "mark": own or secrets.token_hex(16)}
        if there is not None and there != own and not news["adopting"]:
            reason = unknown_mark(namespace, news["stack"])
            return CheckResult(inputs, [CheckFailure("", reason)])
        return CheckResult(inputs, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_olds["mark"] != _news["mark"], replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=props["stack"], outs={"mark": props["mark"]})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs={"mark": _news["mark"]})


def mark_of(record: Any) -> str | None:
    """The mark in the ConfigMap; None where there is none."""
    data: dict[str, str] = (record.get("data") if record else None) or {}
    return data.get(KEY)


class StateMark(Resource, module="ownership", name="StateMark"):
    """The mark as a resource. All that this stack makes depends on it."""

    mark: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: str,
        adopting: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "namespace": namespace,
            "adopting": adopting,
            "stack": pulumi.get_stack(),
            "mark": None,
        }
        super().__init__(StateMarkProvider(), name, props, opts)
