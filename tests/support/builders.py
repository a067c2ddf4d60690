"""The components as the program builds them, one builder each, and what they stand on."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import pulumi
import pulumi_kubernetes as k8s
import pytest

from components.adopted import Adopted, LiveDatabase
from components.backup import component as of_backup
from components.backup.component import Backup
from components.context import Context
from components.credentials import Credentials, CredentialsArgs
from components.data_services import cache, database
from components.data_services.postgres import Postgres, PostgresArgs
from components.data_services.shared import SharedCredentials, SharedCredentialsArgs
from components.data_services.valkey import Valkey, ValkeyArgs
from components.harbor import recovery, release
from components.harbor.release import HarborRegistry
from components.kubernetes import client
from components.kubernetes.unreachable import ClusterUnreachable
from components.object_storage.args import ObjectStorageArgs
from components.object_storage.component import ObjectStorage
from components.preflight import run as preflight
from components.registry_address import RegistryAddress
from components.settings.database import DedicatedDatabase, SecretRef
from components.settings.model import Settings
from components.settings.rotation import RotationSettings
from components.settings.secrets import ExternalDelivery, StoreSettings
from components.settings.valkey import DedicatedValkey
from components.stack_config import StackConfig
from tests.support.mocks import MARK

T = TypeVar("T")

FQDN = "omantel.omani.works"
NAMESPACE = "registry"
"""Harbor's."""
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
    "backupAccessKey": f"{MARK}-backup-access",
    "backupSecretKey": f"{MARK}-backup-secret",
}
"""Those of every kind of storage, and of backups, by config key."""
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
BACKUP: dict[str, Any] = {
    "destination": {
        "bucket": "omantel-backup",
        "endpoint": "https://s3.example.com",
        "region": "us-east-1",
    }
}
"""A section `backup`; it needs LASTING, too."""
LASTING: dict[str, Any] = {**BUCKET, "versioning": {"noncurrentDays": 30}}
"""A bucket of images that keeps deleted blobs as long as BACKUP keeps backups."""
CACHES: dict[str, Any] = {"proxyCaches": {"ghcr": {"upstream": {"type": "github-ghcr"}}}}
"""A section `registry` with a project that images are rewritten to."""
FILESYSTEM: dict[str, Any] = {"kind": "filesystem", "size": "50Gi", "storageClass": "fast"}


KINDS = (
    "Certificate",
    "CiliumNetworkPolicy",
    "Cluster",
    "ClusterPolicy",
    "Database",
    "DatabaseRole",
    "HTTPRoute",
    "ImageValidatingPolicy",
    "MutatingPolicy",
    "ObjectStore",
    "Schedule",
    "ScheduledBackup",
    "ExternalSecret",
    "PushSecret",
    "ClusterSecretStore",
    "SecretStore",
    "PodMonitor",
    "PrometheusRule",
    "SealedSecret",
    "ServiceMonitor",
    "ValidatingPolicy",
)


def serving(*kinds: str) -> dict[str, Any]:
    """What an API server answers about a version of an API with these kinds."""
    return {"resources": [{"kind": kind} for kind in kinds]}


@dataclass
class Cluster:
    """An API server: what GET answers by path; anything else is not there, or (has_everything)
    there and empty. A version of an API has all kinds that any stack needs.

    Takes the place of ClusterClient, class and instance in one.
    """

    objects: dict[str, Any] = field(default_factory=dict)
    cluster_name: str | None = "omantel"
    contexts: list[str | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    merged: list[tuple[str, Any]] = field(default_factory=list)
    is_up: bool = True
    refused: dict[str, int | None] = field(default_factory=dict)
    """Path → the status that it is refused with; None for no answer."""
    denied: frozenset[str] = frozenset()
    """Resources that whoever asks may not use."""
    has_everything: bool = False

    def __call__(self, context: str | None) -> "Cluster":
        if not self.is_up:
            raise ClusterUnreachable("connection refused")
        self.contexts.append(context)
        return self

    def get(self, path: str) -> Any:
        self.asked.append(path)
        if path in self.refused:
            raise ClusterUnreachable(f"{path}: forbidden", self.refused[path])
        is_version = path.startswith("/apis/") and path.count("/") == 3
        everything = serving(*KINDS) if is_version else {}
        if path.startswith("/openapi/"):
            everything = {"properties": {"isWALArchiver": {}}}
        answer = self.objects.get(path, everything if self.has_everything else None)
        return answer() if callable(answer) else answer

    def post(self, path: str, body: dict[str, Any]) -> Any:
        assert path.endswith("/selfsubjectaccessreviews"), path
        attributes = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": attributes["resource"] not in self.denied}}

    def patch(self, path: str, merge: dict[str, Any]) -> None:
        self.merged.append((path, merge))

    def text(self, path: str) -> str:
        return str(self.objects[path])

    def put_secret(self, ref: SecretRef, value: str) -> None:
        encoded = base64.b64encode(value.encode()).decode()
        path = f"/api/v1/namespaces/{ref.namespace}/secrets/{ref.name}"
        self.objects[path] = {"data": {ref.key: encoded}}

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> "Cluster":
        for module in (client, preflight, recovery):
            monkeypatch.setattr(module, "ClusterClient", self)
        return self


def pod(namespace: str, name: str, **images: str) -> dict[str, Any]:
    """A pod that runs these images: container → NAME:TAG, or NAME:TAG@DIGEST where the digest is
    what the node pulled."""
    named = {container: image.partition("@") for container, image in images.items()}
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"containers": [{"name": c, "image": parts[0]} for c, parts in named.items()]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": c, "imageID": f"{image.rpartition(':')[0]}@{digest}" if digest else ""}
                for c, (image, _, digest) in named.items()
            ],
        },
    }


