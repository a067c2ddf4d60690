"""Whether the cluster has what this stack needs: kinds, controllers, namespaces."""

from __future__ import annotations

from dataclasses import dataclass

from components.image_policy.require_harbor import API_VERSIONS
from components.kubernetes.client import ClusterClient
from components.kubernetes.naming import SEAM_NAMESPACE
from components.settings.database import DedicatedDatabase
from components.settings.exposure import GatewayExposure
from components.settings.model import Settings
from components.settings.network_policies import CiliumGateway


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """Something that the cluster must have: its API server answers at `path` when it is there."""

    path: str
    what: str
    remedy: str


def requirements(settings: Settings) -> list[Requirement]:
    """What this stack's settings need of the cluster."""
    sealing = settings.sealing
    controller = f"{sealing.controller_namespace}/services/{sealing.controller_name}"
    needed = [
        Requirement(
            path="/apis/bitnami.com/v1alpha1",
            what="the SealedSecret kind (bitnami.com/v1alpha1)",
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
    needed += _perimeter_requirements(settings)
    if isinstance(settings.database, DedicatedDatabase):
        needed.append(
            Requirement(
                path="/apis/postgresql.cnpg.io/v1",
                what="CloudNativePG (postgresql.cnpg.io/v1)",
                remedy="install the operator (https://cloudnative-pg.io), or set database.mode "
                "shared",
            )
        )
    if settings.image_policy.enabled:
        served = API_VERSIONS[settings.image_policy.kind]
        needed.append(
            Requirement(
                path=f"/apis/{served}",
                what=f"Kyverno's {settings.image_policy.kind} ({served})",
                remedy="install Kyverno 1.18 or later (https://kyverno.io), or set "
                "imagePolicy.enabled false",
            )
        )
    if settings.storage.has_seam:
        needed.append(
            Requirement(
                path=f"/api/v1/namespaces/{SEAM_NAMESPACE}",
                what=f"namespace {SEAM_NAMESPACE}, where the storage seam's Secret goes",
                remedy=f"kubectl create namespace {SEAM_NAMESPACE}, or install Flux",
            )
        )
    return needed


def _perimeter_requirements(settings: Settings) -> list[Requirement]:
    """What exposure, network policies and metrics need."""
    needed: list[Requirement] = []
    exposure, policies = settings.exposure, settings.network_policies
    if isinstance(exposure, GatewayExposure):
        needed.append(
            Requirement(
                path="/apis/gateway.networking.k8s.io/v1",
                what="Gateway API (gateway.networking.k8s.io/v1)",
                remedy="install its CRDs: "
                "https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api",
            )
        )
    if exposure.needs_cert_manager:
        needed.append(
            Requirement(
                path="/apis/cert-manager.io/v1",
                what="cert-manager (cert-manager.io/v1)",
                remedy="install it (https://cert-manager.io), or bring the certificate's Secret "
                "and leave the issuer out of `exposure`",
            )
        )
    if policies.enabled and isinstance(policies.gateway, CiliumGateway):
        needed.append(
            Requirement(
                path="/apis/cilium.io/v2",
                what="Cilium (cilium.io/v2)",
                remedy="set networkPolicies.gateway.kind namespace, and "
                "networkPolicies.gateway.namespace to where the gateway's pods run",
            )
        )
    if settings.metrics.service_monitor:
        needed.append(
            Requirement(
                path="/apis/monitoring.coreos.com/v1",
                what="the Prometheus operator (monitoring.coreos.com/v1)",
                remedy="install it, or set metrics.serviceMonitor false",
            )
        )
    return needed


def problems(client: ClusterClient, settings: Settings) -> list[str]:
    """What the cluster lacks, and how to get it. Raises ClusterUnreachable."""
    return [
        f"missing: {requirement.what}\n  fix: {requirement.remedy}"
        for requirement in requirements(settings)
        if client.get(requirement.path) is None
    ]
