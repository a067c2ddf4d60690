"""The components as the program builds them, one builder each, and what they stand on."""

import base64
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest

from components import cluster_client, preflight
from components.cluster_client import ClusterUnreachable
from components.credentials import Credentials, CredentialsArgs
from components.data_services import cache_for, database_for, requests_and_limits
from components.harbor import interrupted
from components.harbor.release import HarborRegistry, harbor_args
from components.object_storage.args import ObjectStorageArgs
from components.object_storage.component import ObjectStorage
from components.postgres import Postgres, PostgresArgs
from components.settings.database import SecretRef
from components.settings.model import Settings
from components.settings.rotation import Rotation
from components.shared_services import SharedCredentials, SharedCredentialsArgs
from components.site import Site
from components.valkey import Valkey, ValkeyArgs
from tests.unit.mocks import MARK

FQDN = "omantel.omani.works"
ACCESS_KEY = f"{MARK}ACCESSKEY20"
SECRET_KEY = f"{MARK}-secret-key-of-forty-characters-"
KEY_FILE = json.dumps(
    {
        "type": "service_account",
        "client_email": "harbor@omantel.iam.gserviceaccount.com",
        "private_key": f"-----BEGIN PRIVATE KEY-----\n{MARK}\n-----END PRIVATE KEY-----\n",
    },
    indent=2,
)
ACCOUNT_KEY = f"{MARK:x<86}=="
SECRETS = {
    "s3AccessKey": ACCESS_KEY,
    "s3SecretKey": SECRET_KEY,
    "gcsKeyData": KEY_FILE,
    "azureAccountKey": ACCOUNT_KEY,
}
"""Those of every kind of storage, by config key."""
PASSWORD = f"{MARK}password"
SHARED = SecretRef(namespace="valkey", name="valkey", key="valkey-password")

BUCKET: dict[str, Any] = {
    "kind": "s3",
    "endpoint": "https://s3.example.com",
    "region": "us-east-1",
    "bucket": "omantel-harbor",
}
AWS: dict[str, Any] = {"kind": "aws", "region": "eu-central-1", "bucket": "omantel-harbor"}
NODE_ROLE: dict[str, Any] = {**AWS, "access": {"mode": "node-role", "role": "omantel-nodes"}}
KEYED_GCS: dict[str, Any] = {"kind": "gcs", "bucket": "omantel_harbor", "rootDirectory": "images"}
KEYLESS_GCS: dict[str, Any] = {
    "kind": "gcs",
    "bucket": "omantel-harbor",
    "workloadIdentity": True,
    "serviceAccount": "harbor-registry",
}
AZURE: dict[str, Any] = {"kind": "azure", "account": "omantelharbor", "container": "harbor"}
FILESYSTEM: dict[str, Any] = {"kind": "filesystem", "size": "50Gi", "storageClass": "fast"}