def settings(**sections: Any) -> Settings:
    """Settings with these sections, in config keys, over the smallest valid config."""
    storage = LASTING if sections.get("backup") else BUCKET
    given = {"fqdn": FQDN, "cluster": {"name": "omantel"}, "storage": storage, **sections}
    return Settings.model_validate(given)


def config(*, secrets: dict[str, pulumi.Output[str]] | None = None, **sections: Any) -> StackConfig:
    """A stack's config with these sections and secrets."""
    return StackConfig(settings=settings(**sections), secrets=secrets or {}, is_secret={})


def context_of(
    certificate: str = "",
    *,
    fqdn: str = FQDN,
    protect: bool = True,
    retain: bool = True,
    options: pulumi.ResourceOptions | None = None,
    external: ExternalDelivery | None = None,
) -> Context:
    """What every component is given. Without `options` a provider is made, for which an engine has
    to run."""
    if options is None:
        options = pulumi.ResourceOptions(provider=k8s.Provider("cluster", context="omantel"))
    return Context(
        registry=RegistryAddress(fqdn),
        kube_context="admin@omantel",
        namespace=NAMESPACE,
        certificate=certificate,
        unseal_seconds=5,
        protect=protect,
        retain=retain,
        options=options,
        external=external,
    )


EXTERNAL = ExternalDelivery(delivery="external", store=StoreSettings(name="platform"))


class Build(Protocol):
    """The fixture `build`: runs a builder of this module, or one like them, with a context first.

    `arguments` and `named` follow the context.
    """

    def __call__(
        self, builder: Callable[..., T], *arguments: Any, preview: bool = False, **named: Any
    ) -> T: ...


def password() -> pulumi.Output[str]:
    return pulumi.Output.secret(PASSWORD)


def object_storage(context: Context, storage: dict[str, Any] | None = None) -> ObjectStorage:
    return ObjectStorage(
        "object-storage",
        ObjectStorageArgs(
            settings=settings(storage=storage or BUCKET).storage,
            secrets={key: pulumi.Output.secret(value) for key, value in SECRETS.items()},
            owner="sovereign-harbor/omantel",
            context=context,
        ),
        context.options,
    )


def credentials(
    context: Context, *, given: dict[str, str] | None = None, **epochs: int
) -> Credentials:
    """`given`: credential → value that an adopted Harbor brought along; `epochs`: rotations."""
    return Credentials(
        "credentials",
        CredentialsArgs(
            epochs={
                **RotationSettings().epochs,
                **{k.replace("_", "-"): v for k, v in epochs.items()},
            },
            context=context,
            given={what: pulumi.Output.secret(value) for what, value in (given or {}).items()},
        ),
        context.options,
    )


def postgres(context: Context, **section: Any) -> Postgres:
    """`section`: keys of `database`."""
    dedicated = settings(database={"mode": "dedicated", **section}).database
    assert isinstance(dedicated, DedicatedDatabase)
    args = PostgresArgs(settings=dedicated, password=password(), context=context)
    return Postgres("database", args, context.options)


def backup(
    context: Context, *, secret_labels: Mapping[str, str] | None = None, **sections: Any
) -> Backup | None:
    """The backups of a stack with these sections; `secret_labels`: of the context."""
    secrets = {key: pulumi.Output.secret(value) for key, value in SECRETS.items()}
    stack = config(secrets=secrets, **{"backup": BACKUP, **sections})
    return of_backup.create(stack, replace(context, secret_labels=secret_labels or {}))


def own_database(
    context: Context, live: LiveDatabase | None = None, **sections: Any
) -> database.DatabaseAccess:
    """The database of a stack with these sections, with its backups; `live`: what lives of it."""
    secrets = {key: pulumi.Output.secret(value) for key, value in SECRETS.items()}
    stack = config(secrets=secrets, **sections)
    archive = of_backup.create(stack, context)
    existing = Adopted(live_database=live)
    return database.create(stack, context, credentials(context), archive, existing)


def valkey(context: Context, **section: Any) -> Valkey:
    """`section`: keys of `valkey`."""
    dedicated = settings(valkey={"mode": "dedicated", **section}).valkey
    assert isinstance(dedicated, DedicatedValkey)
    args = ValkeyArgs(settings=dedicated, password=password(), context=context)
    return Valkey("cache", args, context.options)


def shared_credentials(context: Context) -> SharedCredentials:
    """Reads SHARED from the cluster; who calls this lets a Cluster stand in."""
    return SharedCredentials(
        "cache",
        SharedCredentialsArgs(
            source=SHARED,
            secret_name="harbor-shared-valkey",
            data=lambda password: {
                "password": password,
                "url": password.apply("redis://:{}".format),
            },
            context=context,
        ),
        context.options,
    )


def harbor(context: Context, **sections: Any) -> HarborRegistry:
    """With all that it stands on, put together as the program does it."""
    return harbor_on(context, config(**sections), credentials(context))


def harbor_on(context: Context, stack: StackConfig, minted: Credentials) -> HarborRegistry:
    """The same, for a stack's config and its credentials."""
    storage = object_storage(context, stack.settings.storage.model_dump(by_alias=True))
    postgres = database.create(stack, context, minted)
    valkey = cache.create(stack, context, minted)
    return release.create(stack, context, storage, minted, postgres, valkey)
