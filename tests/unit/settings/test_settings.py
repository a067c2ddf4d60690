"""The stack config: what is accepted, what is refused and in which words."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import mocks
from pulumi.runtime.settings import reset_options
from pulumi.runtime.stack import wait_for_rpcs

from components import stack_config
from components.kubernetes.quantities import bytes_of
from components.settings.database import DedicatedDatabase, SharedDatabase
from components.settings.model import Settings, max_open_connections
from components.settings.provider_config import cluster_context
from components.settings.reading import refusals, spec
from components.settings.reading.refusals import Reading, Refusal, SettingsRefused
from components.settings.reading.secrets import SECRETS
from components.settings.schema.environment import UnsetVariable, expand
from components.settings.schema.rules import is_for_the_shell
from components.settings.storage.base import BucketSettings
from components.settings.storage.filesystem import FilesystemStorage
from components.settings.storage.keyed import HetznerStorage, S3Storage
from components.settings.valkey import DedicatedValkey, SharedValkey
from components.stack_config import StackConfig
from tests.support.project import ROOT

PROJECT = "sovereign-harbor"
ACCESS_KEY = "ACCESSKEYOF20CHARACT"
SECRET_KEY = "a-secret-key-of-exactly-40-characters-xx"
DNS_TOKEN = "a-token-of-exactly-64-characters" * 2
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----\n"

GOOD: dict[str, Any] = {
    "fqdn": "omantel.omani.works",
    "cluster": {"name": "omantel"},
    "storage": {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"},
}
S3: dict[str, Any] = {
    "kind": "s3",
    "endpoint": "https://s3.example.com",
    "region": "us-east-1",
    "bucket": "omantel-harbor",
}
AWS: dict[str, Any] = {"kind": "aws", "region": "eu-central-1", "bucket": "omantel-harbor"}
SHARED_DATABASE: dict[str, Any] = {
    "mode": "shared",
    "host": "pg-rw.databases",
    "username": "harbor",
    "secret": {"namespace": "databases", "name": "pg-app"},
}
SHARED_VALKEY: dict[str, Any] = {
    "mode": "shared",
    "host": "valkey-primary.valkey",
    "secret": {"namespace": "valkey", "name": "valkey", "key": "valkey-password"},
}
SANDBOX_ENVIRONMENT = {
    "SANDBOX_KUBE_CONTEXT": "kwok-sandbox",
    "SANDBOX_S3_ENDPOINT": "http://127.0.0.1:7070",
    "SANDBOX_S3_ACCESS_KEY": "sandbox",
    "SANDBOX_S3_SECRET_KEY": "sandbox-secret",
    "SANDBOX_SEALING_CERTIFICATE": "/tmp/sandbox/sealing.pem",
}


def merged(path: str, value: Any, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """GOOD with one value changed at a dotted path; `...` removes it."""
    raw: dict[str, Any] = json.loads(json.dumps({**GOOD, **(base or {})}))
    *parents, last = path.split(".")
    section = raw
    for key in parents:
        section = section.setdefault(key, {})
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return raw


def read(raw: dict[str, Any]) -> Reading:
    return refusals.read(raw, stack="omantel")


def accepted(path: str, value: Any, base: dict[str, Any] | None = None) -> Settings:
    reading = read(merged(path, value, base))
    assert reading.refusals == (), "\n".join(map(str, reading.refusals))
    assert reading.settings is not None
    return reading.settings


# --- Accepted ----------------------------------------------------------------------------------


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


ACCEPTED: list[tuple[str, Any]] = [
    ("harbor.adopt", True),
    ("database.adopt", True),
    ("fqdn", "a.b"),
    ("fqdn", "x-1.omani.works"),
    ("protect", "false"),
    ("cluster.context", "admin@omantel"),
    ("cluster.uid", "6f1ed002-ab5f-4b2c-9d1e-0242ac120002"),
    ("storage.bucket", "1-2"),
    ("storage.bucket", "x" * 63),
    ("storage.endpoint", "https://fsn1.your-objectstorage.com"),
    ("storage.chunkSize", "5242880"),
    ("storage.chunkSize", 5368709120),
    ("storage.tags", {"team": "platform", "cost": 5}),
    ("storage.versioning", {"enabled": False}),
    ("storage.rootDirectory", "harbor/v2"),
    ("storage.movedTo", "hetzner/fsn1/omantel-harbor"),
    ("storage.lockdown", {"projectId": 1234567}),
    ("storage.lockdown", {"projectId": "1234567", "moreAccessKeys": ["NEXTACCESSKEY0000001"]}),
    ("sealing.certificate", PEM),
    ("sealing.certificate", "keys/sealing-omantel.pem"),
    ("harbor.chart.version", "1.18.3-rc.1"),
    ("harbor.chart.sha256", "0" * 64),
    ("harbor.chart.source", "oci://registry.example.com/charts/harbor"),
    ("harbor.chart.source", "../charts/harbor-1.18.3.tgz"),
    ("harbor.replicas.core", 3),
    ("harbor.tolerations", []),
    ("harbor.tolerations", [{"key": "a", "operator": "Exists"}]),
    ("harbor.storageClass", ""),
    ("database.instances", 3),
    ("database.memory", "1.5Gi"),
    ("database.image", "ghcr.io/cloudnative-pg/postgresql:17.5"),
    ("valkey.maxMemory", "128Mi"),
    ("rotation.valkeyPassword", 2),
    ("imagePolicy.kind", "ClusterPolicy"),
    ("imagePolicy.enforcement", "Enforce"),
    ("imagePolicy.extraPrefixes", ["harbor.mct1.omani.works/"]),
    ("imagePolicy.excludedNamespaces", []),
    ("imagePolicy.rewrite", {"enabled": True, "projects": {"quay.io": "proxy-quay"}}),
    ("database", SHARED_DATABASE),
    ("valkey", SHARED_VALKEY),
    ("storage", {"kind": "filesystem", "size": "50Gi"}),
    ("storage", {**S3, "caBundle": PEM, "pathStyle": False}),
    ("storage", AWS),
    ("storage", {**AWS, "region": "us-gov-west-1"}),
    ("storage", {**AWS, "region": "eusc-de-east-1"}),
    ("storage", {**AWS, "accountId": 111122223333}),
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
    ("metrics", {"enabled": True, "serviceMonitor": True}),
]


@pytest.mark.parametrize(("path", "value"), ACCEPTED, ids=str)
def test_accepted(path: str, value: Any) -> None:
    accepted(path, value)


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


# --- Refused -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad value: what a person is shown."""

    path: str
    value: Any
    allowed: str
    fix: str
    key: str = ""
    shown: str = ""
    base: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return f"{self.path}={self.value!r}"[:60]


def set_path(path: str, value: str) -> str:
    return f"pulumi config set --path '{path}' {value} -s omantel"


_DATABASE = {"database": SHARED_DATABASE}
_VALKEY = {"valkey": SHARED_VALKEY}
_AWS: dict[str, Any] = {"storage": AWS}
_S3 = {"storage": S3}
_LOCKDOWN = {"storage": {**GOOD["storage"], "lockdown": {"projectId": "1234567"}}}
_GATEWAY: dict[str, Any] = {"exposure": {"kind": "gateway"}}
# Valid but for what a row takes away: everything here has something to lose.
_INGRESS: dict[str, Any] = {
    "exposure": {
        "kind": "ingress",
        "className": "traefik",
        "clusterIssuer": "letsencrypt-dns01-prod",
    },
    "networkPolicies": {
        "gateway": {"kind": "namespace", "namespace": "traefik"},
        "apiServer": {"cidr": "10.0.0.2/32"},
    },
}
_DNS: dict[str, Any] = {
    "dns": {"kind": "hetzner", "zone": "omani.works", "loadBalancer": {"name": "omantel"}}
}
_API_SERVER_FIX = set_path(
    "networkPolicies.apiServer.cidr",
    "$(kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes "
    "-o jsonpath='{.items[0].endpoints[0].addresses[0]}')/32",
)
_FQDN_FIX = "pulumi config set fqdn omantel.omani.works -s omantel"
_BUCKET_FIX = set_path("storage.bucket", "omantel-harbor")
_REGION_FIX = set_path("storage.region", "fsn1")

