"""Whether Harbor's namespace may be this stack's: new, its own already, empty, or adopted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.commands import run, set_value
from components.image_policy import require_harbor
from components.image_policy.require_harbor import API_VERSIONS
from components.kubernetes.client import ClusterClient, dig
from components.kubernetes.naming import PART_OF
from components.preflight import beside
from components.preflight.evidence import refuses
from components.settings.exposure import IngressExposure
from components.settings.model import Settings

_LISTS: Final = {
    "pods": "/api/v1",
    "deployments": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "daemonsets": "/apis/apps/v1",
    "jobs": "/apis/batch/v1",
    "cronjobs": "/apis/batch/v1",
    "persistentvolumeclaims": "/api/v1",
    "services": "/api/v1",
    "secrets": "/api/v1",
    "configmaps": "/api/v1",
}
"""Kind, in the plural → its API. A namespace without any object of these kinds is empty."""

_IN_EVERY_NAMESPACE: Final = {
    "configmaps": {"kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert"},
    "services": {"kubernetes"},
}
"""Objects that a cluster puts into each namespace by itself."""

_TOKENS: Final = {"kubernetes.io/service-account-token", "kubernetes.io/dockercfg"}
"""Types of the Secrets that a cluster makes for each ServiceAccount."""

_MOST_NAMES: Final = 5


def problems(client: ClusterClient, settings: Settings, stack: str) -> list[str]:
    """Why the namespace must not be taken. Raises ClusterUnreachable."""
    name = settings.harbor.namespace
    if settings.harbor.shared_namespace:
        return [
            *beside.problems(client, settings, stack),
            *_policy_problems(client, name, settings, stack),
        ]
    return [
        *_contents_problems(client, settings, stack),
        *_policy_problems(client, name, settings, stack),
    ]


def _contents_problems(client: ClusterClient, settings: Settings, stack: str) -> Iterator[str]:
    name = settings.harbor.namespace
    namespace = client.get(f"/api/v1/namespaces/{name}")
    if namespace is None:
        return
    if dig(namespace, "metadata", "deletionTimestamp"):
        yield beside.is_being_deleted(name)
        return
    labels: Mapping[str, str] = dig(namespace, "metadata", "labels") or {}
    if labels.get(PART_OF[0]) == PART_OF[1] or settings.harbor.adopt:
        return
    names = [f"{kind}/{one}" for kind in _LISTS for one in _foreign(client, name, kind, settings)]
    if not names:
        return
    shown = ", ".join(names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    yield (
        f"sovereign-harbor:harbor.namespace = {name}: the namespace exists, was not made by this "
        f"program, and holds {shown}{more}. This stack would label and restrict it as its own\n"
        f"  fix: another namespace: {set_value('harbor.namespace', '<name>', stack)}\n"
        "  or, if all of that stays there beside Harbor, and untouched: "
        f"{set_value('harbor.sharedNamespace', 'true', stack)}\n"
        "  or, if all of it may become Harbor's, say so in the cluster: "
        f"kubectl label namespace {name} {PART_OF[0]}={PART_OF[1]}"
    )


def _foreign(client: ClusterClient, namespace: str, kind: str, settings: Settings) -> Iterator[str]:
    """Names of the objects of one kind that neither the cluster nor this stack's settings put
    there."""
    listed = client.get(f"{_LISTS[kind]}/namespaces/{namespace}/{kind}?limit=50")
    items: list[Any] = dig(listed, "items") or []
    expected = {*_IN_EVERY_NAMESPACE.get(kind, ())}
    if kind == "secrets" and isinstance(settings.exposure, IngressExposure):
        # Whoever brings the certificate has to put it there before the first `up`.
        expected.add(settings.exposure.tls_secret_name)
    for item in items:
        name: str = item["metadata"]["name"]
        if name not in expected and item.get("type") not in _TOKENS:
            yield name


def _policy_problems(
    client: ClusterClient, name: str, settings: Settings, stack: str
) -> Iterator[str]:
    """Harbor starts before the policy changes. If the policy that is applied refuses other images
    in the new namespace, the pods of Harbor and its database never start, and the run hangs."""
    for kind, version in API_VERSIONS.items():
        plural = f"{kind.lower().removesuffix('y')}ies"
        policy = client.get(f"/apis/{version}/{plural}/{require_harbor.NAME}")
        spec = dig(policy, "spec")
        if not spec or not refuses(spec) or name in excluded(spec):
            continue
        index = len(settings.image_policy.extra_excluded_namespaces)
        yield (
            f"sovereign-harbor:harbor.namespace = {name}: the policy {require_harbor.NAME} that is "
            "applied now refuses images of other registries there, and Harbor's own pods could not "
            "start\n"
            f"  fix: first leave {name} out of the policy, with harbor.namespace as it was:\n"
            f"       {set_value(f'imagePolicy.extraExcludedNamespaces[{index}]', name, stack)}\n"
            f"       {run('up', stack)}; then change harbor.namespace"
        )


def excluded(spec: Mapping[str, Any]) -> set[str]:
    """The namespaces that a policy's spec, of any of our kinds, leaves out. Pure."""
    terms: list[Any] = dig(spec, "matchConstraints", "namespaceSelector", "matchExpressions") or []
    names: set[str] = set()
    for term in terms:
        names.update(term.get("values") or ())
    rules: list[Any] = spec.get("rules") or []
    for rule in rules:
        excluding: list[Any] = dig(rule, "exclude", "any") or []
        for term in excluding:
            names.update(dig(term, "resources", "namespaces") or ())
    return names
