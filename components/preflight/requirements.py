"""Whether the cluster has what this stack needs: kinds, controllers, namespaces."""

from __future__ import annotations

from dataclasses import dataclass

from components.image_policy import rewrite
from components.image_policy.require_harbor import API_VERSIONS
from components.image_policy.signatures import KINDS
from components.kubernetes.client import ClusterClient
from components.settings.database import DedicatedDatabase
from components.settings.exposure import GatewayExposure
from components.settings.image_policy import ImagePolicySettings
from components.settings.model import Settings
from components.settings.storage.base import BucketSettings


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """Something that the cluster must have.

    Its API server answers at `path` when it is there. With `kind`, `path` is an API version, and
    the answer lists that kind: a version is served as long as one of its kinds is.
    """

    path: str
    what: str
    remedy: str
    kind: str | None = None

    def is_met(self, client: ClusterClient) -> bool:
        """Raises ClusterUnreachable."""
        answer = client.get(self.path)
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
            "pulumi up --refresh makes them again",
        )
        for name in names
    ]


def requirements(settings: Settings) -> list[Requirement]:
    """What this stack's settings need of the cluster."""
    sealing = settings.sealing
    controller = f"{sealing.controller_namespace}/services/{sealing.controller_name}"
    needed = [
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
    needed += _perimeter_requirements(settings)
    if isinstance(settings.database, DedicatedDatabase):
        needed += kinds(
            "postgresql.cnpg.io/v1",
            "Cluster",
            of="CloudNativePG",
            remedy="install the operator (https://cloudnative-pg.io), or set database.mode shared",
        )
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
    return needed


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
    if settings.metrics.service_monitor:
        needed += kinds(
            "monitoring.coreos.com/v1",
            "ServiceMonitor",
            of="the Prometheus operator",
            remedy="install it, or set metrics.serviceMonitor false",
        )
    return needed


def problems(client: ClusterClient, settings: Settings) -> list[str]:
    """What the cluster lacks, and how to get it. Raises ClusterUnreachable."""
    return [
        f"missing: {requirement.what}\n  fix: {requirement.remedy}"
        for requirement in requirements(settings)
        if not requirement.is_met(client)
    ]
