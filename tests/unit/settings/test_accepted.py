"""Settings that are accepted, and what they become."""

from typing import Any, cast

import pytest

from components.kubernetes.quantities import bytes_of
from components.settings.database import DedicatedDatabase, SecretRef, SharedDatabase
from components.settings.model import Settings, max_open_connections
from components.settings.storage.base import BucketSettings
from components.settings.storage.filesystem import FilesystemStorage
from components.settings.storage.keyed import HetznerStorage, S3Storage
from components.settings.valkey import DedicatedValkey, SharedValkey
from tests.support.raw_settings import (
    AWS,
    PEM,
    S3,
    SHARED_DATABASE,
    SHARED_VALKEY,
    TENANT_DATABASE,
    accepted,
)


def test_the_smallest_config_gets_secure_defaults() -> None:
    settings = accepted("fqdn", "omantel.omani.works")
    assert settings.registry_address.host == "registry.omantel.omani.works"
    assert settings.registry_address.url == "https://registry.omantel.omani.works"
    assert settings.protect
    assert settings.retain_data
    assert not settings.sandbox
    assert isinstance(settings.storage, HetznerStorage)
    assert settings.storage.endpoint_url == "https://fsn1.your-objectstorage.com"
    assert settings.storage.needed_secrets == ("s3AccessKey", "s3SecretKey")
    assert not settings.storage.adopt
    assert not settings.storage.redirect
    assert settings.storage.driver_options == {"multipartcopymaxconcurrency": "10"}
    assert isinstance(settings.database, DedicatedDatabase)
    assert settings.database.sslmode == "require"
    assert isinstance(settings.valkey, DedicatedValkey)
    assert settings.valkey.max_memory_bytes == 192 * 1024**2
    assert settings.harbor.node_selector == {"kubernetes.io/arch": "amd64"}
    assert max_open_connections(settings) == 30


EXTERNAL: dict[str, Any] = {"delivery": "external", "store": {"name": "platform"}}

