"""Whether the cluster has what this stack needs: kinds, controllers, namespaces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.commands import for_stack, run, set_value, unset
from components.image_policy import rewrite
from components.image_policy.require_harbor import API_VERSIONS
from components.image_policy.signatures import KINDS
from components.kubernetes.client import ClusterClient, dig
from components.preflight import secret_store
from components.settings.database import DedicatedDatabase
from components.settings.exposure import GatewayExposure, ParentRef
from components.settings.image_policy import ImagePolicySettings
from components.settings.model import Settings
from components.settings.network_policies import NamespaceGateway
from components.settings.reading.refusals import dotted
from components.settings.registry.section import RegistrySettings
from components.settings.secrets import ExternalDelivery
from components.settings.storage.base import BucketSettings


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """Something that the cluster must have.

    Its API server answers at `path` when it is there. With `kind`, `path` is an API version, and
    the answer lists that kind: a version is served as long as one of its kinds is. With `contains`
    the answer has that word somewhere.
    """

    path: str
    what: str
    remedy: str
    kind: str | None = None
    contains: str | None = None

    def is_met(self, client: ClusterClient) -> bool:
        """Raises ClusterUnreachable."""
        answer = client.get(self.path)
        if answer is not None and self.contains is not None:
            return self.contains in json.dumps(answer)
        if answer is None or self.kind is None:
            return answer is not None
        return any(served["kind"] == self.kind for served in answer.get("resources", []))


def kinds(api_version: str, *names: str, of: str, remedy: str) -> list[Requirement]:
    """Kinds of one API version, which the software `of` brings."""
    return [
        Requirement(
            path=f"/apis/{api_version}",
            kind=name,
            what=f"{of}'s kind {name} ({api_version})",
            remedy=f"{remedy}\n  if it was there before, its objects went with it: "
            f"{run('up')} --refresh makes them again",
        )
        for name in names
    ]


def requirements(settings: Settings) -> list[Requirement]:
    """What this stack's settings need of the cluster."""
    needed = _delivery_requirements(settings)
    needed += _perimeter_requirements(settings)
    if isinstance(settings.database, DedicatedDatabase):
        needed += kinds(
            "postgresql.cnpg.io/v1",
            "Cluster",
            of="CloudNativePG",
            remedy="install the operator (https://cloudnative-pg.io), or set database.mode shared",
        )
    needed += _backup_requirements(settings)
    for api_version, kind in policy_kinds(settings.image_policy):
        needed += kinds(
            api_version,
            kind,
            of="Kyverno",
            remedy="install Kyverno 1.18 or later (https://kyverno.io), or set "
            "imagePolicy.enabled false",
        )
    if isinstance(settings.storage, BucketSettings):
        namespace = settings.storage.seam_namespace
        needed.append(
            Requirement(
                path=f"/api/v1/namespaces/{namespace}",
                what=f"namespace {namespace}, where the storage seam's Secret goes",
                remedy=f"kubectl create namespace {namespace}, or set storage.seamNamespace to one "
                "that exists",
            )
        )
    return needed + _login_requirements(settings.registry)


def _delivery_requirements(settings: Settings) -> list[Requirement]:
    """What makes Secrets: the sealed-secrets controller, or the External Secrets Operator."""
    if isinstance(settings.secrets, ExternalDelivery):
        remedy = (
            "install the External Secrets Operator, 0.16 or later (https://external-secrets.io), "
            f"or have Secrets sealed: {unset('secrets')}"
        )
        of = "the External Secrets Operator"
        return [
            *kinds("external-secrets.io/v1", "ExternalSecret", of=of, remedy=remedy),
            *kinds("external-secrets.io/v1alpha1", "PushSecret", of=of, remedy=remedy),
        ]
    sealing = settings.sealing
    controller = f"{sealing.controller_namespace}/services/{sealing.controller_name}"
    return [
        *kinds(
            "bitnami.com/v1alpha1",
            "SealedSecret",
            of="sealed-secrets",
            remedy="install the sealed-secrets controller: "
            "https://github.com/bitnami-labs/sealed-secrets#installation",
        ),
        Requirement(
            path=f"/api/v1/namespaces/{controller}",
            what=f"the sealed-secrets controller's Service {sealing.controller_name} in namespace "
            f"{sealing.controller_namespace}",
            remedy="set sealing.controllerNamespace and sealing.controllerName to where it runs "
            "(its chart's fullnameOverride decides the name)",
        ),
    ]


