"""Whether Harbor fits into a namespace in which others live: harbor.sharedNamespace.

Nothing of theirs is touched. The API server would let this program apply its own object over one
of the same name, and would select pods of theirs by labels that they share with Harbor's. So both
are looked for before the first resource is registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from components.backup.objects import SOURCE, STORE
from components.commands import set_value, unset
from components.data_services import valkey
from components.data_services.cache import SHARED_SECRET as SHARED_CACHE
from components.data_services.database import SHARED_SECRET as SHARED_DATABASE
from components.data_services.postgres import CLUSTER
from components.delivery.objects import EXTERNAL_API, PUSH_API, source_name
from components.harbor.disruption import replicated
from components.harbor_inputs import RELEASE
from components.kubernetes.client import ClusterClient, dig
from components.kubernetes.naming import (
    ALERTS,
    DASHBOARD,
    HARBOR_PODS,
    PART_OF,
    RECORDED_METRICS,
    RECORDED_METRICS_SERVER,
    REGISTRY_CERTIFICATE,
    ROUTE,
)
from components.network.policies import DATA_SERVICES
from components.network.rules import network_policies, perimeter
from components.ownership.state_mark import CONFIG_MAP
from components.preflight import plain_secrets
from components.settings.database import DedicatedDatabase, SharedDatabase, StoreRef
from components.settings.exposure import GatewayExposure, IngressExposure
from components.settings.model import Settings
from components.settings.secrets import ExternalDelivery
from components.settings.valkey import DedicatedValkey, SharedValkey

_APIS: Final = {
    "ConfigMap": "/api/v1",
    "Service": "/api/v1",
    "Secret": "/api/v1",
    "PersistentVolumeClaim": "/api/v1",
    "Deployment": "/apis/apps/v1",
    "StatefulSet": "/apis/apps/v1",
    "NetworkPolicy": "/apis/networking.k8s.io/v1",
    "Ingress": "/apis/networking.k8s.io/v1",
    "PodDisruptionBudget": "/apis/policy/v1",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1",
    "CiliumNetworkPolicy": "/apis/cilium.io/v2",
    "SealedSecret": "/apis/bitnami.com/v1alpha1",
    "ExternalSecret": f"/apis/{EXTERNAL_API}",
    "PushSecret": f"/apis/{PUSH_API}",
    "Cluster": "/apis/postgresql.cnpg.io/v1",
    "ScheduledBackup": "/apis/postgresql.cnpg.io/v1",
    "ObjectStore": "/apis/barmancloud.cnpg.io/v1",
    "Certificate": "/apis/cert-manager.io/v1",
    "PrometheusRule": "/apis/monitoring.coreos.com/v1",
    "PodMonitor": "/apis/monitoring.coreos.com/v1",
    "ServiceMonitor": "/apis/monitoring.coreos.com/v1",
}
"""Kind → its API, of the objects that this program, Harbor's chart or an operator on their behalf
puts into Harbor's namespace. plain_secrets.py looks for Secrets in the way of sealed ones."""

_PLURALS: Final = {
    "NetworkPolicy": "networkpolicies",
    "CiliumNetworkPolicy": "ciliumnetworkpolicies",
    "Ingress": "ingresses",
}


def problems(client: ClusterClient, settings: Settings, stack: str) -> list[str]:
    """Why Harbor cannot live there without touching others. Raises ClusterUnreachable."""
    name = settings.harbor.namespace
    namespace = client.get(f"/api/v1/namespaces/{name}")
    problem = _namespace_problem(namespace, name, stack)
    if problem is not None:
        return [problem]
    return [
        *_name_problems(client, settings, stack),
        *_label_problems(client, settings, stack),
    ]


def is_being_deleted(name: str) -> str:
    """The message about a namespace that goes."""
    return (
        f"namespace {name} is being deleted; nothing can be made in it\n"
        f"  fix: wait until it is gone: kubectl wait --for=delete namespace/{name} --timeout=5m"
    )


def _namespace_problem(namespace: Any, name: str, stack: str) -> str | None:
    own = unset("harbor.sharedNamespace", stack)
    if namespace is None:
        return (
            f"sovereign-harbor:harbor.sharedNamespace = true, but namespace {name} does not exist, "
            "and a shared one is made by those who live there\n"
            f"  fix: kubectl create namespace {name}\n"
            f"  or, for a namespace of Harbor's own, which this stack makes: {own}"
        )
    if dig(namespace, "metadata", "deletionTimestamp"):
        return is_being_deleted(name)
    labels: Mapping[str, str] = dig(namespace, "metadata", "labels") or {}
    if labels.get(PART_OF[0]) == PART_OF[1]:
        return (
            f"sovereign-harbor:harbor.sharedNamespace = true, but namespace {name} is this "
            f"program's own (label {PART_OF[0]}={PART_OF[1]}), and this stack would delete it from "
            "its state, with what it protects\n"
            f"  fix: {own}\n"
            "  or, if others came to live there: docs/howto/shared-namespace.md says how it is "
            "handed to them"
        )
    return None