@dataclass
class Cluster:
    """An API server: what GET answers by path; anything else is not there, or (has_everything)
    there and empty.

    Takes the place of ClusterClient, class and instance in one.
    """

    objects: dict[str, Any] = field(default_factory=dict)
    cluster_name: str = "omantel"
    contexts: list[str | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    is_up: bool = True
    has_everything: bool = False

    def __call__(self, context: str | None) -> "Cluster":
        if not self.is_up:
            raise ClusterUnreachable("connection refused")
        self.contexts.append(context)
        return self

    def get(self, path: str) -> Any:
        self.asked.append(path)
        found = self.objects.get(path, {} if self.has_everything else None)
        return found() if callable(found) else found

    def text(self, path: str) -> str:
        return str(self.objects[path])

    def put_secret(self, ref: SecretRef, value: str) -> None:
        encoded = base64.b64encode(value.encode()).decode()
        path = f"/api/v1/namespaces/{ref.namespace}/secrets/{ref.name}"
        self.objects[path] = {"data": {ref.key: encoded}}

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> "Cluster":
        for module in (cluster_client, preflight, interrupted):
            monkeypatch.setattr(module, "ClusterClient", self)
        return self


def settings(**sections: Any) -> Settings:
    """Settings with these sections, in config keys, over the smallest valid config."""
    given = {"fqdn": FQDN, "cluster": {"name": "omantel"}, "storage": BUCKET, **sections}
    return Settings.model_validate(given)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What every component is given: the site and the options with the one provider."""

    site: Site
    opts: pulumi.ResourceOptions
    password: pulumi.Output[str]

    @classmethod
    def of(cls, certificate: str, *, protect: bool = True, retain: bool = True) -> "Ground":
        return cls(
            site=Site(
                fqdn=FQDN,
                namespace=pulumi.Output.from_input("registry"),
                certificate=certificate,
                unseal_seconds=5,
                protect=protect,
                retain=retain,
            ),
            opts=pulumi.ResourceOptions(provider=k8s.Provider("cluster", context="omantel")),
            password=pulumi.Output.secret(PASSWORD),
        )


def object_storage(ground: Ground, storage: dict[str, Any] | None = None) -> ObjectStorage:
    return ObjectStorage(
        "object-storage",
        ObjectStorageArgs(
            settings=settings(storage=storage or BUCKET).storage,
            secrets={key: pulumi.Output.secret(value) for key, value in SECRETS.items()},
            owner="sovereign-harbor/omantel",
            site=ground.site,
        ),
        ground.opts,
    )


def credentials(
    ground: Ground, given: dict[str, pulumi.Output[str]] | None = None, **epochs: int
) -> Credentials:
    return Credentials(
        "credentials",
        CredentialsArgs(
            epochs={**Rotation().epochs, **{k.replace("_", "-"): v for k, v in epochs.items()}},
            site=ground.site,
            given=given or {},
        ),
        ground.opts,
    )


def postgres_args(ground: Ground, **changes: Any) -> PostgresArgs:
    args = PostgresArgs(
        password=ground.password,
        image="ghcr.io/cloudnative-pg/postgresql:17.6",
        instances=1,
        storage_size="10Gi",
        wal_storage_size=None,
        storage_class=None,
        max_connections=100,
        resources=requests_and_limits("500m", "512Mi"),
        site=ground.site,
    )
    return replace(args, **changes)


def postgres(ground: Ground, **changes: Any) -> Postgres:
    return Postgres("database", postgres_args(ground, **changes), ground.opts)


def valkey_args(ground: Ground, **changes: Any) -> ValkeyArgs:
    args = ValkeyArgs(
        password=ground.password,
        image="docker.io/valkey/valkey:8@sha256:00",
        storage_size="2Gi",
        storage_class=None,
        max_memory_bytes=201326592,
        resources=requests_and_limits("250m", "256Mi"),
        site=ground.site,
    )
    return replace(args, **changes)


def valkey(ground: Ground, **changes: Any) -> Valkey:
    return Valkey("cache", valkey_args(ground, **changes), ground.opts)


def shared_credentials(ground: Ground) -> SharedCredentials:
    """Reads SHARED from the cluster; who calls this lets a Cluster stand in."""
    return SharedCredentials(
        "cache",
        SharedCredentialsArgs(
            source=SHARED,
            context="admin@omantel",
            secret_name="harbor-shared-valkey",
            data=lambda password: {
                "password": password,
                "url": password.apply("redis://:{}".format),
            },
            site=ground.site,
        ),
        ground.opts,
    )


def harbor(ground: Ground, **sections: Any) -> HarborRegistry:
    """With all that it stands on, put together as the program does it."""
    wanted = settings(**sections)
    storage = object_storage(ground, sections.get("storage"))
    minted = credentials(ground)
    database = database_for(wanted, minted.database_password, ground.site, ground.opts)
    cache = cache_for(wanted, minted.valkey_password, ground.site, ground.opts)
    args = harbor_args(wanted, ground.site, storage, minted, database, cache)
    return HarborRegistry("harbor", args, ground.opts)
