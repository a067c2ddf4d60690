"""Rules between sections. Pure.

Each rule names the sections that it reads, so that it still runs when another one is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from components import harbor_lines
from components.registry_address import RegistryAddress
from components.settings.backup import GAP, BackupSettings, DestinationSettings
from components.settings.cluster import ClusterSettings
from components.settings.database import (
    CommonDatabaseSettings,
    DatabaseSettings,
    DedicatedDatabase,
    SharedDatabase,
    StoreRef,
)
from components.settings.dns import DnsKind
from components.settings.exposure import CommonExposure, GatewayExposure, IngressExposure
from components.settings.harbor import HarborReplicas, HarborSettings
from components.settings.image_policy import ImagePolicySettings, namespaces_harbor_needs
from components.settings.image_registry import host_of
from components.settings.metrics import MetricsSettings
from components.settings.monitoring import MonitoringSettings
from components.settings.network_policies import CiliumGateway, NetworkPoliciesSettings
from components.settings.registry import cron
from components.settings.registry import cross as registry_rules
from components.settings.registry.section import RegistrySettings
from components.settings.schema.problems import Problem
from components.settings.schema.rules import REMOVE
from components.settings.sealing import SealingSettings
from components.settings.secrets import ExternalDelivery, SecretsSettings
from components.settings.storage.base import BucketSettings, StorageKind
from components.settings.trivy import TrivySettings
from components.settings.valkey import SharedValkey, ValkeySettings

MINIMAL_POOL = 10
"""Connections that each pod needs at least: with fewer, a few pushes at once make Harbor's core
wait for connections that it holds itself."""


@dataclass(frozen=True, kw_only=True)
class CrossRule:
    """A check over several sections, by their attribute names."""

    needs: tuple[str, ...]
    check: Callable[..., Iterator[Problem]]

    def problems(self, sections: Mapping[str, Any]) -> Iterator[Problem]:
        """The problems; none when a section that the rule reads is missing."""
        if all(name in sections for name in self.needs):
            yield from self.check(**{name: sections[name] for name in self.needs})


def pods_with_a_pool(replicas: HarborReplicas) -> int:
    """Number of pods that open connections to the database; each has its own pool."""
    return replicas.core + replicas.jobservice + replicas.exporter


def connections_per_pod(database: CommonDatabaseSettings, replicas: HarborReplicas) -> int:
    """Harbor's maxOpenConns, so that all pods together stay within what the server has left."""
    available = database.max_connections - database.reserved_connections
    return available // pods_with_a_pool(replicas)


def _pool_is_large_enough(
    *, database: CommonDatabaseSettings, harbor: HarborSettings
) -> Iterator[Problem]:
    pool = connections_per_pod(database, harbor.replicas)
    if pool < MINIMAL_POOL:
        pods = pods_with_a_pool(harbor.replicas)
        needed = pods * MINIMAL_POOL + database.reserved_connections
        yield Problem(
            path=("database", "maxConnections"),
            reason=f"at least {needed}: {pods} pods of core, jobservice and exporter with at least "
            f"{MINIMAL_POOL} connections each, beside {database.reserved_connections} reserved; "
            f"this leaves {pool} each",
            example=str(needed),
        )


def _endpoint_is_encrypted(*, sandbox: bool, storage: StorageKind) -> Iterator[Problem]:
    endpoint = storage.endpoint_url
    if not sandbox and endpoint is not None and endpoint.lower().startswith("http://"):
        yield Problem(
            path=("storage", "endpoint"),
            reason="https outside the sandbox: keys and images would cross the network in clear",
            example=endpoint.replace("http://", "https://", 1),
        )


def _database_is_encrypted(*, sandbox: bool, database: CommonDatabaseSettings) -> Iterator[Problem]:
    if not sandbox and database.sslmode == "disable":
        yield Problem(
            path=("database", "sslmode"),
            reason="disable is for the sandbox: the password would cross the network in clear",
            example="require",
        )