def _backup_requirements(settings: Settings) -> list[Requirement]:
    """What backs up the database and the namespace, or restores the database."""
    if settings.backup is None and settings.restore_source is None:
        return []
    asking = "backup" if settings.backup is not None else "database.restore"
    needed = [
        *kinds(
            "barmancloud.cnpg.io/v1",
            "ObjectStore",
            of="the Barman Cloud plugin of CloudNativePG",
            remedy="install it beside CloudNativePG 1.26 or later "
            f"(https://cloudnative-pg.io/plugin-barman-cloud/), or remove {asking}",
        ),
        Requirement(
            path="/openapi/v3/apis/postgresql.cnpg.io/v1",
            contains="isWALArchiver",
            what="CloudNativePG 1.26 or later: its Cluster knows no plugin that archives "
            "(spec.plugins[].isWALArchiver)",
            remedy=f"upgrade the operator (https://cloudnative-pg.io), or remove {asking}",
        ),
    ]
    if settings.backup is None:
        return needed
    needed += kinds(
        "postgresql.cnpg.io/v1",
        "ScheduledBackup",
        of="CloudNativePG",
        remedy="upgrade the operator (https://cloudnative-pg.io), or remove backup",
    )
    velero = settings.backup.velero
    if velero.enabled:
        off = "or set backup.velero.enabled false"
        needed += kinds(
            "velero.io/v1",
            "Schedule",
            of="Velero",
            remedy=f"install it (https://velero.io), {off}",
        )
        location = f"/apis/velero.io/v1/namespaces/{velero.namespace}/backupstoragelocations"
        needed.append(
            Requirement(
                path=f"{location}/{velero.storage_location}",
                what=f"Velero's BackupStorageLocation {velero.storage_location} in namespace "
                f"{velero.namespace}",
                remedy="set backup.velero.namespace and backup.velero.storageLocation to one of "
                f"kubectl get backupstoragelocations -A, {off}",
            )
        )
    return needed


def _login_requirements(registry: RegistrySettings) -> list[Requirement]:
    """Where the logins of robots go, and whose pods pull with them."""
    needed: dict[str, Requirement] = {}
    for robot in registry.all_robots if registry.enabled else ():
        pull_secret = robot.settings.pull_secret
        if pull_secret is None:
            continue
        key = dotted((*robot.path, "pullSecret"))
        for namespace in pull_secret.namespaces:
            path = f"/api/v1/namespaces/{namespace}"
            needed[path] = Requirement(
                path=path,
                what=f"namespace {namespace}, where the login of robot {robot.name} goes",
                remedy=f"kubectl create namespace {namespace}, or remove it from {key}.namespaces",
            )
            for account in pull_secret.service_accounts.get(namespace, ()):
                path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"
                needed[path] = Requirement(
                    path=path,
                    what=f"ServiceAccount {account} in namespace {namespace}",
                    remedy=f"make it, or remove it from {key}.serviceAccounts",
                )
    return list(needed.values())


def policy_kinds(policy: ImagePolicySettings) -> list[tuple[str, str]]:
    """API version and kind of the policies that these settings ask for."""
    if not policy.enabled:
        return []
    served = API_VERSIONS[policy.kind]
    asked = [(served, policy.kind)]
    if policy.signatures is not None and KINDS[policy.kind] != policy.kind:
        asked.append((served, KINDS[policy.kind]))
    if policy.rewrite.enabled:
        asked.append((rewrite.API_VERSION, rewrite.KIND))
    return asked


