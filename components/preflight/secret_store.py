"""Whether the estate's secret store serves this stack, where `secrets.delivery` is external."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from components.commands import set_value
from components.delivery.delivered import ready
from components.kubernetes.client import ClusterClient, dig
from components.kubernetes.naming import PART_OF
from components.preflight import plain_secrets
from components.settings.model import Settings
from components.settings.secrets import ExternalDelivery

_API = "/apis/external-secrets.io/v1"
_OPERATOR = "https://external-secrets.io/latest/introduction/getting-started/"


def namespaces(settings: Settings) -> list[str]:
    """Where Secrets of this stack go; Harbor's namespace first."""
    homes = (namespace for namespace, _ in plain_secrets.names(settings, given=frozenset()))
    return list(dict.fromkeys(homes))


def problems(client: ClusterClient, settings: Settings) -> list[str]:
    """Why the store does not serve, each with its way out. Raises ClusterUnreachable."""
    section = settings.secrets
    if not isinstance(section, ExternalDelivery):
        return []
    if section.store.kind == "SecretStore":
        return [
            problem
            for namespace in namespaces(settings)
            for problem in _of_namespace(client, section.store.name, namespace, settings)
        ]
    name = section.store.name
    store = client.get(f"{_API}/clustersecretstores/{name}")
    what = f"ClusterSecretStore {name} (secrets.store)"
    if store is None:
        return [_missing(what, "kubectl get clustersecretstores shows those that exist")]
    refused = [
        f"{what} does not serve namespace {namespace}: its conditions leave it out\n"
        f"  fix: have its owner add {namespace} to spec.conditions, or name another store: "
        f"{_set_store('<name>')}"
        for namespace in namespaces(settings)
        if not serves(store, namespace, _labels(client, namespace))
    ]
    return [*_not_ready(what, "clustersecretstore " + name, store), *refused]


def _of_namespace(
    client: ClusterClient, name: str, namespace: str, settings: Settings
) -> Iterator[str]:
    section = settings.secrets
    assert isinstance(section, ExternalDelivery)
    store = client.get(f"{_API}/namespaces/{namespace}/secretstores/{name}")
    what = f"SecretStore {name} in namespace {namespace} (secrets.store)"
    if store is not None:
        yield from _not_ready(what, f"secretstore {name} -n {namespace}", store)
    else:
        hint = (
            "kubectl get secretstores -A shows those that exist. One serves its own namespace "
            f"only, and Secrets of this stack go to {', '.join(namespaces(settings))}: make it "
            "there, or name a ClusterSecretStore"
        )
        yield _missing(what, hint)


def _missing(what: str, hint: str) -> str:
    return f"missing: {what}\n  fix: {hint}: {_set_store('<name>')}"


def _set_store(name: str) -> str:
    return set_value("secrets.store.name", name, pulumi.get_stack())


def _not_ready(what: str, described: str, store: Mapping[str, Any]) -> Iterator[str]:
    condition = ready(store)
    look = f"kubectl describe {described}"
    if not condition:
        yield (
            f"{what} has no condition Ready: the External Secrets Operator has not looked at it\n"
            f"  fix: see that the operator runs ({_OPERATOR}); {look}"
        )
    elif condition.get("status") != "True":
        yield f"{what} is not Ready: {condition.get('message') or 'no reason given'}\n  fix: {look}"
    elif dig(store, "status", "capabilities") == "ReadOnly":
        yield (
            f"{what} is ReadOnly, and this program writes there what it mints\n"
            f"  fix: have its owner let the operator write keys of this stack, or {look}"
        )


def _labels(client: ClusterClient, namespace: str) -> Mapping[str, str]:
    """Labels of a namespace; of one that this program is about to make, those that are sure."""
    there = client.get(f"/api/v1/namespaces/{namespace}")
    labels: dict[str, str] = dig(there, "metadata", "labels") or {}
    own = {PART_OF[0]: PART_OF[1]} if there is None else {}
    return {"kubernetes.io/metadata.name": namespace, **own, **labels}


def serves(store: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a ClusterSecretStore's conditions let a namespace in: one of them is enough, and no
    conditions let in all. Pure.

    A condition whose selector has expressions is not judged, and lets in.
    """
    conditions: list[Mapping[str, Any]] = dig(store, "spec", "conditions") or []
    return not conditions or any(_matches(each, namespace, labels) for each in conditions)


def _matches(condition: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> bool:
    if namespace in (condition.get("namespaces") or []):
        return True
    patterns: list[str] = condition.get("namespaceRegexes") or []
    for pattern in patterns:
        try:
            if re.search(pattern, namespace):
                return True
        except re.error:
            return True  # of Go's syntax and not of Python's
    selector: Mapping[str, Any] | None = condition.get("namespaceSelector")
    if selector is None:
        return False
    named: Mapping[str, str] = selector.get("matchLabels") or {}
    return bool(selector.get("matchExpressions")) or named.items() <= labels.items()
