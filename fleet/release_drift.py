"""Drift of what Helm made: the engine compares the release's record, never the objects behind it.

`pulumi refresh` (pulumi-kubernetes 4.27) asks Helm whether the release is there, so a Deployment
that somebody scaled by hand looks unchanged. This compares the manifest in Helm's record with the
objects that the API server has. Only what the manifest says is compared: defaults that the API
server adds are no drift.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from components import parsed
from components.harbor.recovery import release_in
from components.harbor_inputs import RELEASE
from components.kubernetes.client import ClusterClient, dig
from components.kubernetes.quantities import bytes_of
from components.kubernetes.unreachable import ClusterUnreachable

_PATHS: Final[Mapping[str, str]] = {
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
    "StatefulSet": "/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}",
    "Service": "/api/v1/namespaces/{namespace}/services/{name}",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps/{name}",
}
"""Where the kinds of Harbor's chart are read. Secrets are left out: the controller owns them."""


_NOT_COMPARED: Final = frozenset({"apiVersion", "kind", "metadata", "status"})


@dataclass(frozen=True, kw_only=True)
class Drifted:
    """An object that is not as Helm made it. `fields`: dotted paths; ("gone",) if it is missing."""

    kind: str
    name: str
    fields: tuple[str, ...]
    mend: str
    """The command that makes it as it was."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def drifted(client: ClusterClient, namespace: str) -> list[Drifted]:
    """What differs from the newest deployed release. Raises ClusterUnreachable."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    query = f"labelSelector=owner%3Dhelm%2Cname%3D{RELEASE}%2Cstatus%3Ddeployed"
    listed = client.get(f"{path}?{query}")
    secrets = sorted(
        dig(listed, "items") or [],
        key=lambda secret: _number(dig(secret, "metadata", "labels", "version")) or Decimal(0),
    )
    if not secrets:
        return []
    differing: list[Drifted] = []
    for manifest in manifests(secrets[-1]):
        if manifest["kind"] not in _PATHS:
            continue
        name = manifest["metadata"]["name"]
        place = _PATHS[manifest["kind"]].format(namespace=namespace, name=name)
        live = client.get(place)
        fields = ("gone",) if live is None else tuple(differences(manifest, live))
        if fields:
            differing.append(
                Drifted(
                    kind=manifest["kind"],
                    name=name,
                    fields=fields,
                    mend=_command(manifest, fields, namespace),
                )
            )
    return differing


def manifests(secret: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects in one of Helm's records.

    Raises ClusterUnreachable where the Secret has Helm's labels and no record.
    """
    try:
        documents = parsed.yaml_documents(release_in(secret)["manifest"])
    except (LookupError, TypeError, ValueError, AttributeError):
        documents = [None, "no record"]
    for document in documents:
        if document is None or document == {}:
            continue
        if not (dig(document, "kind") and dig(document, "metadata", "name")):
            name = dig(secret, "metadata", "name")
            raise ClusterUnreachable(f"Secret {name} has Helm's labels and no record of Helm's")
        yield document


def differences(manifest: Any, live: Any, path: str = "") -> Iterator[str]:
    """The dotted paths at which the live object is not what the manifest says."""
    if isinstance(manifest, Mapping):
        if not isinstance(live, Mapping):
            yield path
            return
        for key, value in manifest.items():
            # The API server drops what is empty. The path names the kind already; Helm and the
            # controllers label objects.
            if value in (None, {}, []) or (path == "" and key in _NOT_COMPARED):
                continue
            yield from differences(value, live.get(key), f"{path}.{key}" if path else key)
    elif isinstance(manifest, list):
        if not isinstance(live, list) or len(live) != len(manifest):
            yield path
            return
        for index, (value, other) in enumerate(zip(manifest, live, strict=True)):
            yield from differences(value, other, f"{path}[{index}]")
    elif not _alike(manifest, live):
        yield path


def _alike(manifest: Any, live: Any) -> bool:
    """Whether two values are the same to Kubernetes: "500m" and "0.5" are one quantity."""
    if str(manifest) == str(live) or (manifest in ("", 0, False) and live is None):
        return True
    one, other = _number(manifest), _number(live)
    return one is not None and one == other


def _number(value: Any) -> Decimal | None:
    text = str(value)
    try:
        if text.endswith("m"):
            return Decimal(text[:-1]) / 1000
        return Decimal(text) if text.replace(".", "", 1).isdigit() else Decimal(bytes_of(text))
    except (ArithmeticError, ValueError, KeyError):
        return None


def _command(manifest: Mapping[str, Any], fields: tuple[str, ...], namespace: str) -> str:
    if fields == ("spec.replicas",):
        kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
        replicas = manifest["spec"]["replicas"]
        return f"kubectl scale {kind}/{name} --replicas={replicas} -n {namespace}"
    return (
        f"helm get manifest {RELEASE} -n {namespace} | kubectl apply -n {namespace} "
        "--server-side --field-manager=helm --force-conflicts -f -"
    )
