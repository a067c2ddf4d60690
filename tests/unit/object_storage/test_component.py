"""ObjectStorage: what each kind of storage makes, and who is told of it."""

from typing import Any

import pytest

from components.harbor_inputs import RemoteStorage, VolumeStorage
from components.object_storage.location import s3_driver
from components.sealing.unsealed import REVISION_ANNOTATION
from components.settings.storage.base import BucketSettings, StorageKind
from tests.support import builders
from tests.support.builders import ACCESS_KEY, SECRET_KEY, Build
from tests.support.kinds import KINDS, minimal, storage_of
from tests.support.mocks import (
    BUCKET,
    KEY_PROOF,
    LOCKDOWN,
    MARK,
    RELEASE,
    SEAL,
    SEALED_SECRET,
    UNSEALED,
    Engine,
    text,
)

HETZNER = {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"}


def test_the_bucket_is_made_as_declared(engine: Engine, build: Build) -> None:
    storage = {
        **builders.BUCKET,
        "pathStyle": False,
        "adopt": True,
        "rootDirectory": "images",
        "versioning": {"enabled": False, "noncurrentDays": 3},
        "abortIncompleteUploadDays": 2,
        "tags": {"team": "platform"},
    }
    build(builders.object_storage, storage)
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


def test_a_bucket_is_locked_down_only_when_asked(engine: Engine, build: Build) -> None:
    build(builders.object_storage, HETZNER)
    assert engine.all(LOCKDOWN) == []
    assert engine.one(KEY_PROOF)["lockdown"] is False


def test_a_lockdown_names_project_and_further_keys_and_never_the_stack_s_own(
    engine: Engine, build: Build
) -> None:
    lockdown = {"projectId": "1234567", "moreAccessKeys": ["NEXTACCESSKEY0000001"]}
    build(builders.object_storage, {**HETZNER, "lockdown": lockdown})
    policy = engine.one(LOCKDOWN)
    assert {key: policy[key] for key in policy.inputs if not key.startswith("__")} == {
        "bucket": "omantel-harbor",
        "region": "fsn1",
        "endpoint": "https://fsn1.your-objectstorage.com",
        "pathStyle": True,
        "owner": "sovereign-harbor/omantel",
        **lockdown,
    }
    assert MARK not in text(policy.inputs)
    # The proof comes first: of a pair that does not work it says so in its own words.
    assert engine.one(KEY_PROOF).urn in policy.dependencies
    assert engine.one(KEY_PROOF)["lockdown"] is True
    for seal in engine.all(SEAL):
        assert policy.urn not in seal.dependencies, "a lockdown that fails keeps nobody waiting"


@pytest.mark.parametrize("kind", KINDS)
def test_the_seam_has_its_five_keys_and_nothing_else_whatever_the_vendor(
    kind: type[StorageKind], engine: Engine, build: Build
) -> None:
    build(builders.object_storage, minimal(kind))
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
    (seal,) = (seal for seal in engine.all(SEAL) if seal["name"] == "object-storage")
    assert seal["namespace"] == "flux-system"


def test_the_seam_is_in_the_namespace_that_the_settings_say(engine: Engine, build: Build) -> None:
    build(builders.object_storage, {**builders.BUCKET, "seamNamespace": "argocd"})
    (seal,) = (seal for seal in engine.all(SEAL) if seal["name"] == "object-storage")
    assert seal["namespace"] == "argocd"


def test_the_keys_reach_harbor_and_the_seam_and_nothing_else(engine: Engine, build: Build) -> None:
    build(builders.object_storage)
    assert engine.sealed("harbor-objectstorage-credentials") == {
        "REGISTRY_STORAGE_S3_ACCESSKEY": ACCESS_KEY,
        "REGISTRY_STORAGE_S3_SECRETKEY": SECRET_KEY,
    }
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
    engine: Engine, sealing_certificate: str, build: Build
) -> None:
    storage = {**builders.BUCKET, "caBundle": sealing_certificate}
    build(builders.harbor, storage=storage)
    # Under the key that the chart mounts.
    name = engine.one(RELEASE)["values"]["persistence"]["imageChartStorage"]["caBundleSecretName"]
    assert engine.sealed(name)["ca.crt"] == sealing_certificate
    assert engine.one(BUCKET)["caBundle"] == sealing_certificate


