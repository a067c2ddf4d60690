"""What each component registers: run it, let all land, then assert."""

import base64
from typing import Any

import pulumi
import pytest

from components.context import Context
from components.credentials import READERS, Credentials, combined
from components.data_services.shared import SharedCredentials
from components.harbor_inputs import RemoteStorage, VolumeStorage, cache_secret
from components.kubernetes.naming import FIELD_MANAGER
from components.object_storage.location import s3_driver
from components.sealing.unsealed import REVISION_ANNOTATION
from components.settings.storage.base import BucketSettings, StorageKind
from tests.support import builders
from tests.support.builders import ACCESS_KEY, PASSWORD, SECRET_KEY, Cluster, context_of
from tests.support.kinds import KINDS, minimal, storage_of
from tests.support.mocks import (
    BUCKET,
    CERTIFICATE,
    KEY_PROOF,
    LOCKDOWN,
    MARK,
    PRIVATE_KEY,
    RELEASE,
    SEAL,
    SEALED_SECRET,
    SERVICE,
    STATEFUL_SET,
    UNSEALED,
    Engine,
    is_secret,
    minted,
    text,
    unknown_inputs,
)
from tests.support.mocks import PASSWORD as RANDOM_PASSWORD
from tests.support.mocks import POSTGRES_CLUSTER as CLUSTER

KEYS = {
    "REGISTRY_STORAGE_S3_ACCESSKEY": ACCESS_KEY,
    "REGISTRY_STORAGE_S3_SECRETKEY": SECRET_KEY,
}


# --- SealedSecret ------------------------------------------------------------------------------


def seal_one(given: Context, **changes: Any) -> pulumi.Resource:
    component = pulumi.ComponentResource("test:index:Parent", "parent", None, given.options)
    data: dict[str, pulumi.Input[str]] = {"password": builders.password()}
    return given.sealed("one", "secret-name", data, parent=component, **changes)


def test_a_sealed_secret_is_sealed_applied_and_awaited(
    engine: Engine, sealing_certificate: str
) -> None:
    found: Any = engine.run(lambda: seal_one(context_of(sealing_certificate)))
    seal, manifest = engine.one(SEAL), engine.one(SEALED_SECRET)
    assert (seal["namespace"], seal["name"]) == ("registry", "secret-name")
    assert seal["data"] == {"password": PASSWORD}
    revision = manifest["spec"]["template"]["metadata"]["annotations"][REVISION_ANNOTATION]
    assert engine.resolve(found.secret_name).value == "secret-name"
    assert engine.resolve(found.revision).value == revision
    waiting = engine.one(UNSEALED)
    assert waiting["revision"] == revision
    assert waiting["timeoutSeconds"] == 5
    # The wait begins once the manifest is applied.
    assert manifest.urn in waiting.dependencies


def test_the_manifest_holds_ciphertext_and_no_secret(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: seal_one(context_of(sealing_certificate), kind="kubernetes.io/basic-auth"))
    manifest = engine.one(SEALED_SECRET)
    assert not is_secret(manifest.inputs)
    assert PASSWORD not in str(manifest.inputs)
    base64.b64decode(manifest["spec"]["encryptedData"]["password"], validate=True)
    template = manifest["spec"]["template"]
    assert template["type"] == "kubernetes.io/basic-auth"
    assert template["metadata"]["name"] == manifest["metadata"]["name"] == "secret-name"
    assert template["metadata"]["namespace"] == manifest["metadata"]["namespace"] == "registry"
    assert template["metadata"]["labels"] == manifest["metadata"]["labels"]


def test_what_is_sealed_is_secret_even_if_its_parts_are_not(
    engine: Engine, sealing_certificate: str
) -> None:
    def build() -> None:
        context = builders.context_of(sealing_certificate)
        parent = pulumi.ComponentResource("test:index:Parent", "parent")
        context.sealed("one", "secret-name", {"user": "harbor"}, parent=parent)

    engine.run(build)
    assert is_secret(engine.one(SEAL).inputs["data"])


def test_before_anything_exists_the_name_of_the_secret_is_unknown(
    engine: Engine, sealing_certificate: str
) -> None:
    found: Any = engine.run(lambda: seal_one(context_of(sealing_certificate)), preview=True)
    assert not engine.resolve(found.secret_name).is_known
    assert not engine.resolve(found.revision).is_known
    assert unknown_inputs(engine.one(SEALED_SECRET)) == {"spec"}