REFUSED: list[Bad] = [
    Bad(
        path="imagePolicy.kind",
        value="Policy",
        allowed="one of ValidatingPolicy, ClusterPolicy",
        fix=set_path("imagePolicy.kind", "ValidatingPolicy"),
    ),
    Bad(
        path="imagePolicy.enforcement",
        value="enforce",
        allowed="one of Audit, Enforce",
        fix=set_path("imagePolicy.enforcement", "Audit"),
    ),
    Bad(
        path="imagePolicy.extraPrefixes",
        key="imagePolicy.extraPrefixes[0]",
        value=["harbor.mct1.omani.works"],
        allowed="with the slash: without it, images of longer host names begin with it too",
        fix=set_path("imagePolicy.extraPrefixes[0]", "harbor.mct1.omani.works/"),
        shown='"harbor.mct1.omani.works"',
    ),
    Bad(
        path="imagePolicy.excludedNamespaces",
        key="imagePolicy.extraExcludedNamespaces[0]",
        value=["kube-system", "kyverno", "cnpg-system"],
        allowed="Enforce needs harbor among the excluded namespaces",
        fix=set_path("imagePolicy.extraExcludedNamespaces[0]", "harbor"),
        shown="(not set)",
        base={"imagePolicy": {"enforcement": "Enforce"}},
    ),
    Bad(
        path="imagePolicy.rewrite.projects",
        value={"dockerhub": "proxy"},
        allowed="'dockerhub' is not the host of a registry",
        fix="pulumi config rm --path 'imagePolicy.rewrite.projects' -s omantel\n"
        + set_path("imagePolicy.rewrite.projects.KEY", "proxy-dockerhub"),
        shown="(an object)",
    ),
    Bad(path="fqdn", value="omantel", allowed="one label is not", fix=_FQDN_FIX),
    Bad(path="fqdn", value="Omantel.omani.works", allowed="upper-case", fix=_FQDN_FIX),
    Bad(path="fqdn", value="https://a.b", allowed="a name, not a URL", fix=_FQDN_FIX),
    Bad(
        path="fqdn",
        value="registry.a.b",
        allowed="puts 'registry.' in front",
        fix=_FQDN_FIX,
    ),
    Bad(path="fqdn", value="a..b", allowed="lower-case DNS name", fix=_FQDN_FIX),
    Bad(path="fqdn", value="a.b.", allowed="lower-case DNS name", fix=_FQDN_FIX),
    Bad(path="fqdn", value="a_b.c", allowed="lower-case DNS name", fix=_FQDN_FIX),
    Bad(path="fqdn", value="10.0.0.1", allowed="lower-case DNS name", fix=_FQDN_FIX),
    Bad(
        path="fqdn",
        value="a." * 122 + "works",
        allowed="253 characters",
        fix=_FQDN_FIX,
        shown='"a.',
    ),
    Bad(path="fqdn", value=..., allowed="DNS name", fix=_FQDN_FIX, shown="(not set)"),
    Bad(
        path="sandbox",
        value="maybe",
        allowed="true or false",
        fix="pulumi config set sandbox false -s omantel",
    ),
    Bad(
        path="cluster.name",
        value=...,
        allowed="required: it keeps this stack from being applied to another cluster",
        fix=set_path("cluster.name", "omantel"),
        shown="(not set)",
    ),
    Bad(
        path="storage",
        value=...,
        allowed="an object with kind: hetzner or s3 or aws or gcs or azure or filesystem",
        fix=f"{set_path('storage.kind', 'hetzner')}\n{_REGION_FIX}\n{_BUCKET_FIX}",
        shown="(not set)",
    ),
    Bad(
        path="storage.kind",
        value="hetzne",
        allowed="one of hetzner, s3, aws, gcs, azure, filesystem",
        fix=set_path("storage.kind", "hetzner"),
    ),
    Bad(
        path="storage.kind",
        value=...,
        allowed="one of hetzner, s3, aws, gcs, azure, filesystem",
        fix=set_path("storage.kind", "hetzner"),
        shown="(not set)",
    ),
    Bad(
        path="storage",
        value="fsn1",
        allowed="an object with kind",
        fix="pulumi config rm storage -s omantel\n"
        f"{set_path('storage.kind', 'hetzner')}\n{_REGION_FIX}\n{_BUCKET_FIX}",
    ),
    Bad(
        path="storage.region",
        value="ash",
        allowed="one of fsn1, nbg1, hel1 (ash is a compute-only location without object storage)",
        fix=_REGION_FIX,
    ),
    Bad(
        path="storage.region",
        value="hil",
        allowed="hil is a compute-only",
        fix=_REGION_FIX,
    ),
    Bad(
        path="storage.region",
        value="sin",
        allowed="sin is a compute-only",
        fix=_REGION_FIX,
    ),
    Bad(
        path="storage.region",
        value="fra1",
        allowed="one of fsn1, nbg1, hel1",
        fix=_REGION_FIX,
    ),
    Bad(
        path="storage.region",
        value=...,
        allowed="one of fsn1",
        fix=_REGION_FIX,
        shown="(not set)",
    ),
    Bad(
        path="storage.bucket",
        value="omantel.harbor",
        allowed="no dots",
        fix=_BUCKET_FIX,
    ),
    Bad(path="storage.bucket", value="ab", allowed="3 to 63", fix=_BUCKET_FIX),
    Bad(path="storage.bucket", value="123e4", allowed="would not read a text", fix=_BUCKET_FIX),
    Bad(
        path="storage.bucket",
        value="Omantel",
        allowed="lower-case letters",
        fix=_BUCKET_FIX,
    ),
    Bad(
        path="storage.bucket",
        value="omantel-",
        allowed="ending with a letter",
        fix=_BUCKET_FIX,
    ),
    Bad(
        path="storage.bucket",
        value=["x"],
        allowed="3 to 63",
        fix=_BUCKET_FIX,
        shown="(a list)",
    ),
    Bad(
        path="storage.endpoint",
        value="https://nbg1.your-objectstorage.com",
        allowed="the endpoint of region fsn1 is https://fsn1.your-objectstorage.com",
        fix=set_path("storage.endpoint", "https://fsn1.your-objectstorage.com"),
    ),
    Bad(
        path="storage.endpoint",
        value="http://s3.example.com:9000",
        allowed="https outside the sandbox",
        fix=set_path("storage.endpoint", "https://s3.example.com:9000"),
        base=_S3,
    ),
    Bad(
        path="storage.endpoint",
        value="https://s3.example.com/bucket",
        allowed="without path",
        fix=set_path("storage.endpoint", "https://s3.example.com"),
        base=_S3,
    ),
    Bad(
        path="storage.endpoint",
        value="s3.example.com",
        allowed="a URL https://host[:port]",
        fix=set_path("storage.endpoint", "https://s3.example.com"),
        base=_S3,
    ),
    Bad(
        path="storage.endpoint",
        value="https://me:hunter2@s3.example.com",
        allowed="credentials do not belong into a URL",
        fix=set_path("storage.endpoint", "https://s3.example.com"),
        shown='"https://<hidden>@s3.example.com"',
        base=_S3,
    ),
    Bad(
        path="storage.endpoint",
        value="https://s3.example.com:99999",
        allowed="a URL",
        fix=set_path("storage.endpoint", "https://s3.example.com"),
        base=_S3,
    ),
    Bad(
        path="storage.caBundle",
        value="ca.crt",
        allowed="certificates in PEM",
        fix=set_path("storage.caBundle", "< ca.pem"),
        base=_S3,
    ),
    Bad(
        path="storage.chunkSize",
        value="5242879",
        allowed="from 5242880 (5 MiB) to 5368709120 (5 GiB)",
        fix=set_path("storage.chunkSize", "10485760"),
    ),
    Bad(
        path="storage.chunkSize",
        value="10Mi",
        allowed="digits only",
        fix=set_path("storage.chunkSize", "10485760"),
    ),
    Bad(
        path="storage.multipartCopyMaxConcurrency",
        value="0",
        allowed="a number from 1 to 1000",
        fix=set_path("storage.multipartCopyMaxConcurrency", "10"),
    ),
    Bad(
        path="storage.rootDirectory",
        value="../other",
        allowed="without '..'",
        fix=set_path("storage.rootDirectory", "harbor"),
    ),
    *(
        Bad(
            path="storage.region",
            value=region,
            allowed="the name of an AWS region",
            fix=set_path("storage.region", "eu-central-1"),
            base=_AWS,
        )
        for region in ("fsn1", "eu-central-1a", "EU-CENTRAL-1", "eu-central", "us-iso-east-1")
    ),
    Bad(
        path="storage.accountId",
        value="1111-2222-3333",
        allowed="the 12 digits of an AWS account",
        fix=set_path("storage.accountId", "111122223333"),
        base=_AWS,
    ),
    Bad(
        path="storage.kmsKeyArn",
        value="arn:aws:kms:eu-central-1:111122223333:alias/harbor",
        allowed="cannot name an alias",
        fix=set_path(
            "storage.kmsKeyArn",
            "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        ),
        base=_AWS,
    ),
    Bad(
        path="storage.kmsKeyArn",
        value="arn:aws:kms:us-east-1:111122223333:key/1",
        allowed="keys of the bucket's own region, here eu-central-1",
        fix=set_path(
            "storage.kmsKeyArn",
            "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        ),
        base=_AWS,
    ),
    *(
        Bad(
            path="storage.bucket",
            value=name,
            allowed="nor what Amazon S3 keeps for itself",
            fix=set_path("storage.bucket", "omantel-harbor"),
            base=_AWS,
        )
        for name in (
            "xn--omantel",
            "sthree-harbor",
            "amzn-s3-demo-harbor",
            "omantel-s3alias",
            "omantel--ol-s3",
            "omantel--x-s3",
            "omantel--table-s3",
        )
    ),
    *(
        Bad(
            path="storage.access.mode",
            value=mode,
            allowed="one of access-key, node-role (Harbor's registry cannot get credentials that "
            "way (docs/decisions/0008-keyless-on-aws.md)",
            fix=set_path("storage.access.mode", "access-key"),
            base=_AWS,
        )
        for mode in ("irsa", "pod-identity")
    ),
    Bad(
        path="storage.access.mode",
        value="none",
        allowed="one of access-key, node-role",
        fix=set_path("storage.access.mode", "access-key"),
        base=_AWS,
    ),
    Bad(
        path="storage.access",
        value="node-role",
        allowed="an object with mode: access-key or node-role",
        fix="pulumi config rm --path 'storage.access' -s omantel\n"
        f"{set_path('storage.access.mode', 'access-key')}",
        base=_AWS,
    ),
    Bad(
        path="storage.access.role",
        value=...,
        allowed="the name of an IAM role, not its ARN",
        fix=set_path("storage.access.role", "omantel-nodes"),
        shown="(not set)",
        base={"storage": {**AWS, "access": {"mode": "node-role", "role": "x"}}},
    ),
    Bad(
        path="storage.access.role",
        value="arn:aws:iam::111122223333:role/omantel-nodes",
        allowed="the name of an IAM role, not its ARN",
        fix=set_path("storage.access.role", "omantel-nodes"),
        base={"storage": {**AWS, "access": {"mode": "node-role"}}},
    ),
    Bad(
        path="storage.access.role",
        value="omantel-nodes",
        key="storage.access.role",
        allowed="no such setting; known here: epoch, mode, permissionsBoundary",
        fix="pulumi config rm --path 'storage.access.role' -s omantel",
        base=_AWS,
    ),
    Bad(
        path="storage.access.permissionsBoundary",
        value="boundary",
        allowed="the ARN of an IAM policy",
        fix=set_path(
            "storage.access.permissionsBoundary", "arn:aws:iam::111122223333:policy/boundary"
        ),
        base=_AWS,
    ),
    Bad(
        path="storage.endpoint",
        value="https://s3.eu-central-1.amazonaws.com",
        allowed="no such setting; known here",
        fix="pulumi config rm --path 'storage.endpoint' -s omantel",
        base=_AWS,
    ),
    Bad(
        path="storage.movedTo",
        value="hetzner/fsn1/other",
        allowed="the location of this section, hetzner/fsn1/omantel-harbor, and only after a move",
        fix="pulumi config rm --path 'storage.movedTo' -s omantel",
    ),
    Bad(
        path="storage.lockdown",
        value={"moreAccessKeys": []},
        key="storage.lockdown.projectId",
        shown="(not set)",
        allowed="the number of the project in the Console's address, digits only",
        fix=set_path("storage.lockdown.projectId", "1234567"),
    ),
    Bad(
        path="storage.lockdown.projectId",
        value="my-project",
        allowed="digits only",
        fix=set_path("storage.lockdown.projectId", "1234567"),
    ),
    Bad(
        path="storage.lockdown.moreAccessKeys",
        value=["short"],
        key="storage.lockdown.moreAccessKeys[0]",
        allowed="16 to 31 upper-case letters and digits (never the secret key)",
        fix=set_path("storage.lockdown.moreAccessKeys[0]", "0123456789ABCDEFGHIJ"),
        shown="<secret, 5 characters>",
        base=_LOCKDOWN,
    ),
    Bad(
        path="storage.lockdown.moreAccessKeys",
        value=[SECRET_KEY.upper().replace("-", "0")],
        key="storage.lockdown.moreAccessKeys[0]",
        allowed="never the secret key",
        fix=set_path("storage.lockdown.moreAccessKeys[0]", "0123456789ABCDEFGHIJ"),
        shown="<secret, 40 characters>",
        base=_LOCKDOWN,
    ),
    Bad(
        path="storage.lockdown",
        value={"projectId": "1234567"},
        allowed="no such setting",
        fix="pulumi config rm --path 'storage.lockdown' -s omantel",
        base=_S3,
        shown="(an object)",
    ),
    Bad(
        path="storage.size",
        value="50GB",
        allowed="a Kubernetes quantity",
        fix=set_path("storage.size", "10Gi"),
        base={"storage": {"kind": "filesystem"}},
    ),
    Bad(
        path="storage.regoin",
        value="fsn1",
        key="storage.regoin",
        allowed="no such setting; did you mean storage.region?",
        fix="pulumi config rm --path 'storage.regoin' -s omantel",
    ),
    Bad(
        path="storage.chunksize",
        value="5242880",
        allowed="did you mean storage.chunkSize?",
        fix=f"{set_path('storage.chunkSize', '5242880')}\n"
        "pulumi config rm --path 'storage.chunksize' -s omantel",
    ),
    Bad(
        path="storage.versioning.noncurrent_days",
        value=3,
        allowed="did you mean storage.versioning.noncurrentDays?",
        fix=f"{set_path('storage.versioning.noncurrentDays', '3')}\n"
        "pulumi config rm --path 'storage.versioning.noncurrent_days' -s omantel",
    ),
    Bad(
        path="harbour",
        value={"namespace": "harbor"},
        allowed="did you mean harbor?",
        fix=f"{set_path('harbor.namespace', 'harbor')}\npulumi config rm harbour -s omantel",
        shown="(an object)",
    ),
    Bad(
        path="wireguard",
        value="on",
        allowed="no such setting; known here: cluster, database, ",
        fix="pulumi config rm wireguard -s omantel",
    ),
    Bad(
        path="storage.secretKey",
        value=SECRET_KEY,
        allowed="did you mean the top-level secret s3SecretKey?",
        fix="pulumi config set --secret s3SecretKey -s omantel\n"
        "pulumi config rm --path 'storage.secretKey' -s omantel",
        shown="<secret, 40 characters>",
    ),
    Bad(
        path="s3accesskey",
        value=ACCESS_KEY,
        allowed="did you mean the top-level secret s3AccessKey?",
        fix="pulumi config set --secret s3AccessKey -s omantel\n"
        "pulumi config rm s3accesskey -s omantel",
        shown="<secret, 20 characters>",
    ),
    Bad(
        path="sealing.certificate",
        value="MIIB",
        allowed="a certificate in PEM",
        fix=set_path("sealing.certificate", "sealing-omantel.pem"),
    ),
    Bad(
        path="sealing.certificate",
        value=PRIVATE_KEY,
        allowed="this is a private key",
        fix=set_path("sealing.certificate", "sealing-omantel.pem"),
        shown=f"<private key, {len(PRIVATE_KEY)} characters>",
    ),
    Bad(
        path="sealing.timeoutSeconds",
        value=3600,
        allowed="a whole number from 5 to 900",
        fix=set_path("sealing.timeoutSeconds", "120"),
    ),
    Bad(
        path="harbor.namespace",
        value="Harbor",
        allowed="a Kubernetes name",
        fix=set_path("harbor.namespace", "harbor"),
    ),
    Bad(
        path="harbor.namespace",
        value="kube-system",
        allowed="Kubernetes keeps those that begin with kube-",
        fix=set_path("harbor.namespace", "harbor"),
    ),
    Bad(
        path="harbor.chart.version",
        value="^1.18",
        allowed="one exact version",
        fix=set_path("harbor.chart.version", "1.18.3"),
    ),
    Bad(
        path="harbor.chart.version",
        value="v1.18.3",
        allowed="a leading v",
        fix=set_path("harbor.chart.version", "1.18.3"),
    ),
    Bad(
        path="harbor.chart.sha256",
        value="abc",
        allowed="64 lower-case hexadecimal digits",
        fix=set_path("harbor.chart.sha256", "$(sha256sum harbor-1.18.3.tgz | cut -d' ' -f1)"),
    ),
    Bad(
        path="harbor.chart.source",
        value="http://helm.goharbor.io",
        allowed="not fetched over plain http",
        fix=set_path("harbor.chart.source", "https://helm.goharbor.io"),
    ),
    Bad(
        path="harbor.chart.source",
        value="oci://me:hunter2@registry.example.com/harbor",
        shown='"oci://<hidden>@registry.example.com/harbor"',
        allowed="credentials do not belong into a URL",
        fix=set_path("harbor.chart.source", "https://helm.goharbor.io"),
    ),
    Bad(
        path="harbor.logLevel",
        value="trace",
        allowed="one of debug, info, warning, error, fatal",
        fix=set_path("harbor.logLevel", "info"),
    ),
    Bad(
        path="harbor.replicas.core",
        value=0,
        allowed="a whole number from 1 to 50",
        fix=set_path("harbor.replicas.core", "2"),
    ),
    Bad(
        path="harbor.resources.trivy.memory",
        value="512m",
        allowed="m means thousandths of a byte",
        fix=set_path("harbor.resources.trivy.memory", "512Mi"),
    ),
    Bad(
        path="harbor.resources.core.cpu",
        value="half",
        allowed="a Kubernetes quantity of processors",
        fix=set_path("harbor.resources.core.cpu", "500m"),
    ),
    Bad(
        path="harbor.tolerations",
        value=[{"effect": "NoRun"}],
        key="harbor.tolerations[0].effect",
        shown='"NoRun"',
        allowed="one of NoSchedule, PreferNoSchedule, NoExecute",
        fix=set_path("harbor.tolerations[0].effect", "NoSchedule"),
    ),
    Bad(
        path="harbor.nodeSelector",
        value="amd64",
        allowed="an object of label values",
        fix="pulumi config rm --path 'harbor.nodeSelector' -s omantel\n"
        f"{set_path('harbor.nodeSelector.KEY', 'amd64')}",
    ),
    Bad(
        path="database.mode",
        value="internal",
        allowed="one of dedicated, shared",
        fix=set_path("database.mode", "dedicated"),
    ),
    Bad(
        path="database.storageSize",
        value="10",
        allowed="less than one mebibyte",
        fix=set_path("database.storageSize", "10Gi"),
    ),
    Bad(
        path="database.maxConnections",
        value=39,
        allowed="at least 40: 3 pods of core, jobservice and exporter",
        fix=set_path("database.maxConnections", "40"),
    ),
    Bad(
        path="database.reservedConnections",
        value=100,
        allowed="leave nothing to Harbor",
        fix=set_path("database.reservedConnections", "10"),
    ),
    Bad(
        path="database.sslmode",
        value="prefer",
        allowed="one of disable, require, verify-ca, verify-full",
        fix=set_path("database.sslmode", "require"),
        base=_DATABASE,
    ),
    Bad(
        path="database.sslmode",
        value="disable",
        allowed="disable is for the sandbox",
        fix=set_path("database.sslmode", "require"),
        base=_DATABASE,
    ),
    Bad(
        path="database.poolMode",
        value="transaction",
        allowed="Harbor's migrations take advisory locks and its driver prepares statements",
        fix=set_path("database.poolMode", "session"),
        base=_DATABASE,
    ),
    Bad(
        path="database.port",
        value=70000,
        allowed="a whole number from 1 to 65535",
        fix=set_path("database.port", "5432"),
        base=_DATABASE,
    ),
    Bad(
        path="database.host",
        value="postgres://pg:5432",
        allowed="without scheme and port",
        fix=set_path("database.host", "valkey-primary.valkey.svc.cluster.local"),
        base=_DATABASE,
    ),
    Bad(
        path="database.secret",
        value="hunter2",
        shown="<secret, 7 characters>",
        allowed="an object with the keys namespace, name, key",
        fix="pulumi config rm --path 'database.secret' -s omantel\n"
        f"{set_path('database.secret.namespace', 'harbor')}\n"
        f"{set_path('database.secret.name', 'harbor-database')}",
        base=_DATABASE,
    ),
    Bad(
        path="database.secret.key",
        value="hunter 2",
        shown="<secret, 8 characters>",
        allowed="never the password itself",
        fix=set_path("database.secret.key", "password"),
        base=_DATABASE,
    ),
    Bad(
        path="valkey.maxMemory",
        value="256Mi",
        allowed="less than valkey.memory (256Mi)",
        fix=set_path("valkey.maxMemory", "192Mi"),
    ),
    Bad(
        path="valkey.indexes.core",
        value=16,
        allowed="a whole number from 0 to 15",
        fix=set_path("valkey.indexes.core", "3"),
        base=_VALKEY,
    ),
    Bad(
        path="valkey.indexes.registry",
        value=1,
        allowed="1 is already taken by jobservice",
        fix=set_path("valkey.indexes.registry", "2"),
        base=_VALKEY,
    ),
    Bad(
        path="rotation.valkeyPassword",
        value=0,
        allowed="a whole number from 1",
        fix=set_path("rotation.valkeyPassword", "2"),
    ),
    Bad(
        path="rotation.secretKey",
        value=2,
        allowed="which a new key cannot decrypt",
        fix=set_path("rotation.secretKey", "1"),
    ),
    Bad(
        path="rotation.adminPassword",
        value=2,
        allowed="Harbor reads it only at its first start",
        fix=set_path("rotation.adminPassword", "1"),
    ),
    Bad(
        path="exposure.kind",
        value="nodePort",
        allowed="one of gateway, ingress",
        fix=set_path("exposure.kind", "gateway"),
    ),
    Bad(
        path="exposure.parentRefs",
        value=[],
        shown="(a list)",
        allowed="without one the route belongs to no Gateway",
        fix="pulumi config rm --path 'exposure.parentRefs' -s omantel\n"
        f"{set_path('exposure.parentRefs[0].name', 'cilium-gateway')}\n"
        f"{set_path('exposure.parentRefs[0].namespace', 'kube-system')}",
        base=_GATEWAY,
    ),
    Bad(
        path="exposure.parentRefs",
        value=[{"name": "g", "namespace": "n"}, {"name": "g", "namespace": "n"}],
        shown="(a list)",
        allowed="the same listener twice",
        fix="pulumi config rm --path 'exposure.parentRefs' -s omantel\n"
        f"{set_path('exposure.parentRefs[0].name', 'cilium-gateway')}\n"
        f"{set_path('exposure.parentRefs[0].namespace', 'kube-system')}",
        base=_GATEWAY,
    ),
    Bad(
        path="exposure.parentRefs",
        value=[{"name": "cilium-gateway"}],
        key="exposure.parentRefs[0].namespace",
        shown="(not set)",
        allowed="a Kubernetes name",
        fix=set_path("exposure.parentRefs[0].namespace", "kube-system"),
        base=_GATEWAY,
    ),
    Bad(
        path="exposure.certificate",
        value={"clusterIssuer": "letsencrypt-dns01-prod"},
        key="exposure.certificate.secretName",
        shown="(not set)",
        allowed="a Kubernetes object name",
        fix=set_path("exposure.certificate.secretName", "harbor-tls"),
        base=_GATEWAY,
    ),
    Bad(
        path="exposure.clusterIssuer",
        value=...,
        shown="(not set)",
        allowed="without a certificate the controller answers with one of its own",
        fix=set_path("exposure.clusterIssuer", "letsencrypt-dns01-prod"),
        base=_INGRESS,
    ),
    Bad(
        path="exposure.className",
        value=...,
        shown="(not set)",
        allowed="a Kubernetes object name",
        fix=set_path("exposure.className", "traefik"),
        base=_INGRESS,
    ),
    Bad(
        path="exposure.annotations",
        value={"proxy body size": "0"},
        shown="(an object)",
        allowed="proxy body size is not the name of one",
        fix="pulumi config rm --path 'exposure.annotations' -s omantel\n"
        f"{set_path('exposure.annotations.KEY', 'VALUE')}",
        base=_INGRESS,
    ),
    Bad(
        path="networkPolicies.gateway",
        value={"kind": "cilium"},
        key="networkPolicies.gateway.kind",
        shown='"cilium"',
        allowed="the controller of class traefik: as cilium its pods could not reach Harbor",
        fix=set_path("networkPolicies.gateway.kind", "namespace"),
        base=_INGRESS | {"networkPolicies": {}},
    ),
    Bad(
        path="networkPolicies.gateway",
        value={"kind": "namespace"},
        key="networkPolicies.gateway.namespace",
        shown="(not set)",
        allowed="a Kubernetes name",
        fix=set_path("networkPolicies.gateway.namespace", "traefik"),
    ),
    Bad(
        path="networkPolicies.gateway.kind",
        value="calico",
        allowed="one of cilium, namespace",
        fix=set_path("networkPolicies.gateway.kind", "cilium"),
    ),
    Bad(
        path="networkPolicies.apiServer",
        value=...,
        shown="(not set)",
        allowed="its pods ask the API server who leads",
        fix=_API_SERVER_FIX,
        base=_INGRESS,
    ),
    Bad(
        path="networkPolicies.apiServer",
        value={"cidr": "10.0.0.2/32"},
        shown="(an object)",
        allowed="not with gateway.kind cilium",
        fix="pulumi config rm --path 'networkPolicies.apiServer' -s omantel",
    ),
    Bad(
        path="networkPolicies.apiServer.cidr",
        value="10.0.0.2",
        allowed="without a prefix length",
        fix=_API_SERVER_FIX,
        base=_INGRESS,
    ),
    Bad(
        path="networkPolicies.outside",
        value=["10.0.0.1/8"],
        key="networkPolicies.outside[0]",
        shown='"10.0.0.1/8"',
        allowed="it has bits set behind the prefix",
        fix=set_path("networkPolicies.outside[0]", "10.20.0.0/16"),
    ),
    Bad(
        path="networkPolicies.monitoringNamespace",
        value="Monitoring",
        allowed="a Kubernetes name",
        fix=set_path("networkPolicies.monitoringNamespace", "harbor"),
    ),
    Bad(
        path="dns.zone",
        value="example.com",
        allowed="registry.omantel.omani.works is not in this zone",
        fix=set_path("dns.zone", "omantel.omani.works"),
        base=_DNS,
    ),
    Bad(
        path="dns.zone",
        value="ani.works",
        allowed="registry.omantel.omani.works is not in this zone",
        fix=set_path("dns.zone", "omantel.omani.works"),
        base=_DNS,
    ),
    Bad(
        path="dns.zone",
        value="omani.works.",
        allowed="none at the end",
        fix=set_path("dns.zone", "omani.works"),
        base=_DNS,
    ),
    Bad(
        path="dns.loadBalancer",
        value=...,
        shown="(not set)",
        allowed="either dns.loadBalancer or dns.addresses",
        fix=set_path("dns.loadBalancer.name", "omantel"),
        base=_DNS,
    ),
    Bad(
        path="dns.addresses",
        value={"ipv4": "203.0.113.7"},
        key="dns.loadBalancer",
        shown="(an object)",
        allowed="either dns.loadBalancer or dns.addresses",
        fix="pulumi config rm --path 'dns.loadBalancer' -s omantel",
        base=_DNS,
    ),
    Bad(
        path="dns.loadBalancer.selector",
        value="role=gateway",
        key="dns.loadBalancer.name",
        shown='"omantel"',
        allowed="either dns.loadBalancer.name or dns.loadBalancer.selector",
        fix="pulumi config rm --path 'dns.loadBalancer.name' -s omantel",
        base=_DNS,
    ),
    Bad(
        path="dns.addresses",
        value={"ipv4": "2001:db8::7"},
        key="dns.addresses.ipv4",
        shown='"2001:db8::7"',
        allowed="an IPv4 address",
        fix=set_path("dns.addresses.ipv4", "203.0.113.10"),
        base={"dns": {"kind": "hetzner", "zone": "omani.works"}},
    ),
    Bad(
        path="dns.ttl",
        value=5,
        allowed="a whole number from 60 to 86400",
        fix=set_path("dns.ttl", "300"),
        base=_DNS,
    ),
    Bad(
        path="dns.token",
        value=DNS_TOKEN,
        shown="<secret, 64 characters>",
        allowed="did you mean the top-level secret dnsToken?",
        fix="pulumi config set --secret dnsToken -s omantel\n"
        "pulumi config rm --path 'dns.token' -s omantel",
        base=_DNS,
    ),
    Bad(
        path="trivy.severity",
        value=["HIGH", "critical"],
        key="trivy.severity[1]",
        shown='"critical"',
        allowed="one of UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL",
        fix=set_path("trivy.severity[1]", "UNKNOWN"),
    ),
    Bad(
        path="trivy.severity",
        value=[],
        shown="(a list)",
        allowed="at least one",
        fix="pulumi config rm --path 'trivy.severity' -s omantel\n"
        f"{set_path('trivy.severity[0]', 'UNKNOWN')}",
    ),
    Bad(
        path="trivy.blockSeverity",
        value="UNKNOWN",
        allowed="one of NONE, LOW, MEDIUM, HIGH, CRITICAL",
        fix=set_path("trivy.blockSeverity", "CRITICAL"),
    ),
    Bad(
        path="trivy.scanOnPush",
        value=False,
        key="trivy.blockSeverity",
        shown="(not set)",
        allowed="an image that has not been scanned",
        fix=set_path("trivy.blockSeverity", "NONE"),
    ),
    Bad(
        path="trivy.severity",
        value=["UNKNOWN", "LOW"],
        key="trivy.blockSeverity",
        shown='"MEDIUM"',
        allowed="trivy.severity leaves MEDIUM, HIGH, CRITICAL out of reports",
        fix=set_path("trivy.blockSeverity", "NONE"),
        base={"trivy": {"blockSeverity": "MEDIUM"}},
    ),
    Bad(
        path="trivy.timeout",
        value="300",
        allowed="such as 5m0s",
        fix=set_path("trivy.timeout", "5m0s"),
    ),
    Bad(
        path="trivy.dbRepositories",
        value=["https://mirror.gcr.io/aquasec/trivy-db"],
        key="trivy.dbRepositories[0]",
        shown='"https://mirror.gcr.io/aquasec/trivy-db"',
        allowed="without scheme",
        fix=set_path("trivy.dbRepositories[0]", "mirror.gcr.io/aquasec/trivy-db"),
    ),
    Bad(
        path="metrics.serviceMonitor",
        value=True,
        allowed="it needs metrics.enabled true",
        fix=set_path("metrics.serviceMonitor", "false"),
    ),
    Bad(
        path="storage.bucket",
        value="${SANDBOX_BUCKET}",
        allowed="only a sandbox's stack may refer to the environment",
        fix=_BUCKET_FIX,
    ),
]


@pytest.mark.parametrize("bad", REFUSED, ids=str)
def test_refused(bad: Bad) -> None:
    reading = read(merged(bad.path, bad.value, bad.base))
    assert reading.settings is None
    assert [refusal.key for refusal in reading.refusals] == [bad.key or bad.path]
    refusal = reading.refusals[0]
    if bad.shown:
        assert refusal.value.startswith(bad.shown)
    else:
        assert refusal.value == json.dumps(bad.value)
    assert bad.allowed in refusal.allowed
    assert refusal.fix == bad.fix


def test_the_refused_table_covers_every_section() -> None:
    assert {bad.path.split(".")[0] for bad in REFUSED} >= set(spec.keys_at((), {})) - {
        "protect",
        "retainData",
    }


def test_all_problems_are_told_at_once() -> None:
    raw = merged("storage.region", "ash")
    raw |= {
        "fqdn": "Omantel",
        "cluster": {},
        "database": {"maxConnections": 20},
        "valkey": {"memory": "lots", "memorry": "256Mi"},
        "unheard": "of",
    }
    keys = {refusal.key for refusal in read(raw).refusals}
    # Rules between sections ran too: cluster.name and database.maxConnections are two of them.
    assert keys == {
        "fqdn",
        "cluster.name",
        "storage.region",
        "database.maxConnections",
        "valkey.memory",
        "valkey.memorry",
        "unheard",
    }


def test_the_text_reads_as_a_list_of_repairs() -> None:
    reading = read(merged("storage.region", "ash", {"fqdn": "omantel"}))
    text = str(SettingsRefused(stack="omantel", refusals=reading.refusals))
    assert text.startswith("2 settings of stack omantel are refused; nothing was touched\n")
    assert text.endswith(
        'sovereign-harbor:storage.region = "ash"\n'
        "  allowed: one of fsn1, nbg1, hel1 (ash is a compute-only location without object "
        "storage)\n"
        "  fix:     pulumi config set --path 'storage.region' fsn1 -s omantel"
    )


def test_obeying_every_fix_of_an_empty_config_makes_it_valid() -> None:
    raw: dict[str, Any] = {}
    for refusal in read(raw).refusals:
        for command in refusal.fix.splitlines():
            match = re.fullmatch(r"pulumi config set (?:--path )?'?([^' ]+)'? (\S+) -s .*", command)
            assert match is not None, command
            raw = merged(match[1], match[2], {**raw})
    assert read(raw).refusals == ()


def test_a_setting_given_encrypted_is_refused_and_not_shown() -> None:
    raw = merged("fqdn", "omantel.omani.works")
    reading = refusals.read(raw, stack="omantel", encrypted=["fqdn", "storage"])
    assert [refusal.key for refusal in reading.refusals] == ["fqdn", "storage"]
    assert "omani" not in reading.refusals[0].value
    assert reading.refusals[0].fix.startswith("pulumi config rm fqdn -s omantel\n")


def leaves(path: tuple[str, ...], raw: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key in spec.keys_at(path, raw):
        here = (*path, key)
        try:
            spec.keys_at(here, raw)
        except (IndexError, KeyError):
            yield here
        else:
            yield from leaves(here, raw)


@pytest.mark.parametrize(
    "base",
    [
        {},
        _S3,
        _DATABASE | _VALKEY,
        {"storage": {"kind": "filesystem", "size": "50Gi"}},
        _AWS,
        {"storage": {**AWS, "access": {"mode": "node-role", "role": "omantel-nodes"}}},
        _INGRESS | _DNS,
    ],
    ids=["hetzner", "s3", "shared", "filesystem", "aws", "aws keyless", "perimeter"],
)
def test_every_setting_says_what_is_allowed_with_an_example_that_is(
    base: dict[str, Any],
) -> None:
    raw = {**GOOD, **base}
    for path in leaves((), raw):
        where = spec.spec_at(path, raw)
        assert where.allowed != "a text", path
        for below, example in where.examples:
            if (
                not below
                and not is_for_the_shell(example)
                and where.rule is not None
                and not example.isdigit()
            ):
                assert where.accepts(example), path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("${SANDBOX_X}"),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2)
    ),
    max_leaves=4,
)
known_paths = st.sampled_from(sorted({bad.path for bad in REFUSED}))


