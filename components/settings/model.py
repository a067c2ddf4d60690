"""The stack config of one Sovereign, typed and frozen. Pure: stack_config.py reads it from Pulumi.

Each section is one file and one field of Settings.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self, cast

from pydantic import model_validator

from components.registry_address import RegistryAddress
from components.settings import profiles
from components.settings.backup import BackupSettings, DestinationSettings
from components.settings.cluster import ClusterSettings
from components.settings.cross import backup as backup_rules
from components.settings.cross.database import connections_per_pod
from components.settings.cross.every_rule import problems_between
from components.settings.database import DatabaseSettings, DedicatedDatabase
from components.settings.dns import DnsSettings, NoDns
from components.settings.exposure import ExposureSettings, GatewayExposure
from components.settings.harbor import HarborSettings
from components.settings.image_policy import ImagePolicySettings
from components.settings.image_registry import IMAGE_REGISTRY
from components.settings.metrics import MetricsSettings
from components.settings.monitoring import MonitoringSettings
from components.settings.network_policies import NetworkPoliciesSettings
from components.settings.profiles import DEFAULT, Profile
from components.settings.proxy_projects import PROXY_PROJECTS
from components.settings.registry.section import RegistrySettings
from components.settings.rotation import RotationSettings
from components.settings.schema.rules import FQDN, Section, refuse
from components.settings.sealing import SealingSettings
from components.settings.secrets import SealedDelivery, SecretsSettings
from components.settings.storage.section import StorageSettings
from components.settings.trivy import TrivySettings
from components.settings.valkey import DedicatedValkey, ValkeySettings


class Settings(Section):
    """The stack config of one Sovereign. An instance is valid, across sections too."""

    fqdn: Annotated[str, FQDN]
    """The Sovereign's domain; its registry answers at registry.<fqdn>, unless exposure.host
    says another host."""
    profile: Profile = DEFAULT
    """How much Harbor, its database and its cache ask for, and what of them can fail: defaults of
    replicas, disruption budgets, spread, instances and resources. Single settings win."""
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
    secrets: SecretsSettings = SealedDelivery()
    """How Secrets reach the cluster: sealed, or by way of the estate's secret store."""
    harbor: HarborSettings = HarborSettings()
    """Harbor's Helm release."""
    database: DatabaseSettings = DedicatedDatabase()
    """Harbor's PostgreSQL."""
    backup: BackupSettings | None = None
    """Backups of Harbor's database; none when left out."""
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
    monitoring: MonitoringSettings = MonitoringSettings()
    """Alerts and a dashboard."""
    rotation: RotationSettings = RotationSettings()
    """One number per minted credential; raising it mints a new value."""

    @property
    def registry_address(self) -> RegistryAddress:
        """Where the registry answers."""
        return RegistryAddress(self.fqdn, self.exposure.host)

    @property
    def restore_source(self) -> DestinationSettings | None:
        """Where the backups are from which the database is made; None without database.restore."""
        return backup_rules.restore_source(self.database, self.backup)

    @property
    def is_restored_from_elsewhere(self) -> bool:
        """Whether the database is made from a backup in another place than it archives to."""
        source, backup = self.restore_source, self.backup
        is_destination = backup is not None and _is_same_place(source, backup.destination)
        return source is not None and not is_destination

    @property
    def restored_server(self) -> str | None:
        """Name under which the restored database archives; None without database.restore."""
        source, database = self.restore_source, self.database
        if source is None or not isinstance(database, DedicatedDatabase) or not database.restore:
            return None
        return database.restore.server_after(source)

    @property
    def rewritten_hosts(self) -> Mapping[str, str]:
        """Upstream registry → Harbor project through which new pods pull its images."""
        given = self.image_policy.rewrite.projects
        if given is not None:
            return given
        return self.registry.cached_hosts if self.registry.enabled else PROXY_PROJECTS

    @model_validator(mode="before")
    @classmethod
    def _has_its_profile_s_defaults(cls, value: Any) -> Any:
        """For Python callers; refusals.py fills in each section that it reads."""
        if not isinstance(value, dict):
            return value
        raw = cast("dict[str, Any]", value)
        profile = profiles.of(raw)
        sections = {
            key: profiles.with_defaults(profile, key, raw.get(key)) for key in profiles.SECTIONS
        }
        return {**raw, **{key: section for key, section in sections.items() if section is not None}}

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        sections = {name: getattr(self, name) for name in type(self).model_fields}
        for problem in problems_between(sections):
            refuse(f"{'.'.join(map(str, problem.path))}: {problem.reason}")
        return self


def _is_same_place(one: DestinationSettings | None, other: DestinationSettings) -> bool:
    """Whether both name the same folder of the same bucket."""
    return one is not None and (one.endpoint, one.bucket, one.prefix) == (
        other.endpoint,
        other.bucket,
        other.prefix,
    )


def update_strategy(settings: Settings) -> str:
    """How pods of registry and jobservice are replaced.

    On a volume that mounts on one node only, RollingUpdate would block: the new pod waits for the
    volume that the old pod holds on another node, the old pod for the new one's readiness.
    """
    default = "Recreate" if settings.storage.mounts_on_one_node else "RollingUpdate"
    return settings.harbor.update_strategy or default


def max_open_connections(settings: Settings) -> int:
    """Harbor's maxOpenConns: what the database has left, divided by the pods that use it."""
    return connections_per_pod(settings.database, settings.harbor.replicas)