def _one_authority_beside_the_public_ones(
    *, database: DatabaseSettings, valkey: ValkeySettings
) -> Iterator[Problem]:
    own = (
        database.ca_bundle is not None
        if isinstance(database, SharedDatabase)
        else (database.checks_certificate)
    )
    if own and isinstance(valkey, SharedValkey) and valkey.ca_bundle is not None:
        yield Problem(
            path=("valkey", "caBundle"),
            reason="not beside a database with an authority of its own (database.sslmode, "
            "database.caBundle): Harbor's chart takes one authority for both "
            "(caBundleSecretName)",
        )


def _cluster_is_named(*, sandbox: bool, cluster: ClusterSettings) -> Iterator[Problem]:
    if not sandbox and cluster.name is None:
        yield Problem(
            path=("cluster", "name"),
            reason="required: it keeps this stack from being applied to another cluster",
        )


def _policies_let_the_controller_in(
    *, exposure: GatewayExposure | IngressExposure, network_policies: NetworkPoliciesSettings
) -> Iterator[Problem]:
    is_cilium = isinstance(network_policies.gateway, CiliumGateway)
    if (
        network_policies.enabled
        and is_cilium
        and isinstance(exposure, IngressExposure)
        and exposure.class_name != "cilium"
    ):
        yield Problem(
            path=("networkPolicies", "gateway", "kind"),
            reason=f"namespace, and with it the namespace of the controller of class "
            f"{exposure.class_name}: as cilium its pods could not reach Harbor",
            example="namespace",
        )


def _database_reaches_the_api_server(
    *, database: CommonDatabaseSettings, network_policies: NetworkPoliciesSettings
) -> Iterator[Problem]:
    if (
        network_policies.enabled
        and isinstance(database, DedicatedDatabase)
        and not network_policies.is_cilium
        and (network_policies.api_server is None or network_policies.api_server.cidr is None)
    ):
        given = () if network_policies.api_server is None else ("cidr",)
        yield Problem(
            path=("networkPolicies", "apiServer", *given),
            reason="required for a dedicated database: its pods ask the API server who leads, and "
            "a policy cannot select the API server as pods",
        )