@given(path=known_paths, value=json_values, shared=st.booleans())
def test_no_value_anywhere_breaks_the_messages(path: str, value: Any, shared: bool) -> None:
    base = _DATABASE | _VALKEY | _S3 if shared else {}
    reading = read(merged(path, value, base))
    assert (reading.settings is None) == bool(reading.refusals)
    assert all(refusal.fix and refusal.allowed for refusal in reading.refusals)


# With a letter that stands in no number's notation.
@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}[g-n][a-z0-9-]{0,29}[a-z0-9]", fullmatch=True))
def test_every_name_of_the_bucket_rule_is_accepted(name: str) -> None:
    assert read(merged("storage.bucket", name)).refusals == ()


@given(
    st.lists(
        st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True),
        min_size=2,
        max_size=5,
    )
)
def test_every_name_of_the_fqdn_rule_is_accepted(labels: list[str]) -> None:
    refused = read(merged("fqdn", ".".join(labels))).refusals
    assert bool(refused) == (labels[0] == "registry")


# --- References to the sandbox's environment ---------------------------------------------------


def test_references_are_replaced_in_a_sandbox() -> None:
    raw = merged("storage", {**S3, "endpoint": "${SANDBOX_S3_ENDPOINT}"}, {"sandbox": "true"})
    reading = refusals.read(raw, stack="local", environ=SANDBOX_ENVIRONMENT)
    assert reading.settings is not None
    assert reading.settings.storage.endpoint_url == "http://127.0.0.1:7070"