# --- ObjectStorage -----------------------------------------------------------------------------


def test_the_bucket_is_made_as_declared(engine: Engine, sealing_certificate: str) -> None:
    storage = {
        **builders.BUCKET,
        "pathStyle": False,
        "adopt": True,
        "rootDirectory": "images",
        "versioning": {"enabled": False, "noncurrentDays": 3},
        "abortIncompleteUploadDays": 2,
        "tags": {"team": "platform"},
    }
    engine.run(lambda: builders.object_storage(context_of(sealing_certificate), storage))
    bucket = engine.one(BUCKET)
    assert {key: bucket[key] for key in bucket.inputs if not key.startswith("__")} == {
        "bucket": "omantel-harbor",
        "region": "us-east-1",
        "endpoint": "https://s3.example.com",
        "pathStyle": False,
        "rootDirectory": "images",
        "owner": "sovereign-harbor/omantel",
        "adopt": True,
        "versioning": False,
        "noncurrentDays": 3,
        "abortDays": 2,
        "tags": {"team": "platform"},
    }
    # The key is proven where the registry will use it: a shared key may do nothing elsewhere.
    proof = engine.one(KEY_PROOF)
    for key in ("bucket", "region", "endpoint", "pathStyle", "rootDirectory"):
        assert proof[key] == bucket[key]


