"""Waiting until the Gateway's controller has accepted the registry's route.

Helm is content when the API server has taken the HTTPRoute. Whether a listener serves it is the
controller's word, in the route's status; without it a green `up` could mean an unreachable
registry. The engine cannot wait for it: the chart makes the route.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pulumi
from pulumi.dynamic import Resource

from components.commands import run
from components.kubernetes.naming import ROUTE
from components.sealing.waiting import WaitingProvider

SECONDS: Final = 120
"""How long a controller may take; the ones of production take seconds."""


class NotAccepted(Exception):
    """No listener serves the route; the text quotes the controller."""


class RouteAcceptedProvider(WaitingProvider):
    """Holds `up` until each of `parents` has accepted the route of `namespace`.

    Inputs: `namespace`; `parents`, as in the route's parentRefs; `hosts`; `timeoutSeconds`.
    """

    waited_for = ("namespace", "parents", "hosts")

    def identity(self, props: dict[str, Any]) -> str:
        return f"{props['namespace']}/{ROUTE}"

    def missing(self, props: dict[str, Any]) -> Sequence[str]:
        api = "/apis/gateway.networking.k8s.io/v1"
        path = f"{api}/namespaces/{props['namespace']}/httproutes/{ROUTE}"
        return refusals(self.client().get(path), props["parents"])

    def too_late(self, props: dict[str, Any], missing: Sequence[str]) -> Exception:
        return NotAccepted(
            f"HTTPRoute {props['namespace']}/{ROUTE} of {', '.join(props['hosts'])} was not "
            f"accepted within {props['timeoutSeconds']:.0f} s: {'; '.join(missing)}. Harbor runs, "
            "and nobody reaches it. Mend the Gateway or exposure.parentRefs, then once more "
            f"{run('up', self.stack)}"
        )


def refusals(route: Mapping[str, Any] | None, parents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why a route is not served by each of `parents`; empty when it is. Pure."""
    if route is None:
        return ["the route is not there"]
    status: Mapping[str, Any] = route.get("status") or {}
    entries: list[Mapping[str, Any]] = status.get("parents") or []
    generation: int = route["metadata"].get("generation") or 0
    reasons: list[str] = []
    for parent in parents:
        where = f"Gateway {parent['namespace']}/{parent['name']}, listener {parent['sectionName']}"
        entry = next((one for one in entries if _is_of(one, parent, route)), None)
        if entry is None:
            reasons.append(f"{where}: no controller has looked at it; does the Gateway's run?")
            continue
        conditions: list[Mapping[str, Any]] = entry.get("conditions") or []
        states = {one["type"]: one for one in conditions}
        accepted = states.get("Accepted", {})
        if accepted.get("status") != "True":
            said = accepted.get("message") or accepted.get("reason") or "not yet"
            reasons.append(f"{where}: {said}")
        elif (accepted.get("observedGeneration") or generation) < generation:
            reasons.append(f"{where}: the controller has not looked at the change")
        elif states.get("ResolvedRefs", {}).get("status") == "False":
            reasons.append(f"{where}: {states['ResolvedRefs'].get('message')}")
    return reasons


def _is_of(entry: Mapping[str, Any], parent: Mapping[str, Any], route: Mapping[str, Any]) -> bool:
    ref: Mapping[str, Any] = entry["parentRef"]
    namespace = ref.get("namespace") or route["metadata"].get("namespace")
    return (ref["name"], namespace, ref.get("sectionName") or parent["sectionName"]) == (
        parent["name"],
        parent["namespace"],
        parent["sectionName"],
    )


class RouteAccepted(Resource, module="network", name="RouteAccepted"):
    """A route that clients reach. It depends on the release that makes the route."""

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        parents: Sequence[Mapping[str, Any]],
        hosts: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "namespace": namespace,
            "parents": [dict(parent) for parent in parents],
            "hosts": list(hosts),
            "timeoutSeconds": SECONDS,
        }
        super().__init__(RouteAcceptedProvider(), name, props, opts)