def _perimeter_requirements(settings: Settings) -> list[Requirement]:
    """What exposure, network policies and metrics need."""
    needed: list[Requirement] = []
    exposure, policies = settings.exposure, settings.network_policies
    needed += _exposure_requirements(settings)
    if isinstance(exposure, GatewayExposure):
        needed += kinds(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            of="Gateway API",
            remedy="install its CRDs: "
            "https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api",
        )
    if exposure.needs_cert_manager:
        needed += kinds(
            "cert-manager.io/v1",
            "Certificate",
            of="cert-manager",
            remedy="install it (https://cert-manager.io), or bring the certificate's Secret "
            "and leave the issuer out of `exposure`",
        )
    if policies.enabled and policies.is_cilium:
        needed += kinds(
            "cilium.io/v2",
            "CiliumNetworkPolicy",
            of="Cilium",
            remedy="set networkPolicies.gateway.kind namespace, and "
            "networkPolicies.gateway.namespace to where the gateway's pods run; and remove "
            "networkPolicies.cni",
        )
    if policies.enabled and isinstance(policies.gateway, NamespaceGateway):
        needed.append(
            Requirement(
                path=f"/api/v1/namespaces/{policies.gateway.namespace}",
                what=f"namespace {policies.gateway.namespace}, from which alone the policies let "
                "clients through to Harbor",
                remedy="set networkPolicies.gateway.namespace to where the gateway's pods run",
            )
        )
    if settings.metrics.service_monitor:
        needed += kinds(
            "monitoring.coreos.com/v1",
            "ServiceMonitor",
            of="the Prometheus operator",
            remedy="install it, or set metrics.serviceMonitor false",
        )
    return needed + _monitoring_requirements(settings)


def _monitoring_requirements(settings: Settings) -> list[Requirement]:
    """What the section `monitoring` needs: kinds of the Prometheus operator, and a namespace."""
    section = settings.monitoring
    if not section.enabled:
        return []
    off = set_value("monitoring.enabled", "false")
    needed: list[Requirement] = []
    if section.rules:
        needed += kinds(
            "monitoring.coreos.com/v1",
            "PrometheusRule",
            of="the Prometheus operator",
            remedy="install the operator with its CRDs (https://prometheus-operator.dev), or go "
            f"without alerts: {set_value('monitoring.rules', 'false')}",
        )
    if isinstance(settings.database, DedicatedDatabase):
        needed += kinds(
            "monitoring.coreos.com/v1",
            "PodMonitor",
            of="the Prometheus operator",
            remedy="install the operator with its CRDs (https://prometheus-operator.dev), or go "
            f"without monitoring: {off}",
        )
    policies = settings.network_policies
    if policies.enabled:
        needed.append(
            Requirement(
                path=f"/api/v1/namespaces/{policies.monitoring_namespace}",
                what=f"namespace {policies.monitoring_namespace}, from which alone the policies "
                "let Prometheus through to Harbor's metrics",
                remedy="set networkPolicies.monitoringNamespace to where Prometheus runs "
                "(kubectl get prometheus -A)",
            )
        )
    if section.dashboard and section.dashboard_namespace is not None:
        namespace = section.dashboard_namespace
        needed.append(
            Requirement(
                path=f"/api/v1/namespaces/{namespace}",
                what=f"namespace {namespace}, where the dashboard goes "
                "(monitoring.dashboardNamespace)",
                remedy="set it to the namespace of Grafana, or remove it, where Grafana's sidecar "
                "looks in all namespaces",
            )
        )
    return needed


def _exposure_requirements(settings: Settings) -> list[Requirement]:
    """What the section `exposure` names: a route, an Ingress or a certificate that refers to
    something missing is accepted by the API server, and never works."""
    exposure, namespace = settings.exposure, settings.harbor.namespace
    needed: list[Requirement] = []
    if isinstance(exposure, GatewayExposure):
        for index, ref in enumerate(exposure.parent_refs):
            needed.append(
                Requirement(
                    path=_gateway_path(ref),
                    what=f"Gateway {ref.name} in namespace {ref.namespace} "
                    f"(exposure.parentRefs[{index}])",
                    remedy="kubectl get gateways -A shows those that exist; set the name and "
                    "namespace of one, or make it",
                )
            )
        certificate = exposure.certificate
        issuer = certificate.signed_by if certificate else None
        signs_in = (certificate and certificate.namespace) or exposure.parent_refs[0].namespace
        if certificate is not None and certificate.namespace is not None:
            needed.append(
                Requirement(
                    path=f"/api/v1/namespaces/{certificate.namespace}",
                    what=f"namespace {certificate.namespace} (exposure.certificate.namespace)",
                    remedy="set it to the Gateway's namespace, where its listener looks for the "
                    "certificate's Secret",
                )
            )
    else:
        issuer, signs_in = exposure.signed_by, namespace
        needed.append(
            Requirement(
                path=f"/apis/networking.k8s.io/v1/ingressclasses/{exposure.class_name}",
                what=f"IngressClass {exposure.class_name} (exposure.className)",
                remedy="kubectl get ingressclasses shows those that exist",
            )
        )
        if issuer is None:
            name = exposure.tls_secret_name
            needed.append(
                Requirement(
                    path=f"/api/v1/namespaces/{namespace}/secrets/{name}",
                    what=f"Secret {name} in namespace {namespace} (exposure.tlsSecret)",
                    remedy=f"kubectl create namespace {namespace}; kubectl create secret tls "
                    f"{name} -n {namespace} --cert=<file> --key=<file>; or let cert-manager make "
                    "it: exposure.clusterIssuer",
                )
            )
    if issuer is not None and issuer.group == "cert-manager.io":
        is_everywhere = issuer.kind == "ClusterIssuer"
        issuers = "clusterissuers" if is_everywhere else f"namespaces/{signs_in}/issuers"
        where = "" if is_everywhere else f" in namespace {signs_in}"
        needed.append(
            Requirement(
                path=f"/apis/cert-manager.io/v1/{issuers}/{issuer.name}",
                what=f"{issuer.kind} {issuer.name}{where}",
                remedy="kubectl get clusterissuers, and kubectl get issuers -A, show those that "
                "exist",
            )
        )
    return needed