def test_a_reference_that_is_not_set_says_how_to_set_it() -> None:
    raw = merged("storage", {**S3, "endpoint": "${SANDBOX_S3_ENDPOINT}"}, {"sandbox": "true"})
    (refusal,) = refusals.read(raw, stack="local").refusals
    assert refusal == Refusal(
        key="storage.endpoint",
        value='"${SANDBOX_S3_ENDPOINT}"',
        allowed="the environment of the running sandbox, which sets SANDBOX_S3_ENDPOINT "
        "(run make up first)",
        fix='eval "$(make -s env)"',
    )


def test_what_a_reference_stands_for_is_not_shown() -> None:
    raw = merged("storage.bucket", "${SANDBOX_S3_SECRET_KEY}", {"sandbox": "true"})
    environ = {"SANDBOX_S3_SECRET_KEY": "Not A Bucket"}
    (refusal,) = refusals.read(raw, stack="local", environ=environ).refusals
    assert refusal.value == '"${SANDBOX_S3_SECRET_KEY}"'


def test_only_variables_of_the_sandbox_are_replaced() -> None:
    assert expand("${HOME}/${SANDBOX_A}", {"HOME": "/root", "SANDBOX_A": "a"}) == "${HOME}/a"
    with pytest.raises(UnsetVariable, match=r"SANDBOX_A is not set; run: eval"):
        expand("${SANDBOX_A}", {})


