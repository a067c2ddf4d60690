"""The stack config of one Sovereign, typed and frozen. Pure: stack_config.py reads it from Pulumi.

Each section is one file and one field of Settings.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import model_validator

from components.registry_address import RegistryAddress
from components.settings import cross
from components.settings.cluster import ClusterSettings
from components.settings.database import DatabaseSettings, DedicatedDatabase
from components.settings.dns import DnsSettings, NoDns
from components.settings.exposure import ExposureSettings, GatewayExposure
from components.settings.harbor import HarborSettings
from components.settings.image_policy import ImagePolicySettings
from components.settings.image_registry import IMAGE_REGISTRY
from components.settings.metrics import MetricsSettings
from components.settings.network_policies import NetworkPoliciesSettings
from components.settings.proxy_projects import PROXY_PROJECTS
from components.settings.registry.section import RegistrySettings
from components.settings.rotation import RotationSettings
from components.settings.schema.rules import FQDN, Section, refuse
from components.settings.sealing import SealingSettings
from components.settings.storage.section import StorageSettings
from components.settings.trivy import TrivySettings
from components.settings.valkey import DedicatedValkey, ValkeySettings


class Settings(Section):
    """The stack config of one Sovereign. An instance is valid, across sections too."""

    fqdn: Annotated[str, FQDN]
    """The Sovereign's domain; its registry answers at registry.<fqdn>, unless exposure.host
    says another host."""
    sandbox: bool = False
    """The local sandbox: http endpoints, short keys and ${SANDBOX_…} references are allowed."""
    protect: bool = True
    """Refuse to delete or replace what holds data: bucket, database, namespace, stored keys."""
    retain_data: bool = True
    """Leave bucket, database and namespace in place when the stack is destroyed."""
    image_registry: Annotated[str, IMAGE_REGISTRY] | None = None
    """Registry, or a place in one, from which all images of Harbor, its database and its cache are
    pulled: it replaces the host in each name. Each image's own registry when unset."""
    cluster: ClusterSettings = ClusterSettings()
    """Which cluster this stack may touch."""
    storage: StorageSettings
    """Where images are kept."""
    sealing: SealingSettings = SealingSettings()
    """How Secrets are sealed for the cluster."""
    harbor: HarborSettings = HarborSettings()
    """Harbor's Helm release."""
    database: DatabaseSettings = DedicatedDatabase()
    """Harbor's PostgreSQL."""
    valkey: ValkeySettings = DedicatedValkey()
    """Harbor's cache and job queue."""
    exposure: ExposureSettings = GatewayExposure()
    """How the registry's host reaches Harbor."""
    dns: DnsSettings = NoDns()
    """Who writes the registry's address records."""
    network_policies: NetworkPoliciesSettings = NetworkPoliciesSettings()
    """Who may talk to Harbor's pods, and to whom they may."""
    image_policy: ImagePolicySettings = ImagePolicySettings()
    """Whose images may run in the cluster."""
    trivy: TrivySettings = TrivySettings()
    """Harbor's vulnerability scanner."""
    registry: RegistrySettings = RegistrySettings()
    """What Harbor holds beside images: projects, caches, mirrors, robots, schedules, login."""
    metrics: MetricsSettings = MetricsSettings()
    """Metrics for Prometheus."""
    rotation: RotationSettings = RotationSettings()
    """One number per minted credential; raising it mints a new value."""

    @property
    def registry_address(self) -> RegistryAddress:
        """Where the registry answers."""
        return RegistryAddress(self.fqdn, self.exposure.host)

    @property
    def rewritten_hosts(self) -> Mapping[str, str]:
        """Upstream registry → Harbor project through which new pods pull its images."""
        given = self.image_policy.rewrite.projects
        if given is not None:
            return given
        return self.registry.cached_hosts if self.registry.enabled else PROXY_PROJECTS

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        sections = {name: getattr(self, name) for name in type(self).model_fields}
        for problem in cross.problems(sections):
            refuse(f"{'.'.join(map(str, problem.path))}: {problem.reason}")
        return self


def update_strategy(settings: Settings) -> str:
    """How pods of registry and jobservice are replaced.

    On a volume that mounts on one node only, RollingUpdate would block: the new pod waits for the
    volume that the old pod holds on another node, the old pod for the new one's readiness.
    """
    default = "Recreate" if settings.storage.mounts_on_one_node else "RollingUpdate"
    return settings.harbor.update_strategy or default


def max_open_connections(settings: Settings) -> int:
    """Harbor's maxOpenConns: what the database has left, divided by the pods that use it."""
    return cross.connections_per_pod(settings.database, settings.harbor.replicas)