def test_nothing_is_sealed_before_the_keys_are_proven(engine: Engine, build: Build) -> None:
    build(builders.object_storage)
    proof = engine.one(KEY_PROOF)
    assert engine.one(BUCKET).urn in proof.dependencies
    for seal in engine.all(SEAL):
        assert proof.urn in seal.dependencies


def test_harbor_is_told_of_the_bucket_once_it_is_there(engine: Engine, build: Build) -> None:
    blobs = build(builders.object_storage)
    storage, location = engine.resolve(blobs.storage), engine.resolve(blobs.location).value
    assert isinstance(storage.value, RemoteStorage)
    assert location.bucket == "omantel-harbor"
    assert storage.value.driver == "s3"
    assert storage.value.options == s3_driver(location, "harbor-objectstorage-credentials")
    assert not storage.is_secret


def test_a_preview_knows_where_blobs_will_be(engine: Engine, build: Build) -> None:
    blobs = build(builders.object_storage, preview=True)
    assert engine.resolve(blobs.storage).is_known
    assert engine.resolve(blobs.location).value.bucket == "omantel-harbor"


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
    build: Build,
) -> None:
    blobs = build(builders.object_storage, storage)
    # Harbor's Secret, under the key that the chart mounts, and no seam: it does not speak S3.
    (seal,) = engine.all(SEAL)
    assert (seal["namespace"], seal["name"]) == ("registry", "harbor-objectstorage-credentials")
    assert seal["data"] == {key: credential}
    made = {resource.typ for resource in engine.resources if "sealing" not in resource.typ}
    assert made - {SEALED_SECRET, "sovereign-harbor:index:SealedSecret"} == {
        "sovereign-harbor:index:ObjectStorage",
        "pulumi:providers:kubernetes",
    }
    assert engine.resolve(blobs.storage).value == RemoteStorage(
        driver=storage["kind"],
        options={**options, "existingSecret": "harbor-objectstorage-credentials"},
        redirect=storage.get("redirect", False),
    )
    assert not engine.resolve(blobs.storage).is_secret
    assert engine.resolve(blobs.location).value is None
    assert engine.resolve(blobs.bucket).value in options.values()
    manifest = engine.one(SEALED_SECRET)
    annotations = manifest["spec"]["template"]["metadata"]["annotations"]
    assert engine.resolve(blobs.revision).value == annotations[REVISION_ANNOTATION]


def test_where_an_identity_stands_for_the_key_nothing_is_sealed(
    engine: Engine, build: Build
) -> None:
    blobs = build(builders.object_storage, builders.KEYLESS_GCS)
    assert engine.all(SEAL) == []
    assert engine.resolve(blobs.storage).value == RemoteStorage(
        driver="gcs",
        options={"bucket": "omantel-harbor", "useWorkloadIdentity": True},
        service_account="harbor-registry",
    )
    assert engine.resolve(blobs.revision).value == "none"


@pytest.mark.parametrize("storage", [builders.BUCKET, builders.AZURE], ids=["bucket", "container"])
def test_harbor_waits_for_the_credential_of_its_storage(
    storage: dict[str, Any], engine: Engine, build: Build
) -> None:
    build(builders.harbor, storage=storage)
    credential = engine.one(UNSEALED, "object-storage-credentials-unsealed")
    assert credential.urn in engine.one(RELEASE).dependencies


def test_without_object_storage_nothing_is_made(engine: Engine, build: Build) -> None:
    blobs = build(builders.object_storage, builders.FILESYSTEM)
    assert [str(each) for each in engine.resources if each.parent_name == "object-storage"] == []
    assert engine.resolve(blobs.storage).value == VolumeStorage(size="50Gi", storage_class="fast")
    assert engine.resolve(blobs.location).value is None
    assert engine.resolve(blobs.revision).value == "none"