HETZNER = {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"}


def test_a_bucket_is_locked_down_only_when_asked(engine: Engine, sealing_certificate: str) -> None:
    engine.run(lambda: builders.object_storage(context_of(sealing_certificate), HETZNER))
    assert engine.all(LOCKDOWN) == []
    assert engine.one(KEY_PROOF)["lockdown"] is False


def test_a_lockdown_names_project_and_further_keys_and_never_the_stack_s_own(
    engine: Engine, sealing_certificate: str
) -> None:
    lockdown = {"projectId": "1234567", "moreAccessKeys": ["NEXTACCESSKEY0000001"]}
    storage = {**HETZNER, "lockdown": lockdown}
    engine.run(lambda: builders.object_storage(context_of(sealing_certificate), storage))
    found = engine.one(LOCKDOWN)
    assert {key: found[key] for key in found.inputs if not key.startswith("__")} == {
        "bucket": "omantel-harbor",
        "region": "fsn1",
        "endpoint": "https://fsn1.your-objectstorage.com",
        "pathStyle": True,
        "owner": "sovereign-harbor/omantel",
        **lockdown,
    }
    assert MARK not in text(found.inputs)
    # The proof comes first: of a pair that does not work it says so in its own words.
    assert engine.one(KEY_PROOF).urn in found.dependencies
    assert engine.one(KEY_PROOF)["lockdown"] is True
    for seal in engine.all(SEAL):
        assert found.urn not in seal.dependencies, "a lockdown that fails keeps nobody waiting"


@pytest.mark.parametrize("kind", KINDS)
def test_the_seam_has_its_five_keys_and_nothing_else_whatever_the_vendor(
    kind: type[StorageKind], engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.object_storage(context_of(sealing_certificate), minimal(kind)))
    if not kind.has_seam:
        assert "object-storage" not in {seal["name"] for seal in engine.all(SEAL)}
        return
    seam = engine.sealed("object-storage")
    assert set(seam) == {"s3-bucket", "s3-region", "s3-endpoint", "s3-access-key", "s3-secret-key"}
    settings = storage_of(kind)
    assert isinstance(settings, BucketSettings), "what has a seam is a bucket"
    assert seam["s3-bucket"] == settings.bucket
    assert seam["s3-region"] == settings.region
    assert seam["s3-endpoint"] == (settings.endpoint_url or "")
    assert seam["s3-access-key"] and seam["s3-secret-key"]
    (seal,) = (found for found in engine.all(SEAL) if found["name"] == "object-storage")
    assert seal["namespace"] == "flux-system"


def test_the_keys_reach_harbor_and_the_seam_and_nothing_else(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.object_storage(context_of(sealing_certificate)))
    assert engine.sealed("harbor-objectstorage-credentials") == KEYS
    assert engine.sealed("object-storage") == {
        "s3-bucket": "omantel-harbor",
        "s3-region": "us-east-1",
        "s3-endpoint": "https://s3.example.com",
        "s3-access-key": ACCESS_KEY,
        "s3-secret-key": SECRET_KEY,
    }
    namespaces = {seal["name"]: seal["namespace"] for seal in engine.all(SEAL)}
    assert namespaces == {
        "harbor-objectstorage-credentials": "registry",
        "object-storage": "flux-system",
    }


def test_harbor_trusts_the_authority_that_the_bucket_s_settings_name(
    engine: Engine, sealing_certificate: str
) -> None:
    storage = {**builders.BUCKET, "caBundle": sealing_certificate}
    found = engine.run(lambda: builders.harbor(context_of(sealing_certificate), storage=storage))
    assert found
    # Under the key that the chart mounts.
    name = engine.one(RELEASE)["values"]["persistence"]["imageChartStorage"]["caBundleSecretName"]
    assert engine.sealed(name)["ca.crt"] == sealing_certificate
    assert engine.one(BUCKET)["caBundle"] == sealing_certificate


def test_nothing_is_sealed_before_the_keys_are_proven(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.object_storage(context_of(sealing_certificate)))
    proof = engine.one(KEY_PROOF)
    assert engine.one(BUCKET).urn in proof.dependencies
    for seal in engine.all(SEAL):
        assert proof.urn in seal.dependencies


def test_harbor_is_told_of_the_bucket_once_it_is_there(
    engine: Engine, sealing_certificate: str
) -> None:
    storage = engine.run(lambda: builders.object_storage(context_of(sealing_certificate)))
    found = engine.resolve(storage.storage)
    assert isinstance(found.value, RemoteStorage)
    location = engine.resolve(storage.location).value
    assert location.bucket == "omantel-harbor"
    assert found.value.driver == "s3"
    assert found.value.options == s3_driver(location, "harbor-objectstorage-credentials")
    assert not found.is_secret


def test_before_the_bucket_is_there_nobody_is_told(
    engine: Engine, sealing_certificate: str
) -> None:
    storage = engine.run(
        lambda: builders.object_storage(context_of(sealing_certificate)), preview=True
    )
    assert not engine.resolve(storage.storage).is_known
    assert not engine.resolve(storage.location).is_known


@pytest.mark.parametrize(
    ("storage", "key", "credential", "options"),
    [
        (
            {**builders.KEYED_GCS, "redirect": True},
            "GCS_KEY_DATA",
            builders.KEY_FILE,
            {"bucket": "omantel_harbor", "rootdirectory": "images"},
        ),
        (
            builders.AZURE,
            "AZURE_STORAGE_ACCESS_KEY",
            builders.ACCOUNT_KEY,
            {"accountname": "omantelharbor", "container": "harbor", "realm": "core.windows.net"},
        ),
    ],
    ids=["gcs", "azure"],
)
def test_of_a_container_that_exists_the_credential_alone_is_made(
    storage: dict[str, Any],
    key: str,
    credential: str,
    options: dict[str, str],
    engine: Engine,
    sealing_certificate: str,
) -> None:
    found = engine.run(lambda: builders.object_storage(context_of(sealing_certificate), storage))
    # Harbor's Secret, under the key that the chart mounts, and no seam: it does not speak S3.
    (seal,) = engine.all(SEAL)
    assert (seal["namespace"], seal["name"]) == ("registry", "harbor-objectstorage-credentials")
    assert seal["data"] == {key: credential}
    made = {resource.typ for resource in engine.resources if "sealing" not in resource.typ}
    assert made - {SEALED_SECRET, "sovereign-harbor:index:SealedSecret"} == {
        "sovereign-harbor:index:ObjectStorage",
        "pulumi:providers:kubernetes",
    }
    assert engine.resolve(found.storage).value == RemoteStorage(
        driver=storage["kind"],
        options={**options, "existingSecret": "harbor-objectstorage-credentials"},
        redirect=storage.get("redirect", False),
    )
    assert not engine.resolve(found.storage).is_secret
    assert engine.resolve(found.location).value is None
    assert engine.resolve(found.bucket).value in options.values()
    manifest = engine.one(SEALED_SECRET)
    annotations = manifest["spec"]["template"]["metadata"]["annotations"]
    assert engine.resolve(found.revision).value == annotations[REVISION_ANNOTATION]


def test_where_an_identity_stands_for_the_key_nothing_is_sealed(
    engine: Engine, sealing_certificate: str
) -> None:
    found = engine.run(
        lambda: builders.object_storage(context_of(sealing_certificate), builders.KEYLESS_GCS)
    )
    assert engine.all(SEAL) == []
    assert engine.resolve(found.storage).value == RemoteStorage(
        driver="gcs",
        options={"bucket": "omantel-harbor", "useWorkloadIdentity": True},
        service_account="harbor-registry",
    )
    assert engine.resolve(found.revision).value == "none"


def test_before_its_credential_is_there_nobody_is_told_of_a_container(
    engine: Engine, sealing_certificate: str
) -> None:
    found = engine.run(
        lambda: builders.object_storage(context_of(sealing_certificate), builders.AZURE),
        preview=True,
    )
    for output in (found.storage, found.bucket, found.endpoint):
        assert not engine.resolve(output).is_known


def test_without_object_storage_nothing_is_made(engine: Engine, sealing_certificate: str) -> None:
    storage = engine.run(
        lambda: builders.object_storage(context_of(sealing_certificate), builders.FILESYSTEM)
    )
    assert [str(found) for found in engine.resources if found.parent_name == "object-storage"] == []
    assert engine.resolve(storage.storage).value == VolumeStorage(size="50Gi", storage_class="fast")
    assert engine.resolve(storage.location).value is None
    assert engine.resolve(storage.revision).value == "none"


# --- Credentials -------------------------------------------------------------------------------


def test_every_credential_is_minted_and_sealed_once(
    engine: Engine, sealing_certificate: str
) -> None:
    found = engine.run(lambda: builders.credentials(context_of(sealing_certificate)))
    names = engine.resolve(found.secret_names).value
    of = {
        what: minted(f"credentials-{what}")
        for what in (
            "admin-password",
            "core-secret",
            "csrf-key",
            "jobservice-secret",
            "registry-http-secret",
            "registry-user",
        )
    }
    assert engine.sealed(names.admin_password) == {"HARBOR_ADMIN_PASSWORD": of["admin-password"]}
    assert engine.sealed(names.secret_key) == {"secretKey": minted("credentials-secret-key", 16)}
    assert engine.sealed(names.core) == {"secret": of["core-secret"]}
    assert engine.sealed(names.csrf_key) == {"CSRF_KEY": of["csrf-key"]}
    assert engine.sealed(names.jobservice) == {"JOBSERVICE_SECRET": of["jobservice-secret"]}
    assert engine.sealed(names.registry_http) == {
        "REGISTRY_HTTP_SECRET": of["registry-http-secret"]
    }
    assert engine.sealed(names.registry_user) == {
        "REGISTRY_PASSWD": of["registry-user"],
        "REGISTRY_HTPASSWD": f"harbor_registry_user:$2a$10${MARK}credentials-registry-user",
    }
    assert engine.sealed(names.token_certificate).keys() == {"tls.key", "tls.crt"}
    for seal in engine.all(SEAL):
        assert seal["namespace"] == "registry"


@pytest.mark.parametrize(
    ("what", "length"), [("secret-key", 16), ("csrf-key", 32), ("admin-password", 32)]
)
def test_keys_have_the_length_that_harbor_demands(
    what: str, length: int, engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.credentials(context_of(sealing_certificate)))
    assert engine.one(RANDOM_PASSWORD, f"credentials-{what}")["length"] == length


def test_passwords_fit_into_urls_unescaped(engine: Engine, sealing_certificate: str) -> None:
    engine.run(lambda: builders.credentials(context_of(sealing_certificate)))
    passwords = engine.all(RANDOM_PASSWORD)
    assert len(passwords) == 9
    for password in passwords:
        assert password["special"] is False
        assert "overrideSpecial" not in password.inputs


def test_what_a_harbor_brought_along_is_sealed_and_not_minted(
    engine: Engine, sealing_certificate: str
) -> None:
    given = {
        what: f"{MARK}-of-the-estate-{what}"
        for what in ("secret-key", "admin-password", "database-password")
    }

    def build() -> Credentials:
        outputs = {what: pulumi.Output.secret(value) for what, value in given.items()}
        return builders.credentials(context_of(sealing_certificate), secrets=outputs)

    found = engine.run(build)
    names = engine.resolve(found.secret_names).value
    # Harbor's Deployment tells by this name that the key has to be given.
    assert names.secret_key == "harbor-given-secret-key"
    assert engine.sealed(names.secret_key) == {"secretKey": given["secret-key"]}
    assert engine.sealed(names.admin_password) == {"HARBOR_ADMIN_PASSWORD": given["admin-password"]}
    assert engine.resolve(found.admin_password) == (given["admin-password"], True, True)
    assert engine.resolve(found.database_password) == (given["database-password"], True, True)
    still_minted = {password.name for password in engine.all(RANDOM_PASSWORD)}
    assert still_minted == {
        f"credentials-{what}"
        for what in (
            "core-secret",
            "csrf-key",
            "jobservice-secret",
            "registry-http-secret",
            "registry-user",
            "valkey-password",
        )
    }


def test_a_rotation_mints_one_credential_anew(engine: Engine, sealing_certificate: str) -> None:
    engine.run(lambda: builders.credentials(context_of(sealing_certificate), valkey_password=2))
    epochs = {found.name: found["keepers"]["epoch"] for found in engine.all(RANDOM_PASSWORD)}
    assert epochs.pop("credentials-valkey-password") == "2"
    assert set(epochs.values()) == {"1"}


def test_a_rotation_of_the_token_certificate_makes_a_new_key(
    engine: Engine, sealing_certificate: str
) -> None:
    # pulumi-tls has no keepers: it is the name that changes.
    engine.run(lambda: builders.credentials(context_of(sealing_certificate), token_certificate=7))
    assert engine.one(PRIVATE_KEY).name == "credentials-token-key-7"
    certificate = engine.one(CERTIFICATE)
    assert certificate.name == "credentials-token-certificate-7"
    assert is_secret(certificate.inputs["privateKeyPem"])


def test_passwords_of_data_services_are_secret_outputs(
    engine: Engine, sealing_certificate: str
) -> None:
    found = engine.run(lambda: builders.credentials(context_of(sealing_certificate)))
    for what, output in {
        "admin-password": found.admin_password,
        "database-password": found.database_password,
        "valkey-password": found.valkey_password,
    }.items():
        assert engine.resolve(output) == (minted(f"credentials-{what}"), True, True)


def test_every_credential_that_pods_read_has_a_revision(
    engine: Engine, sealing_certificate: str
) -> None:
    found = engine.run(lambda: builders.credentials(context_of(sealing_certificate)))
    elsewhere = {"database", "valkey", "object-storage"}
    assert {what for read in READERS.values() for what in read} == {*found.revisions, *elsewhere}


REVISIONS = {
    what: f"{number:08x}ffffffff"
    for number, what in enumerate(sorted({w for read in READERS.values() for w in read}))
}


@pytest.mark.parametrize("rotated", sorted(REVISIONS))
def test_a_rotation_restarts_the_pods_that_read_it_and_no_other(
    rotated: str, engine: Engine
) -> None:
    after = {**REVISIONS, rotated: "new-revision"}
    annotations = engine.run(
        lambda: {c: (combined(REVISIONS, c), combined(after, c)) for c in READERS}
    )
    restarted = {
        component
        for component, (one, other) in annotations.items()
        if engine.resolve(one).value != engine.resolve(other).value
    }
    assert restarted == {component for component, read in READERS.items() if rotated in read}
    assert restarted


# --- Postgres ----------------------------------------------------------------------------------


def test_the_database_belongs_to_harbor_s_role(engine: Engine, sealing_certificate: str) -> None:
    database = engine.run(lambda: builders.postgres(context_of(sealing_certificate)))
    cluster = engine.one(CLUSTER)
    assert cluster["metadata"]["name"] == "harbor-pg"
    initdb = cluster["spec"]["bootstrap"]["initdb"]
    assert (initdb["database"], initdb["owner"]) == ("registry", "harbor")
    assert engine.sealed(initdb["secret"]["name"]) == {"username": "harbor", "password": PASSWORD}
    assert engine.resolve(database.host).value == "harbor-pg-rw"
    assert engine.resolve(database.secret_name).value == initdb["secret"]["name"]


def test_a_rotated_password_reaches_the_database_at_once(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.postgres(context_of(sealing_certificate)))
    template = engine.one(SEALED_SECRET)["spec"]["template"]
    assert template["type"] == "kubernetes.io/basic-auth"
    assert template["metadata"]["labels"]["cnpg.io/reload"] == "true"


def test_the_database_is_awaited_until_it_is_ready(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.postgres(context_of(sealing_certificate)))
    annotations = engine.one(CLUSTER)["metadata"]["annotations"]
    assert annotations["pulumi.com/waitFor"] == "condition=Ready"
    # No secret, no database: initdb would never start.
    assert engine.one(UNSEALED).urn in engine.one(CLUSTER).dependencies


@pytest.mark.parametrize(
    ("instances", "budget", "method"), [(1, False, "restart"), (3, True, "switchover")]
)
def test_a_single_instance_does_not_block_node_drains(
    instances: int, budget: bool, method: str, engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.postgres(context_of(sealing_certificate), instances=instances))
    spec = engine.one(CLUSTER)["spec"]
    assert spec["instances"] == instances
    assert spec["enablePDB"] is budget
    assert spec["primaryUpdateMethod"] == method


@pytest.mark.parametrize(
    ("changes", "storage", "wal"),
    [
        ({}, {"size": "10Gi"}, None),
        ({"storageClass": "fast"}, {"size": "10Gi", "storageClass": "fast"}, None),
        ({"walStorageSize": "2Gi"}, {"size": "10Gi"}, {"size": "2Gi"}),
    ],
    ids=str,
)
def test_volumes_of_the_database(
    changes: dict[str, Any],
    storage: dict[str, str],
    wal: dict[str, str] | None,
    engine: Engine,
    sealing_certificate: str,
) -> None:
    engine.run(lambda: builders.postgres(context_of(sealing_certificate), **changes))
    spec = engine.one(CLUSTER)["spec"]
    assert spec["storage"] == storage
    assert spec.get("walStorage") == wal


def test_parameters_of_the_database_are_texts(engine: Engine, sealing_certificate: str) -> None:
    engine.run(lambda: builders.postgres(context_of(sealing_certificate), maxConnections=250))
    parameters = engine.one(CLUSTER)["spec"]["postgresql"]["parameters"]
    assert parameters["max_connections"] == "250"


# --- Valkey ------------------------------------------------------------------------------------


def pod_of(engine: Engine) -> dict[str, Any]:
    return engine.one(STATEFUL_SET)["spec"]["template"]


def test_the_cache_is_known_once_its_pod_is_ready(engine: Engine, sealing_certificate: str) -> None:
    cache = engine.run(lambda: builders.valkey(context_of(sealing_certificate)))
    found = engine.resolve(cache.cache)
    assert (found.value.host, found.value.port) == ("harbor-valkey", 6379)
    assert engine.sealed(found.value.secret_name) == cache_secret(found.value, PASSWORD)
    assert not found.is_secret


def test_the_service_leads_to_the_pods(engine: Engine, sealing_certificate: str) -> None:
    engine.run(lambda: builders.valkey(context_of(sealing_certificate)))
    service, pod = engine.one(SERVICE), pod_of(engine)
    assert service["metadata"]["name"] == "harbor-valkey"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    selector = engine.one(STATEFUL_SET)["spec"]["selector"]["matchLabels"]
    assert selector == service["spec"]["selector"]
    (port,) = service["spec"]["ports"]
    (container,) = pod["spec"]["containers"]
    assert port["targetPort"] in {found["name"] for found in container["ports"]}


def test_the_password_stands_in_no_argument_of_the_pod(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.valkey(context_of(sealing_certificate)))
    server = engine.one(STATEFUL_SET)
    assert not is_secret(server.inputs)
    assert MARK not in str(server.inputs)
    (container,) = pod_of(engine)["spec"]["containers"]
    for variable in container["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        assert engine.sealed(reference["name"])[reference["key"]] == PASSWORD


def test_a_rotated_password_restarts_the_cache(engine: Engine, sealing_certificate: str) -> None:
    cache = engine.run(lambda: builders.valkey(context_of(sealing_certificate)))
    revision = engine.resolve(cache.revision).value
    assert revision
    assert revision in pod_of(engine)["metadata"]["annotations"].values()


def test_the_cache_keeps_its_data_and_evicts_none(engine: Engine, sealing_certificate: str) -> None:
    engine.run(lambda: builders.valkey(context_of(sealing_certificate), maxMemory="128Mi"))
    spec = engine.one(STATEFUL_SET)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    configuration = container["command"][-1]
    for line in ("appendonly yes", f"maxmemory {128 * 1024**2}", "maxmemory-policy noeviction"):
        assert f"\n{line}\n" in configuration
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    (claim,) = spec["volumeClaimTemplates"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] == claim["metadata"]["name"]
    assert f"\ndir {mount['mountPath']}\n" in configuration


@pytest.mark.parametrize("storage_class", [None, "fast"])
def test_the_cluster_s_storage_class_is_used_unless_one_is_named(
    storage_class: str | None, engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.valkey(context_of(sealing_certificate), storageClass=storage_class))
    (claim,) = engine.one(STATEFUL_SET)["spec"]["volumeClaimTemplates"]
    assert claim["spec"].get("storageClassName") == storage_class
    assert ("storageClassName" in claim["spec"]) is (storage_class is not None)


def test_the_cache_runs_in_the_restricted_profile(engine: Engine, sealing_certificate: str) -> None:
    engine.run(lambda: builders.valkey(context_of(sealing_certificate)))
    pod = pod_of(engine)["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


# --- SharedCredentials -------------------------------------------------------------------------


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster().stand_in(monkeypatch)
    found.put_secret(builders.SHARED, PASSWORD)
    return found


def shared(engine: Engine, certificate: str, *, preview: bool = False) -> SharedCredentials:
    return engine.run(lambda: builders.shared_credentials(context_of(certificate)), preview=preview)


def test_somebody_else_s_password_is_brought_as_a_sealed_copy(
    engine: Engine, cluster: Cluster, sealing_certificate: str
) -> None:
    found = shared(engine, sealing_certificate)
    assert engine.resolve(found.secret_name).value == "harbor-shared-valkey"
    assert engine.sealed("harbor-shared-valkey") == {
        "password": PASSWORD,
        "url": f"redis://:{PASSWORD}",
    }
    assert is_secret(engine.one(SEAL).inputs["data"])
    assert cluster.contexts == ["admin@omantel"]


def test_a_missing_key_of_theirs_is_refused_by_name(
    engine: Engine, cluster: Cluster, sealing_certificate: str
) -> None:
    cluster.objects.clear()
    with pytest.raises(pulumi.RunError, match="valkey/valkey has no key valkey-password"):
        shared(engine, sealing_certificate)
    assert engine.all(SEAL) == []


def test_without_a_cluster_an_update_is_refused(
    engine: Engine, cluster: Cluster, sealing_certificate: str
) -> None:
    cluster.is_up = False
    with pytest.raises(pulumi.RunError, match="valkey/valkey was not read: connection refused"):
        shared(engine, sealing_certificate)


def test_without_a_cluster_a_preview_goes_on_with_an_unknown_password(
    engine: Engine,
    cluster: Cluster,
    sealing_certificate: str,
) -> None:
    cluster.is_up = False
    shared(engine, sealing_certificate, preview=True)
    assert unknown_inputs(engine.one(SEAL)) == {"data"}
    (warning,) = engine.log
    assert "Secret valkey/valkey was not read" in warning


# --- HarborRegistry ----------------------------------------------------------------------------


def test_the_release_is_awaited_and_stays_to_be_looked_at(
    engine: Engine, sealing_certificate: str
) -> None:
    harbor = engine.run(lambda: builders.harbor(context_of(sealing_certificate)))
    release = engine.one(RELEASE)
    assert (release["name"], release["namespace"]) == ("harbor", "registry")
    assert release["chart"] == "harbor"
    assert release["version"] == "1.18.3"
    assert release["repositoryOpts"] == {"repo": "https://helm.goharbor.io"}
    assert release["timeout"] == 900
    assert not release.inputs.get("atomic")
    assert not release.inputs.get("skipAwait")
    assert engine.resolve(harbor.version).value == "2.14.3"


def test_what_interrupted_runs_leave_is_looked_for_before_the_release(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.harbor(context_of(sealing_certificate)))
    assert engine.one(RELEASE).hooks == {
        "before_create": ["harbor-before-create"],
        "before_update": ["harbor-before-update"],
    }
    assert sorted(engine.hooks.registered) == ["harbor-before-create", "harbor-before-update"]


def test_the_release_waits_for_all_that_it_stands_on(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.harbor(context_of(sealing_certificate)))
    needed = engine.one(RELEASE).dependencies
    for found in (engine.one(BUCKET), engine.one(CLUSTER), engine.one(STATEFUL_SET)):
        assert found.urn in needed, found
    seam = "object-storage-seam-unsealed"  # Flux's, not Harbor's
    for unsealed in engine.all(UNSEALED):
        assert (unsealed.urn in needed) is (unsealed.name != seam), unsealed


def test_every_secret_that_the_values_name_was_sealed(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(lambda: builders.harbor(context_of(sealing_certificate)))
    sealed = {seal["name"]: seal["data"].keys() for seal in engine.all(SEAL)}
    values = engine.one(RELEASE)["values"]
    named = {values["existingSecretAdminPassword"]: values["existingSecretAdminPasswordKey"]}
    named[values["existingSecretSecretKey"]] = "secretKey"
    named[values["core"]["existingXsrfSecret"]] = values["core"]["existingXsrfSecretKey"]
    named[values["core"]["existingSecret"]] = "secret"
    named[values["core"]["secretName"]] = "tls.key"
    for component in ("jobservice", "registry"):
        named[values[component]["existingSecret"]] = values[component]["existingSecretKey"]
    named[values["registry"]["credentials"]["existingSecret"]] = "REGISTRY_HTPASSWD"
    named[values["database"]["external"]["existingSecret"]] = "password"
    storage = values["persistence"]["imageChartStorage"]["s3"]["existingSecret"]
    named[storage] = "REGISTRY_STORAGE_S3_SECRETKEY"
    for secret, key in named.items():
        assert key in sealed[secret], f"{secret} has {sorted(sealed[secret])}"


def test_components_restart_on_what_they_read(engine: Engine, sealing_certificate: str) -> None:
    engine.run(lambda: builders.harbor(context_of(sealing_certificate)))
    values = engine.one(RELEASE)["values"]
    for component, read in READERS.items():
        revision = values[component]["podAnnotations"]["sovereign-harbor/secrets"]
        assert len(revision.split(".")) == len(read)


def test_with_filesystem_storage_no_key_pair_is_sealed_for_harbor(
    engine: Engine, sealing_certificate: str
) -> None:
    engine.run(
        lambda: builders.harbor(context_of(sealing_certificate), storage=builders.FILESYSTEM)
    )
    assert engine.all(BUCKET) == []
    assert KEYS.keys() not in [seal["data"].keys() for seal in engine.all(SEAL)]
    store = engine.one(RELEASE)["values"]["persistence"]["imageChartStorage"]
    assert store == {"type": "filesystem"}


def test_a_chart_that_is_not_the_one_named_is_refused_before_anything_is_installed(
    engine: Engine, sealing_certificate: str, tmp_path: Any
) -> None:
    (tmp_path / "Chart.yaml").write_text("version: 1.17.0\n")
    chart = {"chart": {"source": str(tmp_path)}}
    with pytest.raises(pulumi.RunError, match=r"holds 1\.17\.0"):
        engine.run(lambda: builders.harbor(context_of(sealing_certificate), harbor=chart))
    assert engine.all(RELEASE) == []


# --- Context --------------------------------------------------------------------------------------


def test_labels_name_the_sovereign_and_the_part() -> None:
    context = builders.context_of(fqdn="otech.omani.works", options=pulumi.ResourceOptions())
    labels = context.labels("cache")
    assert labels["catalyst.openova.io/sovereign"] == "otech.omani.works"
    assert labels["app.kubernetes.io/component"] == "cache"
    assert FIELD_MANAGER["pulumi.com/patchFieldManager"] == "sovereign-harbor"