KEPT: list[tuple[str, Any]] = [
    ("harbor.adopt", True),
    ("harbor.sharedNamespace", True),
    ("database.adopt", True),
    ("imageRegistry", "mirror.internal"),
    ("imageRegistry", "mirror:5000"),
    ("imageRegistry", "mirror.internal:5000/platform/harbor_v2"),
    # The nodes' own cache, such as Spegel.
    ("imageRegistry", "localhost:30020"),
    # Another Sovereign's registry, whose name begins alike.
    ("imageRegistry", "registry.omantel.omani.works.example/harbor"),
    ("fqdn", "a.b"),
    ("fqdn", "x-1.omani.works"),
    ("fqdn", "3cx.omani.works"),
    ("fqdn", "1.2.example"),
    ("exposure", {"kind": "gateway", "host": "harbor.example.com"}),
    (
        "exposure",
        {
            "kind": "gateway",
            "parentRefs": [{"name": "registry", "namespace": "harbor", "kind": "ListenerSet"}],
            "labels": {"expose": "public", "example.com/team": ""},
            "certificate": {"secretName": "tls", "issuer": {"name": "ca", "kind": "Issuer"}},
        },
    ),
    (
        "exposure",
        {
            "kind": "gateway",
            "certificate": {
                "secretName": "tls",
                "clusterIssuer": "ca",
                "privateKey": {"algorithm": "RSA", "size": 4096},
            },
        },
    ),
    ("cluster.context", "admin@omantel"),
    ("cluster.uid", "6f1ed002-ab5f-4b2c-9d1e-0242ac120002"),
    ("storage.bucket", "1-2"),
    ("storage.bucket", "x" * 63),
    ("storage.endpoint", "https://fsn1.your-objectstorage.com"),
    ("storage.chunkSize", "5242880"),
    ("storage.versioning", {"enabled": False}),
    ("storage.rootDirectory", "harbor/v2"),
    ("storage.rootDirectory", "sovereign-harbor/.sovereign-harbor-images"),
    ("storage.movedTo", "hetzner/fsn1/omantel-harbor"),
    ("storage.lockdown", {"projectId": "1234567", "moreAccessKeys": ["NEXTACCESSKEY0000001"]}),
    ("secrets.delivery", "sealed"),
    ("secrets", {**EXTERNAL, "refreshInterval": "1h30m", "prefix": "kup6s/harbor/"}),
    ("secrets", {**EXTERNAL, "store": {"kind": "SecretStore", "name": "vault.prod"}}),
    ("secrets", {**EXTERNAL, "timeoutSeconds": 300, "refreshInterval": "24h"}),
    ("sealing.acceptedFingerprint", "0a" * 32),
    ("sealing.certificate", PEM),
    ("sealing.certificate", "keys/sealing-omantel.pem"),
    ("harbor.chart.version", "1.18.3-rc.1"),
    ("harbor.chart.sha256", "0" * 64),
    ("harbor.chart.source", "oci://registry.example.com/charts/harbor"),
    ("harbor.chart.source", "../charts/harbor-1.18.3.tgz"),
    ("profile", "ha"),
    ("harbor.acceptUpgradeWithoutBackup", "1.19.1"),
    ("harbor.disruptionBudgets", True),
    ("harbor.spreadOver", ["topology.kubernetes.io/zone"]),
    ("database.spreadOver", ["topology.kubernetes.io/zone"]),
    ("harbor.replicas.core", 3),
    ("harbor.tolerations", []),
    ("harbor.tolerations", [{"key": "a", "operator": "Exists"}]),
    ("harbor.storageClass", ""),
    ("database.instances", 3),
    ("database.memory", "1.5Gi"),
    ("database.image", "ghcr.io/cloudnative-pg/postgresql:17.5"),
    ("database.image", f"ghcr.io/cloudnative-pg/postgresql:17.6-minimal-trixie@sha256:{'0' * 64}"),
    ("database.image", "registry.example.com:5000/pg/postgresql:18beta1"),
    ("database.nodeSelector", {"example.com/disk": "nvme"}),
    ("database.tolerations", [{"key": "databases", "effect": "NoSchedule"}]),
    ("database.priorityClass", "business-critical"),
    ("valkey.nodeSelector", {"example.com/disk": "nvme"}),
    ("harbor.priorityClass", "business-critical"),
    ("harbor.ipFamily", {"ipv6": False}),
    ("harbor.ipFamily", {"policy": "PreferDualStack", "families": ["IPv6", "IPv4"]}),
    ("valkey.maxMemory", "128Mi"),
    ("rotation.valkeyPassword", 2),
    ("rotation.adminPassword", 2),
    ("imagePolicy.kind", "ClusterPolicy"),
    ("imagePolicy.enforcement", "Enforce"),
    ("imagePolicy.extraPrefixes", ["harbor.mct1.omani.works/"]),
    ("imagePolicy.excludedNamespaces", []),
    ("imagePolicy.rewrite", {"enabled": False, "projects": {"quay.io": "proxy-quay"}}),
    ("database", SHARED_DATABASE),
    ("database", {**SHARED_DATABASE, "sslmode": "verify-full", "caBundle": PEM}),
    ("valkey", SHARED_VALKEY),
    ("valkey", {**SHARED_VALKEY, "host": "fd00::7", "tls": True, "caBundle": PEM}),
    ("storage.seamNamespace", "argocd"),
    ("storage", {**S3, "endpoint": "https://omantel.supabase.co/storage/v1/s3"}),
    ("storage", {"kind": "filesystem", "size": "50Gi"}),
    ("storage", {**S3, "caBundle": PEM, "pathStyle": False}),
    ("storage", AWS),
    ("storage", {**AWS, "region": "us-gov-west-1"}),
    ("storage", {**AWS, "region": "eusc-de-east-1"}),
    ("storage", {**AWS, "kmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/mrk-1a"}),
    ("storage", {**AWS, "access": {"epoch": 2}}),
    ("storage", {**AWS, "bucket": "s3alias-omantel-s3"}),
    ("storage", {**AWS, "access": {"permissionsBoundary": "arn:aws:iam::aws:policy/b"}}),
    ("storage", {**AWS, "access": {"mode": "node-role", "role": "omantel-nodes"}}),
    ("exposure", {"kind": "gateway", "parentRefs": [{"name": "g", "namespace": "gateways"}]}),
    ("exposure", {"kind": "ingress", "className": "cilium", "tlsSecret": "wildcard"}),
    ("networkPolicies.enabled", False),
    ("networkPolicies.outside", []),
    ("networkPolicies.outside", ["0.0.0.0/0", "10.20.0.0/16", "2001:db8::/32"]),
    ("networkPolicies.apiServer", {"port": 443, "extraCidrs": ["203.0.113.0/24"]}),
    (
        "networkPolicies",
        {"cni": "cilium", "gateway": {"kind": "namespace", "namespace": "traefik"}},
    ),
    ("networkPolicies", {"cni": "cilium", "gateway": {"kind": "host"}}),
    (
        "networkPolicies.extraRules",
        [
            {"party": "core", "direction": "egress", "cidr": "10.9.0.0/16", "ports": [8443]},
            {
                "party": "cache",
                "direction": "ingress",
                "namespace": "backup",
                "podLabels": {"app": "redis-dump"},
                "ports": [6379],
            },
        ],
    ),
    ("dns", {"kind": "none"}),
    ("dns", {"kind": "hetzner", "zone": "omani.works", "addresses": {"ipv6": "2001:db8::1"}}),
    ("dns", {"kind": "hetzner", "zone": "omantel.omani.works", "loadBalancer": {"name": "lb-1"}}),
    ("trivy.severity", ["HIGH", "CRITICAL"]),
    ("trivy.dbRepositories", ["registry.example.com:8443/mirror/trivy-db:2"]),
    ("trivy.timeout", "1h30m"),
    ("trivy.blockSeverity", "NONE"),
    ("trivy", {"enabled": False, "scanOnPush": False}),
    ("trivy", {"severity": ["HIGH", "CRITICAL"], "blockSeverity": "HIGH"}),
    ("imagePolicy.acceptRefusals", True),
    ("registry.acceptRefusals", True),
    ("registry.showUndeclared", True),
    ("metrics", {"enabled": True, "serviceMonitor": True}),
    ("monitoring.labels", {"release": "kube-prometheus-stack"}),
    ("monitoring.runbookUrl", "https://git.example.com/harbor/-/blob/main/docs/runbooks"),
    ("monitoring.dashboardNamespace", "grafana"),
    ("monitoring.platformSources", ["cert-manager", "sealed-secrets"]),
    ("monitoring.platformSources", []),
    ("storage.tags", {"team": "p" * 256}),
    ("monitoring.thresholds", {"bucketSize": "100T", "quotaPercent": 75}),
]
"""Path and value, which the settings hold as it was given."""