# --- Names ---------------------------------------------------------------------------------------


def _name_problems(client: ClusterClient, settings: Settings, stack: str) -> Iterator[str]:
    namespace = settings.harbor.namespace
    others = [
        f"{kind} {name}"
        for kind, name in dict.fromkeys(objects(settings))
        if (there := client.get(path(kind, namespace, name)))
        if not is_ours(there, namespace)
    ]
    if others:
        yield (
            f"sovereign-harbor:harbor.namespace = {namespace}: others have objects there by names "
            f"that this stack's have, and would lose them: {', '.join(others)}\n"
            f"  fix: another namespace: {set_value('harbor.namespace', '<name>', stack)}\n"
            "  or have them renamed or removed by whoever made them"
        )


def path(kind: str, namespace: str, name: str) -> str:
    """Where the API server has that object."""
    plural = _PLURALS.get(kind, f"{kind.lower()}s")
    return f"{_APIS[kind]}/namespaces/{namespace}/{plural}/{name}"


def is_ours(there: Mapping[str, Any], namespace: str) -> bool:
    """Whether this program, Helm for its release, or a controller for an object of either made it.

    Claims of a StatefulSet have the labels by which it selects its pods, and outlive it.
    """
    metadata: Mapping[str, Any] = there.get("metadata") or {}
    labels: Mapping[str, str] = metadata.get("labels") or {}
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    owners: list[Mapping[str, Any]] = metadata.get("ownerReferences") or []
    of_helm = (
        annotations.get("meta.helm.sh/release-name"),
        annotations.get("meta.helm.sh/release-namespace"),
    )
    return (
        labels.get(PART_OF[0]) == PART_OF[1]
        or of_helm == (RELEASE, namespace)
        or annotations.get("cert-manager.io/certificate-name") == REGISTRY_CERTIFICATE
        or any((o.get("kind"), o.get("name")) == ("Cluster", CLUSTER) for o in owners)
        or (
            there.get("kind") == "PersistentVolumeClaim"
            and any(_selects(selector, labels) for selector in selectors())
        )
    )


def objects(settings: Settings) -> Iterator[tuple[str, str]]:
    """Kind and name of what this stack has in Harbor's namespace, besides the Secrets that are
    unsealed there. Pure."""
    yield "ConfigMap", CONFIG_MAP
    for given in ((), ("harborSecretKey",)):
        for namespace, name in plain_secrets.names(settings, given=frozenset(given)):
            if namespace == settings.harbor.namespace:
                yield from of_secret(settings, name)
    yield from _of_chart(settings)
    if settings.network_policies.enabled:
        for policy in network_policies(perimeter(settings, DATA_SERVICES)):
            yield policy.kind, policy.name
    if settings.harbor.disruption_budgets:
        for component in replicated(settings):
            yield "PodDisruptionBudget", f"{RELEASE}-{component}-drain"
    database = settings.database
    # Whoever adopts a Cluster says that it and what belongs to it is theirs.
    if isinstance(database, DedicatedDatabase) and not database.adopt:
        yield "Cluster", CLUSTER
        for suffix in ("rw", "ro", "r"):
            yield "Service", f"{CLUSTER}-{suffix}"
        for suffix in ("ca", "server", "replication"):
            yield "Secret", f"{CLUSTER}-{suffix}"
    if isinstance(settings.valkey, DedicatedValkey):
        yield "Service", valkey.NAME
        yield "StatefulSet", valkey.NAME
        yield "PersistentVolumeClaim", f"data-{valkey.NAME}-0"
    if settings.backup is not None:
        yield "ObjectStore", STORE
        yield "ScheduledBackup", STORE
    if settings.is_restored_from_elsewhere:
        yield "ObjectStore", SOURCE
    exposure = settings.exposure
    if isinstance(exposure, IngressExposure) and exposure.signed_by is not None:
        yield "Certificate", REGISTRY_CERTIFICATE
        yield "Secret", exposure.tls_secret_name
    yield from _of_monitoring(settings)


def of_secret(settings: Settings, name: str) -> Iterator[tuple[str, str]]:
    """Kind and name of what brings the Secret of that name. Pure."""
    if isinstance(settings.secrets, ExternalDelivery):
        yield "ExternalSecret", name
        if name not in _in_store(settings):
            yield "PushSecret", name
            yield "Secret", source_name(name)
    else:
        yield "SealedSecret", name