def _extra_rules_have_pods(
    *,
    network_policies: NetworkPoliciesSettings,
    database: DatabaseSettings,
    valkey: ValkeySettings,
    trivy: TrivySettings,
    metrics: MetricsSettings,
) -> Iterator[Problem]:
    absent = {
        "database": isinstance(database, SharedDatabase) and "database.mode is shared",
        "cache": isinstance(valkey, SharedValkey) and "valkey.mode is shared",
        "trivy": not trivy.enabled and "trivy.enabled is false",
        "exporter": not metrics.enabled and "metrics.enabled is false",
    }
    for index, rule in enumerate(network_policies.extra_rules):
        if reason := absent.get(rule.party):
            yield Problem(
                path=("networkPolicies", "extraRules", index, "party"),
                reason=f"a party that has pods here, and {rule.party} has none: {reason}",
                example="core",
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


def _sealing_is_of_sealed_secrets(
    *, secrets: SecretsSettings, sealing: SealingSettings
) -> Iterator[Problem]:
    if not isinstance(secrets, ExternalDelivery):
        return
    for name, field in type(sealing).model_fields.items():
        if getattr(sealing, name) == field.default:
            continue
        yield Problem(
            path=("sealing", to_camel(name)),
            reason="left out with secrets.delivery external: nothing is sealed then"
            + (
                ", and secrets.timeoutSeconds is how long the program waits"
                if name == "timeout_seconds"
                else ""
            ),
            example=REMOVE,
        )


def _stored_passwords_have_a_store(
    *, secrets: SecretsSettings, database: DatabaseSettings, valkey: ValkeySettings
) -> Iterator[Problem]:
    if isinstance(secrets, ExternalDelivery):
        return
    for name, section in (("database", database), ("valkey", valkey)):
        if isinstance(section, SharedDatabase | SharedValkey) and isinstance(
            section.secret, StoreRef
        ):
            yield Problem(
                path=(name, "secret", "storeKey"),
                reason="only with secrets.delivery external and secrets.store: nothing else reads "
                "the store. Without it, the namespace, name and key of a Secret",
                example=REMOVE,
            )


def _written_keys_are_not_read(
    *, secrets: SecretsSettings, fqdn: str, database: DatabaseSettings, valkey: ValkeySettings
) -> Iterator[Problem]:
    """A key under the prefix is this program's: a name it writes now or later."""
    if not isinstance(secrets, ExternalDelivery):
        return
    prefix = secrets.prefix_for(fqdn)
    for name, section in (("database", database), ("valkey", valkey)):
        if not isinstance(section, SharedDatabase | SharedValkey):
            continue
        password = section.secret
        if isinstance(password, StoreRef) and password.store_key.startswith(f"{prefix}harbor"):
            yield Problem(
                path=(name, "secret", "storeKey"),
                reason=f"a key that does not begin with {prefix}harbor, as those that this program "
                "writes (secrets.prefix)",
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


def _zone_holds_the_registry(
    *, dns: DnsKind, fqdn: str, exposure: CommonExposure
) -> Iterator[Problem]:
    reason = dns.problem_with(RegistryAddress(fqdn, exposure.host).host)
    if reason is not None:
        example = fqdn if exposure.host is None else exposure.host.partition(".")[2]
        yield Problem(path=("dns", "zone"), reason=reason, example=example)


def restore_source(
    database: DatabaseSettings, backup: BackupSettings | None
) -> DestinationSettings | None:
    """Where the backups are from which the database is made; None if it is not, or nothing says
    it."""
    if not isinstance(database, DedicatedDatabase) or database.restore is None:
        return None
    return database.restore.source or (None if backup is None else backup.destination)


def _restore_has_a_source(
    *, database: DatabaseSettings, backup: BackupSettings | None
) -> Iterator[Problem]:
    is_restored = isinstance(database, DedicatedDatabase) and database.restore is not None
    if is_restored and restore_source(database, backup) is None:
        yield Problem(
            path=("database", "restore", "from"),
            reason="required without the section backup: the bucket in which the backups are",
        )


def _backup_is_of_an_own_database(
    *, database: DatabaseSettings, backup: BackupSettings | None
) -> Iterator[Problem]:
    if backup is not None and isinstance(database, SharedDatabase):
        yield Problem(
            path=("backup",),
            reason="left out with database.mode shared: whoever runs that server backs it up, see "
            "docs/howto/backup.md",
            example=REMOVE,
        )


def _backups_are_apart_from_images(
    *, storage: StorageKind, backup: BackupSettings | None
) -> Iterator[Problem]:
    # By the name alone: one store answers under many endpoints.
    images = storage.bucket_name
    if backup is None or images is None:
        return
    key, destination = ("backup", "destination"), backup.destination
    if destination.bucket == images:
        yield Problem(
            path=(*key, "bucket"),
            reason=f"another name than {images}, the bucket of the images, at any endpoint and "
            "under any prefix: a key, a lifecycle rule or a mistake would reach both",
            example="{stack}-backup",
        )
    scheme, _, host = destination.endpoint.partition("://")
    if host.startswith(f"{images}."):
        yield Problem(
            path=(*key, "endpoint"),
            reason=f"a host that does not begin with {images}, the bucket of the images: a store "
            "reads the bucket from there",
            example=f"{scheme}://{host.removeprefix(f'{images}.')}",
        )


def _backups_are_encrypted_on_their_way(
    *, sandbox: bool, database: DatabaseSettings, backup: BackupSettings | None
) -> Iterator[Problem]:
    places: list[tuple[tuple[str, ...], DestinationSettings]] = []
    if backup is not None:
        places.append((("backup", "destination"), backup.destination))
    restore = database.restore if isinstance(database, DedicatedDatabase) else None
    if restore is not None and restore.source is not None:
        places.append((("database", "restore", "from"), restore.source))
    for path, place in places:
        if not sandbox and place.endpoint.startswith("http://"):
            yield Problem(
                path=(*path, "endpoint"),
                reason="https outside the sandbox: keys and the database would cross the network "
                "in clear",
                example=place.endpoint.replace("http://", "https://", 1),
            )


def _deleted_blobs_stay_as_long_as_backups(
    *, storage: StorageKind, backup: BackupSettings | None
) -> Iterator[Problem]:
    if backup is None or not isinstance(storage, BucketSettings) or not storage.versioning.enabled:
        return
    days = storage.versioning.noncurrent_days
    if days < backup.retention_days:
        yield Problem(
            path=("storage", "versioning", "noncurrentDays"),
            reason=f"at least {backup.retention_days}, as backup.retention is {backup.retention}: "
            "a database that is restored to its oldest moment names blobs that garbage collection "
            "has deleted since",
            example=str(backup.retention_days),
        )


def _garbage_is_collected_apart_from_backups(
    *, registry: RegistrySettings, backup: BackupSettings | None
) -> Iterator[Problem]:
    collection = registry.schedules.garbage_collection
    if backup is None or not registry.enabled or not collection.cron:
        return
    backups = cron.starts(backup.cron)
    if not cron.come_within(cron.starts(collection.cron), backups, GAP):
        return
    _, _, _, *days = collection.cron.split(" ")
    free = (f"0 {hour} {' '.join(days)}" for hour in range(24))
    example = next(
        (
            text
            for text in free
            if not cron.come_within(cron.starts(cron.six_fields(text)), backups, GAP)
        ),
        None,
    )
    hours = GAP.total_seconds() / 3600
    if example is None:
        yield Problem(
            path=("backup", "schedule"),
            reason="one that leaves time for garbage collection, which begins neither in the "
            f"{hours:.0f} h before a backup nor in the {hours:.0f} h after it",
            example="0 2 * * *",
        )
    else:
        yield Problem(
            path=("registry", "schedules", "garbageCollection", "schedule"),
            reason=f"a time that is not within {hours:.0f} h of backup.schedule "
            f"({backup.schedule}): the database is backed up first, and no blob is deleted "
            "meanwhile",
            example=example,
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


RULES: tuple[CrossRule, ...] = (
    CrossRule(needs=("sandbox", "cluster"), check=_cluster_is_named),
    CrossRule(needs=("sandbox", "storage"), check=_endpoint_is_encrypted),
    CrossRule(needs=("sandbox", "database"), check=_database_is_encrypted),
    CrossRule(needs=("database", "harbor"), check=_pool_is_large_enough),
    CrossRule(needs=("exposure", "network_policies"), check=_policies_let_the_controller_in),
    CrossRule(needs=("database", "network_policies"), check=_database_reaches_the_api_server),
    CrossRule(
        needs=("network_policies", "database", "valkey", "trivy", "metrics"),
        check=_extra_rules_have_pods,
    ),
    CrossRule(needs=("monitoring", "metrics"), check=_alerts_have_metrics),
    CrossRule(needs=("dns", "fqdn", "exposure"), check=_zone_holds_the_registry),
    CrossRule(needs=("valkey", "harbor"), check=_registry_knows_users),
    CrossRule(needs=("database", "valkey"), check=_one_authority_beside_the_public_ones),
    CrossRule(needs=("storage", "harbor"), check=_pods_share_the_volume),
    CrossRule(
        needs=("image_policy", "harbor", "sealing", "database", "valkey"),
        check=_harbor_can_come_back,
    ),
    CrossRule(needs=("database", "backup"), check=_backup_is_of_an_own_database),
    CrossRule(needs=("database", "backup"), check=_restore_has_a_source),
    CrossRule(needs=("storage", "backup"), check=_backups_are_apart_from_images),
    CrossRule(needs=("sandbox", "database", "backup"), check=_backups_are_encrypted_on_their_way),
    CrossRule(needs=("storage", "backup"), check=_deleted_blobs_stay_as_long_as_backups),
    CrossRule(needs=("registry", "backup"), check=_garbage_is_collected_apart_from_backups),
    CrossRule(
        needs=("fqdn", "exposure", "image_registry", "database", "harbor", "registry"),
        check=_harbor_is_not_pulled_from_itself,
    ),
    CrossRule(needs=("rotation", "registry"), check=registry_rules.admin_is_rotated_by_the_api),
    CrossRule(needs=("secrets", "sealing"), check=_sealing_is_of_sealed_secrets),
    CrossRule(needs=("secrets", "database", "valkey"), check=_stored_passwords_have_a_store),
    CrossRule(needs=("secrets", "fqdn", "database", "valkey"), check=_written_keys_are_not_read),
    CrossRule(needs=("registry",), check=registry_rules.names_are_unique),
    CrossRule(
        needs=("registry",), check=registry_rules.deleted_contents_are_of_no_declared_project
    ),
    CrossRule(needs=("registry",), check=registry_rules.sources_are_declared),
    CrossRule(needs=("registry",), check=registry_rules.replications_fit_their_registry),
    CrossRule(needs=("registry",), check=registry_rules.copies_have_a_project),
    CrossRule(needs=("registry",), check=registry_rules.copies_have_a_name_of_their_own),
    CrossRule(needs=("registry",), check=registry_rules.robots_have_projects),
    CrossRule(needs=("registry",), check=registry_rules.names_of_robots_fit),
    CrossRule(needs=("registry",), check=registry_rules.rotations_take_no_name),
    CrossRule(needs=("registry",), check=registry_rules.pull_secrets_have_a_name_of_their_own),
    CrossRule(needs=("registry", "harbor"), check=registry_rules.pull_secrets_are_none_of_harbors),
    CrossRule(needs=("registry",), check=registry_rules.groups_are_written_as_the_login_does),
    CrossRule(needs=("sandbox", "registry"), check=registry_rules.api_is_encrypted),
    CrossRule(needs=("sandbox", "registry"), check=registry_rules.upstreams_are_encrypted),
    CrossRule(needs=("registry", "harbor"), check=registry_rules.harbor_is_new_enough),
    CrossRule(needs=("registry", "trivy"), check=registry_rules.scans_have_a_scanner),
    CrossRule(needs=("image_policy", "registry"), check=registry_rules.rewritten_images_are_cached),
)


def problems(sections: Mapping[str, Any]) -> list[Problem]:
    """The problems between the given sections (by attribute name)."""
    return [problem for rule in RULES for problem in rule.problems(sections)]


def chart_hints(harbor: HarborSettings) -> list[str]:
    """Warnings about the version of Harbor's chart."""
    version = harbor.chart.version
    if harbor_lines.line_of(version) is not None:
        return []
    tested = " and ".join(line.chart for line in harbor_lines.LINES)
    return [
        f"harbor.chart.version {version} is of a line of Harbor's chart that this program was not "
        f"tested with; tested are {tested}, see docs/reference/versions.md"
    ]


def sharing_hints(harbor: HarborSettings, image_policy: ImagePolicySettings) -> Iterator[str]:
    """Warnings about what others may do in a namespace that they share with Harbor."""
    if harbor.shared_namespace and image_policy.enabled and image_policy.enforcement == "Enforce":
        yield (
            f"imagePolicy leaves out namespace {harbor.namespace}, since Harbor must start there "
            "while no image can be pulled from it, and the namespace is shared "
            "(harbor.sharedNamespace): whoever may make pods there may run any image"
        )


def backup_hints(
    database: DatabaseSettings, storage: StorageKind, backup: BackupSettings | None
) -> Iterator[str]:
    """What a preview says about what could not be brought back."""
    if isinstance(database, SharedDatabase):
        yield (
            f"database.mode is shared: whoever runs {database.host} backs up the database "
            f"{database.name}, at least as often and as long as this registry needs it "
            "(docs/howto/backup.md)"
        )
    elif backup is None:
        yield (
            "nothing backs up this Sovereign's database: with it all projects, users, robots and "
            "tags would be lost. The section backup does it once it has a destination "
            "(docs/howto/backup.md)"
        )
    elif not (isinstance(storage, BucketSettings) and storage.versioning.enabled):
        yield (
            "blobs that garbage collection deletes are gone at once (storage.versioning): a "
            "database that is restored to an earlier moment would name some of them"
        )


def hints(database: CommonDatabaseSettings) -> list[str]:
    """Warnings about settings that are allowed."""
    if not isinstance(database, SharedDatabase) or not database.looks_pooled:
        return []
    if database.pool_mode != "none":
        return []
    hint = (
        f"database {database.host}:{database.port} looks like a connection pooler. Harbor needs "
        "one in session mode, or the server itself; set database.poolMode to session once that "
        "is sure."
    )
    return [hint]