CONVERTED: list[tuple[str, Any, Any]] = [
    ("protect", "false", False),
    ("storage.chunkSize", 5368709120, "5368709120"),
    ("storage.tags", {"team": "platform", "cost": 5}, {"team": "platform", "cost": "5"}),
    ("storage.lockdown", {"projectId": 1234567}, {"projectId": "1234567"}),
    ("storage", {**AWS, "accountId": 111122223333}, {**AWS, "accountId": "111122223333"}),
    ("exposure", {"host": "a.b"}, {"kind": "gateway", "host": "a.b"}),
]
"""Path, value as it was given, value as the settings hold it."""


def holds(kept: Any, given: Any) -> bool:
    """Whether all that was given is there; sections have defaults besides."""
    if isinstance(given, dict) and isinstance(kept, dict):
        section = cast("dict[str, Any]", given)
        return all(key in kept and holds(kept[key], section[key]) for key in section)
    if isinstance(given, list) and isinstance(kept, list):
        items = cast("list[Any]", given)
        return len(kept) == len(items) and all(map(holds, kept, items))
    return type(kept) is type(given) and kept == given


@pytest.mark.parametrize(
    ("path", "value", "kept"),
    [*((path, value, value) for path, value in KEPT), *CONVERTED],
    ids=str,
)
def test_accepted(path: str, value: Any, kept: Any) -> None:
    dumped: Any = accepted(path, value).model_dump(mode="json", by_alias=True)
    for key in path.split("."):
        dumped = dumped[key]
    assert holds(dumped, kept), dumped