def test_dynamic_providers_find_the_context_in_the_raw_config() -> None:
    assert cluster_context({"cluster": '{"context": "omantel"}'}.get) == "omantel"
    assert cluster_context({"cluster": "{}"}.get) is None
    assert cluster_context({}.get) is None


# --- The running stack -------------------------------------------------------------------------


class NoResources(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise AssertionError(f"{args.name} was registered")

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"{args.token} was called")


class Stack:
    """A stack under Pulumi's mocks, with the warnings it logged."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._monkeypatch = monkeypatch
        self.warnings: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", self.warnings.append)
        for name in ("HARBOR_CHART", *SANDBOX_ENVIRONMENT):
            monkeypatch.delenv(name, raising=False)

    def load(
        self,
        config: dict[str, Any],
        *,
        secrets: dict[str, str] | None = None,
        preview: bool = False,
        stack: str = "omantel",
        environ: dict[str, str] | None = None,
    ) -> StackConfig:
        for name, value in (environ or {}).items():
            self._monkeypatch.setenv(name, value)
        mocks.set_mocks(NoResources(), project=PROJECT, stack=stack, preview=preview)
        texts = {
            f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in {**config, **(secrets or {})}.items()
        }
        encrypted = [f"{PROJECT}:{key}" for key in secrets or {}]
        pulumi.runtime.set_all_config({**texts, "other:key": "x"}, encrypted)
        return stack_config.load()

    def resolve(self, output: pulumi.Output[str] | None) -> tuple[str | None, bool, bool]:
        """Value (None if unknown), whether it is known, whether it is secret."""
        assert output is not None

        async def parts() -> tuple[str | None, bool, bool]:
            known = await output.is_known()
            return await output.future(), known, await output.is_secret()

        return self._loop.run_until_complete(parts())


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield Stack(monkeypatch, loop)
    loop.run_until_complete(wait_for_rpcs())
    reset_options()
    pulumi.runtime.set_all_config({}, [])
    asyncio.set_event_loop(None)
    loop.close()


BOTH = {"s3AccessKey": ACCESS_KEY, "s3SecretKey": SECRET_KEY}


def test_secrets_stay_secret_outputs(stack: Stack) -> None:
    config = stack.load(GOOD, secrets=BOTH)
    assert config.settings.fqdn == "omantel.omani.works"
    assert stack.resolve(config.secrets["s3AccessKey"]) == (ACCESS_KEY, True, True)
    assert stack.resolve(config.secrets["s3SecretKey"]) == (SECRET_KEY, True, True)
    assert SECRET_KEY not in repr(config)
    assert stack.warnings == []


def test_a_preview_without_secrets_goes_on_with_unknown_ones_and_one_warning(
    stack: Stack,
) -> None:
    config = stack.load(GOOD, preview=True)
    for output in (config.secrets["s3AccessKey"], config.secrets["s3SecretKey"]):
        _, known, secret = stack.resolve(output)
        assert (known, secret) == (False, True)
    (warning,) = stack.warnings
    assert "s3AccessKey, s3SecretKey" in warning
    assert "pulumi config set --secret s3SecretKey -s omantel" in warning


def test_an_update_without_secrets_is_refused_beside_all_other_problems(
    stack: Stack,
) -> None:
    with pytest.raises(pulumi.RunError) as raised:
        stack.load(merged("fqdn", "Omantel"), secrets={"s3AccessKey": ACCESS_KEY})
    assert isinstance(raised.value, SettingsRefused)
    fqdn, secret = raised.value.refusals
    assert fqdn.key == "fqdn"
    assert secret == Refusal(
        key="s3SecretKey",
        value="(not set)",
        allowed="32 to 128 characters without spaces, encrypted",
        fix="pulumi config set --secret s3SecretKey -s omantel",
    )
    assert stack.warnings == []


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("s3AccessKey", "fifteen-letters", "16 to 64 characters"),
        ("s3AccessKey", "x" * 65, "16 to 64 characters"),
        ("s3SecretKey", "x" * 31, "32 to 128 characters"),
        ("s3SecretKey", "x" * 129, "32 to 128 characters"),
        ("s3SecretKey", "topmost-" * 5 + "\n", "white space"),
        ("s3SecretKey", "${SANDBOX_S3_SECRET_KEY}", "only a sandbox's stack"),
        ("harborSecretKey", "x" * 15, "exactly 16 characters"),
        ("harborSecretKey", "x" * 17, "exactly 16 characters"),
        ("harborAdminPassword", "x" * 7, "8 to 128 characters"),
        ("databasePassword", "a password of several words", "white space"),
    ],
)
def test_a_bad_secret_is_refused_without_being_shown(
    stack: Stack, *, key: str, value: str, reason: str, preview: bool
) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load(GOOD, secrets={**BOTH, key: value}, preview=preview)
    (refusal,) = raised.value.refusals
    assert refusal.key == key
    assert reason in refusal.allowed
    assert refusal.fix == f"pulumi config set --secret {key} -s omantel"
    if not value.startswith("$"):
        assert refusal.value == f"<secret, {len(value)} characters>"
        assert value.strip() not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "needed"),
    [
        ({"harbor": {"adopt": True}}, ["harborAdminPassword", "harborSecretKey"]),
        ({"database": {"adopt": True}}, ["databasePassword"]),
        ({"harbor": {"adopt": False}, "database": {"adopt": False}}, list[str]()),
    ],
    ids=str,
)
def test_what_is_taken_over_needs_the_secrets_that_it_is_bound_to(
    stack: Stack, section: dict[str, Any], needed: list[str]
) -> None:
    if not needed:
        assert stack.load({**GOOD, **section}, secrets=BOTH).secrets.keys() == BOTH.keys()
        return
    with pytest.raises(SettingsRefused) as raised:
        stack.load({**GOOD, **section}, secrets=BOTH)
    assert sorted(refusal.key for refusal in raised.value.refusals) == needed


def test_a_given_key_is_a_secret_output_that_can_be_compared(stack: Stack) -> None:
    key = "sixteen-letters!"
    config = stack.load(GOOD, secrets={**BOTH, "harborSecretKey": key})
    assert stack.resolve(config.secrets["harborSecretKey"]) == (key, True, True)
    is_key = config.is_secret["harborSecretKey"]
    assert is_key(key)
    assert not is_key(key.upper())
    assert not is_key("")
    assert key not in repr(config)


def test_a_given_database_password_is_not_rotated_by_a_number(stack: Stack) -> None:
    given = {**BOTH, "databasePassword": "of-the-estate"}
    with pytest.raises(SettingsRefused) as raised:
        stack.load({**GOOD, "rotation": {"databasePassword": 2}}, secrets=given)
    (refusal,) = raised.value.refusals
    assert refusal.key == "rotation.databasePassword"
    assert "pulumi config rm databasePassword -s omantel" in refusal.fix
    assert stack.load({**GOOD, "rotation": {"databasePassword": 2}}, secrets=BOTH)


def test_a_secret_in_plain_text_is_refused_without_being_shown(stack: Stack) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load({**GOOD, **{key: f'{{"secret of": "{key}"}}' for key in SECRETS}})
    assert [refusal.key for refusal in raised.value.refusals] == list(SECRETS)
    for refusal in raised.value.refusals:
        assert "it stands readable in the stack's file" in refusal.allowed
    assert "secret of" not in str(raised.value)


def test_no_refusal_shows_a_secret_wherever_it_was_put(stack: Stack) -> None:
    raw = merged("storage.secretKey", SECRET_KEY, _DATABASE)
    raw["database"]["secret"] = SECRET_KEY
    raw |= {
        "s3_secret_key": SECRET_KEY,
        "adminPassword": SECRET_KEY,
        "harbour": {"a": SECRET_KEY},
    }
    raw["storage"]["endpoint"] = f"https://{ACCESS_KEY}:{SECRET_KEY}@s3.example.com"
    with pytest.raises(SettingsRefused) as raised:
        stack.load(raw, secrets={**BOTH, "somethingElse": SECRET_KEY, "valkeyy": SECRET_KEY})
    assert len(raised.value.refusals) == 8
    assert SECRET_KEY not in str(raised.value)


def test_storage_on_a_volume_needs_no_keys(stack: Stack) -> None:
    config = stack.load({**GOOD, "storage": {"kind": "filesystem", "size": "50Gi"}})
    assert config.secrets == {}


def test_records_of_a_vendor_need_its_token(stack: Stack) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load({**GOOD, **_DNS}, secrets=BOTH)
    (refusal,) = raised.value.refusals
    assert refusal == Refusal(
        key="dnsToken",
        value="(not set)",
        allowed="32 to 256 characters without spaces, encrypted",
        fix="pulumi config set --secret dnsToken -s omantel",
    )
    config = stack.load({**GOOD, **_DNS}, secrets={**BOTH, "dnsToken": DNS_TOKEN})
    assert stack.resolve(config.secrets["dnsToken"]) == (DNS_TOKEN, True, True)


def test_a_preview_without_the_token_goes_on_with_an_unknown_one(stack: Stack) -> None:
    config = stack.load({**GOOD, **_DNS}, secrets=BOTH, preview=True)
    _, known, secret = stack.resolve(config.secrets["dnsToken"])
    assert (known, secret) == (False, True)
    (warning,) = stack.warnings
    assert "dnsToken" in warning


def test_empty_defaults_of_the_project_file_mean_not_set(stack: Stack) -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    defaults = {key: declared["default"] for key, declared in project["config"].items()}
    with pytest.raises(SettingsRefused) as raised:
        stack.load(defaults)
    assert {refusal.key for refusal in raised.value.refusals} == {
        "fqdn",
        "cluster.name",
        "storage",
    }
    assert stack.load({**defaults, **GOOD}, secrets=BOTH).settings == read(GOOD).settings


def test_harbor_chart_replaces_the_source_of_the_chart(stack: Stack) -> None:
    config = stack.load(GOOD, secrets=BOTH, environ={"HARBOR_CHART": "/charts/harbor"})
    assert config.settings.harbor.chart.source == "/charts/harbor"


def test_a_bad_harbor_chart_is_mended_where_it_was_set(stack: Stack) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load(GOOD, secrets=BOTH, environ={"HARBOR_CHART": "http://charts"})
    (refusal,) = raised.value.refusals
    assert (refusal.key, refusal.fix) == ("harbor.chart.source", "unset HARBOR_CHART")


def test_an_address_that_smells_of_a_pooler_is_a_warning_only(stack: Stack) -> None:
    database = {**SHARED_DATABASE, "host": "gitlab-postgres-pooler"}
    config = stack.load({**GOOD, "database": database}, secrets=BOTH)
    assert isinstance(config.settings.database, SharedDatabase)
    (warning,) = stack.warnings
    assert "database.poolMode" in warning
    stack.load({**GOOD, "database": {**database, "poolMode": "session"}}, secrets=BOTH)
    assert len(stack.warnings) == 1


# --- The committed files -----------------------------------------------------------------------


def committed(name: str) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"]
    assert config["pulumi:disable-default-providers"] == ["kubernetes"]
    prefix = f"{PROJECT}:"
    return {
        key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)
    }


@pytest.mark.parametrize("name", ["omantel", "otech"])
def test_a_sovereign_previews_with_nothing_but_its_committed_file(stack: Stack, name: str) -> None:
    config = committed(name)
    secrets = {key: config.pop(key)["secure"] for key in SECRETS if key in config}
    settings = stack.load(config, preview=True, stack=name).settings
    assert settings.fqdn == f"{name}.omani.works"
    assert settings.cluster.name == name
    assert isinstance(settings.storage, HetznerStorage)
    assert (settings.storage.bucket, settings.storage.region) == (
        f"{name}-harbor",
        "fsn1",
    )
    assert settings.protect
    assert len(stack.warnings) == 1
    assert secrets == {} or set(secrets) >= set(settings.storage.needed_secrets)


def test_the_sandbox_takes_everything_else_from_its_environment(stack: Stack) -> None:
    config = stack.load(committed("local"), stack="local", environ=SANDBOX_ENVIRONMENT)
    assert config.settings.sandbox
    assert config.settings.storage.endpoint_url == "http://127.0.0.1:7070"
    assert config.settings.cluster.context == "kwok-sandbox"
    assert config.settings.sealing.certificate_is_path
    assert stack.resolve(config.secrets["s3SecretKey"]) == ("sandbox-secret", True, True)


def test_the_sandbox_that_does_not_run_says_so(stack: Stack) -> None:
    assert not any(name in os.environ for name in SANDBOX_ENVIRONMENT)
    with pytest.raises(SettingsRefused) as raised:
        stack.load(committed("local"), stack="local", preview=True)
    assert len(raised.value.refusals) == 5
    assert {refusal.fix for refusal in raised.value.refusals} == {'eval "$(make -s env)"'}


def test_the_project_file_declares_every_setting_and_requires_none_by_itself() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(declared) == {*spec.keys_at((), {}), *SECRETS}
    for key, about in declared.items():
        assert about["description"], key
        # Without a default the engine would refuse the stack itself, one key at a time.
        assert about["default"] in ("", {}), key
