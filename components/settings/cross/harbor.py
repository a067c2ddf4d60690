"""Rules between Harbor's own sections, its cluster and its storage. Pure."""

from collections.abc import Iterator
from typing import Final

from components import harbor_lines
from components.registry_address import RegistryAddress
from components.settings.cluster import ClusterSettings
from components.settings.database import (
    DatabaseSettings,
    DedicatedDatabase,
)
from components.settings.exposure import CommonExposure
from components.settings.harbor import HarborSettings
from components.settings.image_policy import ImagePolicySettings, namespaces_harbor_needs
from components.settings.image_registry import host_of
from components.settings.metrics import MetricsSettings
from components.settings.monitoring import MonitoringSettings
from components.settings.registry.section import RegistrySettings
from components.settings.schema.problems import CrossRule, Problem
from components.settings.schema.rules import REMOVE
from components.settings.sealing import SealingSettings
from components.settings.storage.base import StorageKind
from components.settings.valkey import SharedValkey, ValkeySettings


def _endpoint_is_encrypted(*, sandbox: bool, storage: StorageKind) -> Iterator[Problem]:
    endpoint = storage.endpoint_url
    if not sandbox and endpoint is not None and endpoint.lower().startswith("http://"):
        yield Problem(
            path=("storage", "endpoint"),
            reason="https outside the sandbox: keys and images would cross the network in clear",
            example=endpoint.replace("http://", "https://", 1),
        )


def _cluster_is_named(*, sandbox: bool, cluster: ClusterSettings) -> Iterator[Problem]:
    if not sandbox and cluster.name is None:
        yield Problem(
            path=("cluster", "name"),
            reason="required: it keeps this stack from being applied to another cluster",
        )


def _harbor_can_come_back(
    *,
    image_policy: ImagePolicySettings,
    harbor: HarborSettings,
    sealing: SealingSettings,
    database: DatabaseSettings,
    valkey: ValkeySettings,
) -> Iterator[Problem]:
    """No policy that refuses or rewrites images covers a namespace whose pods Harbor waits for."""
    if not image_policy.enabled:
        return
    if image_policy.enforcement == "Enforce":
        what, images = "Enforce", "refused while Harbor is down"
    elif image_policy.rewrite.enabled:
        what, images = "rewrite.enabled", "pulled through Harbor itself"
    else:
        return
    needed = namespaces_harbor_needs(
        harbor.namespace, sealing.controller_namespace, database, valkey
    )
    excluded = image_policy.exclusions(needed)
    forgotten = [name for name in needed if name not in excluded]
    for index, name in enumerate(forgotten, len(image_policy.extra_excluded_namespaces)):
        yield Problem(
            path=("imagePolicy", "extraExcludedNamespaces", index),
            reason=f"{what} needs {name} among the excluded namespaces ({needed[name]}): its "
            f"images would be {images}, and Harbor would stay down",
            example=name,
        )


def _harbor_is_not_pulled_from_itself(
    *,
    fqdn: str,
    exposure: CommonExposure,
    image_registry: str | None,
    database: DatabaseSettings,
    harbor: HarborSettings,
    registry: RegistrySettings,
) -> Iterator[Problem]:
    """What starts Harbor comes from elsewhere (docs/decisions/0019-air-gap.md)."""
    own = RegistryAddress(fqdn, exposure.host).host
    why = f"elsewhere than in this Sovereign's own registry {own}: while Harbor is down, nobody"
    if image_registry is not None and host_of(f"{image_registry}/") == own:
        project = image_registry.partition("/")[2].partition("/")[0]
        is_cache = project in registry.proxy_caches
        what = f"; {project} is a proxy cache in it" if is_cache else ""
        yield Problem(
            path=("imageRegistry",),
            reason=f"{why} could pull the images that start it{what}. Name a mirror that runs "
            "without this Harbor. Where nodes reach the upstream registries, or have the images "
            "already, leave imageRegistry out",
            example=REMOVE if is_cache else "<registry>",
        )
    image = database.image if isinstance(database, DedicatedDatabase) else None
    if image is not None and host_of(image) == own:
        yield Problem(
            path=("database", "image"),
            reason=f"{why} could pull the image of its database",
        )
    source = harbor.chart.source
    if "://" in source and host_of(f"{source.partition('://')[2]}/") == own:
        yield Problem(
            path=("harbor", "chart", "source"),
            reason=f"{why} could read the chart that repairs it",
        )


def _registry_knows_users(*, valkey: ValkeySettings, harbor: HarborSettings) -> Iterator[Problem]:
    version = harbor.chart.version
    if (
        isinstance(valkey, SharedValkey)
        and valkey.username is not None
        and harbor_lines.number(version) < harbor_lines.KNOWS_CACHE_USERS
    ):
        yield Problem(
            path=("valkey", "username"),
            reason=f"left out with chart {version}, whose registry logs in by password alone, as "
            "the user default. harbor.chart.version 1.19.1 or later knows users",
            example=REMOVE,
        )


def _pods_share_the_volume(*, storage: StorageKind, harbor: HarborSettings) -> Iterator[Problem]:
    if not storage.mounts_on_one_node:
        return
    why = "the registry's volume mounts on one node only (storage.accessMode ReadWriteOnce)"
    if harbor.replicas.registry > 1:
        yield Problem(
            path=("harbor", "replicas", "registry"),
            reason=f"1: {why}; for more, a StorageClass that mounts it on many nodes and "
            "storage.accessMode ReadWriteMany, or object storage",
            example="1",
        )
    if harbor.update_strategy == "RollingUpdate":
        yield Problem(
            path=("harbor", "updateStrategy"),
            reason=f"Recreate: {why}, so a new pod on another node would wait for the old one for "
            "ever",
            example="Recreate",
        )


def _alerts_have_metrics(
    *, monitoring: MonitoringSettings, metrics: MetricsSettings
) -> Iterator[Problem]:
    if not monitoring.enabled:
        return
    needed = (("enabled", metrics.enabled), ("serviceMonitor", metrics.service_monitor))
    for key, is_on in needed:
        if not is_on:
            yield Problem(
                path=("metrics", key),
                reason="true with monitoring.enabled: its alerts and its dashboard read what "
                "Harbor serves",
                example="true",
            )


RULES: Final[tuple[CrossRule, ...]] = (
    _endpoint_is_encrypted,
    _cluster_is_named,
    _harbor_can_come_back,
    _harbor_is_not_pulled_from_itself,
    _registry_knows_users,
    _pods_share_the_volume,
    _alerts_have_metrics,
)