def _gateway_path(ref: ParentRef) -> str:
    # XListenerSet is the experimental form of ListenerSet, in a group of its own.
    is_experimental = ref.kind == "XListenerSet"
    group = f"gateway.networking.{'x-k8s.io/v1alpha1' if is_experimental else 'k8s.io/v1'}"
    return f"/apis/{group}/namespaces/{ref.namespace}/{ref.kind.lower()}s/{ref.name}"


def listener_problem(
    gateway: Mapping[str, Any], ref: ParentRef, *, host: str, namespace: str
) -> str | None:
    """Why a listener of a Gateway will not take the route of `host`, from Harbor's `namespace`.

    A listener that selects namespaces by labels is not judged. Pure.
    """
    listeners: list[Mapping[str, Any]] = dig(gateway, "spec", "listeners") or []
    names = [listener["name"] for listener in listeners]
    if not names:
        return None
    if ref.section_name not in names:
        return f"has no listener {ref.section_name}; it has {', '.join(names)}"
    listener = listeners[names.index(ref.section_name)]
    # HTTP too: TLS may end at a load balancer in front of the Gateway.
    if listener.get("protocol") not in ("HTTPS", "HTTP"):
        return f"speaks {listener.get('protocol')} on listener {ref.section_name}, not HTTPS"
    served: str = listener.get("hostname") or host
    if served != host and not (served.startswith("*.") and host.endswith(served[1:])):
        return f"serves {served} on listener {ref.section_name}, not {host}"
    allowed = dig(listener, "allowedRoutes", "namespaces", "from") or "Same"
    if allowed == "None" or (allowed == "Same" and ref.namespace != namespace):
        return (
            f"takes no route of namespace {namespace} on listener {ref.section_name} "
            f"(allowedRoutes.namespaces.from {allowed})"
        )
    return None


def problems(client: ClusterClient, settings: Settings) -> list[str]:
    """What the cluster lacks, and how to get it. Raises ClusterUnreachable."""
    return [
        *(
            for_stack(
                f"missing: {requirement.what}\n  fix: {requirement.remedy}", pulumi.get_stack()
            )
            for requirement in requirements(settings)
            if not requirement.is_met(client)
        ),
        *_listener_problems(client, settings),
        *secret_store.problems(client, settings),
    ]


def _listener_problems(client: ClusterClient, settings: Settings) -> Iterator[str]:
    if not isinstance(settings.exposure, GatewayExposure):
        return
    host, namespace = settings.registry_address.host, settings.harbor.namespace
    for index, ref in enumerate(settings.exposure.parent_refs):
        gateway = client.get(_gateway_path(ref))
        reason = listener_problem(gateway or {}, ref, host=host, namespace=namespace)
        if reason is not None:
            yield (
                f"sovereign-harbor:exposure.parentRefs[{index}]: Gateway {ref.name} in namespace "
                f"{ref.namespace} {reason}: the registry's route would not be accepted\n"
                "  fix: change the Gateway, or name another listener: "
                + set_value(
                    f"exposure.parentRefs[{index}].sectionName", "<listener>", pulumi.get_stack()
                )
            )
