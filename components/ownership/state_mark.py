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
import sys
from collections.abc import Mapping
from typing import Any, Final

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from components.harbor_inputs import RELEASE
from components.sealing.cluster_provider import ClusterProvider
from components.sealing.kept import KNOWN_TO_A_DATABASE, left_behind
from components.sealing.lost_state import (
    left_set,
    taken_down,
    unknown_mark,
    unknown_to_backup,
)
from components.sealing.opened import maker_path, revision_of, secret_path

CONFIG_MAP: Final = "sovereign-harbor-state"
KEY: Final = "mark"


class StateMarkProvider(ClusterProvider):
    """Keeps `mark`, which `check` mints, and refuses a cluster that has another one.

    Inputs: `namespace`, `adopting` (whether a Sovereign that another state made is adopted),
    `restores` (whether the database is made from a backup) and `stack`. A cluster without a mark is
    accepted: it is empty, or of an earlier version; or the Sovereign was taken down and its
    database kept, and then a new state has to be given the values that the database knows. So it
    does for a restored database. The values are read from the stack's configuration, and are no
    input.
    """

    _given: Mapping[str, str] | None = None

    def configure(self, req: ConfigureRequest) -> None:
        from components.settings.provider_config import given_credentials

        super().configure(req)
        self._given = given_credentials(req.config.get)

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
        if own is not None and there == own and news["adopting"]:
            print(left_set(news["stack"]), file=sys.stderr)  # where the engine shows it
        if own is None and there is None and not news["adopting"]:
            left = left_behind(lambda name: self._kept(namespace, name), self._given or {})
            if left and not self._lives(namespace):
                paths = (
                    maker_path(self._kept(namespace, each.name), namespace, each.name)
                    for each in left
                )
                is_external = any(path and "externalsecrets" in path for path in paths)
                maker = "externalsecret" if is_external else "sealedsecret"
                reason = taken_down(namespace, left, news["stack"], maker)
                return CheckResult(inputs, [CheckFailure("", reason)])
        needed = [key for key in KNOWN_TO_A_DATABASE if key not in (self._given or {})]
        if own is None and news.get("restores") and needed:
            reason = unknown_to_backup(needed, news["stack"])
            return CheckResult(inputs, [CheckFailure("", reason)])
        return CheckResult(inputs, [])

    def _kept(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """A Secret of this program that stays; None where there is none, or nobody answered."""
        _, secret = self.look(secret_path(namespace, name))
        is_kept = revision_of(secret) is not None and self.stays(secret, namespace, name)
        return secret if is_kept else None

    def _lives(self, namespace: str) -> bool:
        """Whether Harbor is there; then it is to be adopted, as each of its Secrets says."""
        _, core = self.look(f"/apis/apps/v1/namespaces/{namespace}/deployments/{RELEASE}-core")
        return core is not None

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
        restores: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`restores`: whether the database is made from a backup."""
        props = {
            "namespace": namespace,
            "adopting": adopting,
            "stack": pulumi.get_stack(),
            "mark": None,
            **({"restores": True} if restores else {}),
        }
        super().__init__(StateMarkProvider(), name, props, opts)