def test_an_override_of_one_resource_keeps_the_others() -> None:
    resources = accepted("harbor.resources.core.cpu", 0.75).harbor.resources
    assert (resources.core.cpu, resources.core.memory) == ("750m", "512Mi")
    assert resources.trivy.memory == "1Gi"


@pytest.mark.parametrize(
    ("given", "kept"),
    [(".5", "500m"), ("500m", "500m"), ("2000m", "2"), ("2", "2"), (1.5, "1500m")],
)
def test_processors_are_kept_as_the_api_server_writes_them(given: Any, kept: str) -> None:
    settings = accepted("database.cpu", given)
    assert isinstance(settings.database, DedicatedDatabase)
    assert settings.database.cpu == kept


def test_other_kinds_of_storage_answer_the_same_questions() -> None:
    s3 = accepted("storage", {**S3, "caBundle": PEM}).storage
    assert isinstance(s3, S3Storage)
    assert isinstance(s3, BucketSettings)
    assert (s3.endpoint_url, s3.region) == ("https://s3.example.com", "us-east-1")
    assert (s3.is_path_style, s3.trusted_ca) == (True, PEM)
    assert s3.driver_options == {}
    volume = accepted("storage", {"kind": "filesystem", "size": "50Gi"}).storage
    assert isinstance(volume, FilesystemStorage)
    assert volume.endpoint_url is None
    assert volume.needed_secrets == ()


def test_a_shared_valkey_may_leave_index_0_to_its_owner() -> None:
    valkey = accepted("valkey", {**SHARED_VALKEY, "indexes": {"core": 3}}).valkey
    assert isinstance(valkey, SharedValkey)
    assert (valkey.indexes.core, valkey.indexes.registry) == (3, 2)
    assert isinstance(valkey.secret, SecretRef)
    assert valkey.secret.key == "valkey-password"


def test_connections_are_divided_by_the_pods_that_open_them() -> None:
    base = {"harbor": {"replicas": {"core": 2, "jobservice": 2}}}
    assert max_open_connections(accepted("database.maxConnections", 200, base)) == 38


def test_bytes_of_a_quantity() -> None:
    assert bytes_of("1.5Gi") == 3 * 1024**3 // 2
    assert bytes_of("2G") == 2 * 10**9
    with pytest.raises(ValueError, match="512MB"):
        bytes_of("512MB")


def test_settings_are_frozen() -> None:
    settings = accepted("fqdn", "a.b")
    with pytest.raises(ValueError, match="frozen"):
        settings.fqdn = "c.d"  # pyright: ignore[reportAttributeAccessIssue]


def test_settings_that_do_not_fit_together_cannot_be_built() -> None:
    storage = HetznerStorage(region="fsn1", bucket="omantel-harbor")
    with pytest.raises(ValueError, match=r"cluster\.name"):
        Settings(fqdn="omantel.omani.works", storage=storage)


@pytest.mark.parametrize(
    ("given", "host", "secret", "makes_role"),
    [
        (
            {},
            "gitlab-postgres-rw.gitlabbda",
            ("gitlabbda", "harbor-registry-owner"),
            True,
        ),
        (
            {"create": {"cluster": "pg"}, "host": "pg-pooler.data", "poolMode": "session"},
            "pg-pooler.data",
            ("data", "harbor-registry-owner"),
            True,
        ),
        (
            {"create": {"cluster": "pg"}, "secret": {"namespace": "data", "name": "team"}},
            "pg-rw.data",
            ("data", "team"),
            False,
        ),
        (
            {"name": "Harbor_2"},
            "gitlab-postgres-rw.gitlabbda",
            ("gitlabbda", "harbor-harbor-2-owner"),
            True,
        ),
    ],
    ids=["the least", "by the host", "a role of the owner's", "a name with other letters"],
)
def test_what_follows_from_a_database_that_is_made_need_not_be_said(
    given: dict[str, Any], host: str, secret: tuple[str, str], *, makes_role: bool
) -> None:
    database = accepted("database", {**TENANT_DATABASE, **given}).database
    assert isinstance(database, SharedDatabase)
    assert (database.host, database.username) == (host, "harbor")
    assert isinstance(database.secret, SecretRef)
    assert (database.secret.namespace, database.secret.name) == secret
    assert database.makes_role == makes_role