def _in_store(settings: Settings) -> set[str]:
    """The Secrets whose values only the estate's store has, so that none is pushed there."""
    sections = {SHARED_DATABASE: settings.database, SHARED_CACHE: settings.valkey}
    return {
        name
        for name, section in sections.items()
        if isinstance(section, SharedDatabase | SharedValkey)
        and isinstance(section.secret, StoreRef)
    }


def _of_chart(settings: Settings) -> Iterator[tuple[str, str]]:
    """What Harbor's chart makes for the release (both lines, tests/render/test_beside.py)."""
    trivy = ["trivy"] if settings.trivy.enabled else []
    exporter = ["exporter"] if settings.metrics.enabled else []
    for component in ("core", "jobservice", "portal", "registry", *exporter):
        yield "Deployment", f"{RELEASE}-{component}"
    for component in ("core", "jobservice", "portal", "registry", *trivy, *exporter):
        yield "Service", f"{RELEASE}-{component}"
    for component in ("core", "jobservice", "portal", "registry", "registryctl"):
        yield "ConfigMap", f"{RELEASE}-{component}"
    yield "ConfigMap", f"{RELEASE}-jobservice-env"
    for component in ("core", "jobservice", "registry", "registry-htpasswd", "registryctl", *trivy):
        yield "Secret", f"{RELEASE}-{component}"
    if exporter:
        yield "ConfigMap", f"{RELEASE}-exporter-env"
        yield "Secret", f"{RELEASE}-exporter"
    if trivy:
        yield "StatefulSet", f"{RELEASE}-trivy"
        for number in range(settings.harbor.replicas.trivy):
            yield "PersistentVolumeClaim", f"data-{RELEASE}-trivy-{number}"
    if not settings.storage.is_remote:
        yield "PersistentVolumeClaim", f"{RELEASE}-registry"
    if settings.metrics.service_monitor:
        yield "ServiceMonitor", RELEASE
    if isinstance(settings.exposure, GatewayExposure):
        yield "HTTPRoute", ROUTE
    else:
        yield "Ingress", f"{RELEASE}-ingress"


def _of_monitoring(settings: Settings) -> Iterator[tuple[str, str]]:
    section = settings.monitoring
    if not section.enabled:
        return
    if section.rules:
        yield "PrometheusRule", ALERTS
    if isinstance(settings.database, DedicatedDatabase):
        yield "PodMonitor", CLUSTER
    if section.recorded_metrics:
        yield "ConfigMap", RECORDED_METRICS_SERVER
        for kind in ("ConfigMap", "Deployment", "Service", "ServiceMonitor"):
            yield kind, RECORDED_METRICS
    if section.dashboard and section.dashboard_namespace in (None, settings.harbor.namespace):
        yield "ConfigMap", DASHBOARD


# --- Labels --------------------------------------------------------------------------------------


def selectors() -> list[Mapping[str, str]]:
    """Labels by which policies, Services and workloads of this stack select pods. Pure."""
    own = DATA_SERVICES
    return [HARBOR_PODS, own.database, own.cache, own.recorded_metrics]


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def _label_problems(client: ClusterClient, settings: Settings, stack: str) -> Iterator[str]:
    namespace = settings.harbor.namespace
    for selector in selectors():
        text = ",".join(f"{key}={value}" for key, value in selector.items())
        listed = client.get(
            f"/api/v1/namespaces/{namespace}/pods?labelSelector={quote(text, safe='')}"
        )
        pods: list[Mapping[str, Any]] = dig(listed, "items") or []
        others = [pod["metadata"]["name"] for pod in pods if not _is_our_pod(pod)]
        if others:
            yield (
                f"sovereign-harbor:harbor.namespace = {namespace}: pods of others there have the "
                f"labels {text}, by which this stack's policies and Services select: "
                f"{', '.join(others)}\n"
                f"  fix: another namespace: {set_value('harbor.namespace', '<name>', stack)}\n"
                "  or have whoever runs them take these labels away"
            )


def _is_our_pod(pod: Mapping[str, Any]) -> bool:
    """By its name, which its controller made of that of its workload.

    The names of the workloads are taken by this stack, or `_name_problems` says whose they are.
    """
    name = str(pod["metadata"]["name"])
    components = ("core", "jobservice", "portal", "registry", "trivy", "exporter")
    workloads = (
        *(f"{RELEASE}-{component}" for component in components),
        *(CLUSTER, valkey.NAME, RECORDED_METRICS),
    )
    return name.startswith(tuple(f"{workload}-" for workload in workloads))
