"""Rules over where things are: namespaces, networks, endpoints, protection. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policy.resource import (
    DATABASE,
    NAMESPACE,
    POD_PATHS,
    RELEASE,
    UNKNOWN,
    Problems,
    Resource,
    Sovereign,
    leaves,
)

_OF_LOGINS: Final = frozenset(
    {"SealedSecret", "ExternalSecret", "PushSecret", "Secret", "ServiceAccountPatch"}
)
"""Kinds that hand out a robot's login in the namespaces that its `pullSecret` names."""
_SCHEDULE: Final = "kubernetes:velero.io/v1:Schedule"
"""Velero reads it in its own namespace alone."""
_OF_TENANTS: Final = frozenset({"Database", "DatabaseRole", "SealedSecret"})
"""Kinds that stand beside the Cluster in which a database is made."""
_CLUSTER_SCOPED: Final = frozenset(
    {
        "Namespace",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "PersistentVolume",
        "StorageClass",
        "IngressClass",
        "GatewayClass",
        "PriorityClass",
        "RuntimeClass",
        "ClusterPolicy",
        "ValidatingPolicy",
        "MutatingPolicy",
        "GeneratingPolicy",
        "ImageValidatingPolicy",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ClusterIssuer",
        "CiliumClusterwideNetworkPolicy",
    }
)


def objects_are_at_home(resource: Resource, sovereign: Sovereign) -> Problems:
    """Nothing is written into a namespace that is not this Sovereign's."""
    if resource.type == RELEASE:
        namespace = resource.at("namespace")
    elif resource.is_kubernetes and resource.kind not in _CLUSTER_SCOPED:
        namespace = resource.at("metadata.namespace")
    else:
        return
    if namespace is UNKNOWN or namespace in sovereign.namespaces:
        return
    if resource.kind in _OF_LOGINS and namespace in sovereign.login_namespaces:
        return
    if resource.kind in _OF_TENANTS and namespace in sovereign.tenant_namespaces:
        return
    if resource.type == _SCHEDULE and namespace in sovereign.schedule_namespaces:
        return
    if _is_dashboard(resource) and namespace in sovereign.dashboard_namespaces:
        return
    allowed = ", ".join(sorted(sovereign.namespaces))
    what = f"namespace {namespace!r}" if namespace else "no namespace, so the context's default"
    yield f"it goes into {what}; this stack's are {allowed}"


def _is_dashboard(resource: Resource) -> bool:
    return resource.kind == "ConfigMap" and resource.at("metadata.labels.grafana_dashboard") == "1"


def networks_deny_by_default(
    resources: list[Resource], sovereign: Sovereign
) -> Iterator[tuple[Resource, str]]:
    """A NetworkPolicy denies by default in each namespace that this program makes, and one selects
    the pods of each workload that it writes. (Harbor's own pods are the chart's, unseen here.)"""
    if sovereign.sandbox:
        return
    by_namespace: dict[Any, list[Any]] = defaultdict(list)
    for resource in resources:
        if resource.kind == "NetworkPolicy":
            by_namespace[resource.at("metadata.namespace")].append(resource.at("spec", {}))
    for resource in resources:
        if resource.type == NAMESPACE:
            name = resource.at("metadata.name")
            policies = [*by_namespace[name], *by_namespace[UNKNOWN]]
            if name is not UNKNOWN and not any(map(_denies_by_default, policies)):
                yield resource, f"no NetworkPolicy denies by default in namespace {name!r}"
        labels = _pod_labels(resource)
        policies = [*by_namespace[resource.at("metadata.namespace")], *by_namespace[UNKNOWN]]
        if labels and not any(_selects(spec, labels) for spec in policies):
            yield resource, "no NetworkPolicy selects its pods"


def _denies_by_default(spec: Any) -> bool:
    if spec is UNKNOWN:
        return True
    both = {"Ingress", "Egress"} <= set(spec.get("policyTypes") or ())
    return both and not spec.get("ingress") and not spec.get("egress")


def _pod_labels(resource: Resource) -> Mapping[str, Any]:
    """The labels of its pods, as far as they are known; none for what has no pods."""
    if resource.type == DATABASE:
        return {"cnpg.io/cluster": resource.at("metadata.name")}
    is_workload = resource.is_kubernetes and resource.kind in POD_PATHS and resource.kind != "Pod"
    labels = resource.at("spec.template.metadata.labels", {}) if is_workload else {}
    return {} if labels is UNKNOWN else labels


def _selects(spec: Any, labels: Mapping[str, Any]) -> bool:
    if spec is UNKNOWN:
        return True
    selector = spec.get("podSelector") or {}
    if selector is UNKNOWN or selector.get("matchExpressions"):
        return True  # not known yet, or by expressions, which are not evaluated here
    selected: Mapping[str, Any] = selector.get("matchLabels") or {}
    return all(labels.get(key) in (value, UNKNOWN) for key, value in selected.items())


def public_endpoints_have_tls(resource: Resource, sovereign: Sovereign) -> Problems:
    """What clients outside connect to, and what this program connects to outside, is https."""
    if resource.type == RELEASE:
        url = resource.at("values.externalURL", "")
        if url is not UNKNOWN and str(url).lower().startswith("http://"):
            yield "values.externalURL is not https"
    if resource.kind == "Ingress" and resource.is_kubernetes and not resource.at("spec.tls"):
        yield "an Ingress without spec.tls"
    if resource.kind == "Gateway" and resource.is_kubernetes:
        listeners = resource.at("spec.listeners", [])
        for listener in [] if listeners is UNKNOWN else listeners:
            if listener is not UNKNOWN and listener.get("protocol") in ("HTTP", "TCP"):
                yield f"listener {listener.get('name')!r} speaks {listener['protocol']}"
    if sovereign.sandbox:
        return
    for path, value in leaves(resource.props):
        plain = isinstance(value, str) and value.lower().startswith("http://")
        if plain and path[-1].lower() in ("endpoint", "regionendpoint", "endpointurl"):
            yield f"{'.'.join(path)} is not https"


def data_is_protected(resource: Resource, sovereign: Sovereign) -> Problems:
    """What holds data cannot be deleted or replaced by a run."""
    if holds_data(resource.type) and not resource.protected and not sovereign.sandbox:
        yield "it holds data and is not protected (protect: true, which is the default)"


_DATA: Final[Mapping[str, str]] = {
    NAMESPACE: "everything in it",
    DATABASE: "projects, users and tags",
    "kubernetes:core/v1:PersistentVolumeClaim": "what is on the volume",
}
# Last part of the type of a bucket or container, of any provider.
_STORES: Final = frozenset({"S3Bucket", "Bucket", "BucketV2", "StorageAccount", "BlobContainer"})


def holds_data(type_: str) -> str:
    """What a resource of this type holds that cannot be made again; empty when nothing."""
    return "the images" if type_.rpartition(":")[2] in _STORES else _DATA.get(type_, "")


def data_touched(type_: str, name: str, props: Mapping[str, Any]) -> str:
    """Like holds_data, and for queues and encryption keys, which are rebuilt only with loss."""
    if type_ == "kubernetes:apps/v1:StatefulSet":
        spec = props.get("spec", {})
        # As long as a preview does not know the spec, there may be claims in it.
        has_claims = not isinstance(spec, Mapping) or spec.get("volumeClaimTemplates")
        return "what is on its volumes" if has_claims else ""
    if type_ == "random:index/randomPassword:RandomPassword" and name.endswith("secret-key"):
        return "the key that encrypts robot secrets and replication passwords in the database"
    return holds_data(type_)
