"""The kinds of storage that have a driver of their own, and the volume: what is accepted, what is
refused and in which words, and the secrets they ask for.
"""

import json
from typing import Any

import pytest

from components.settings.model import Settings, update_strategy
from components.settings.reading import refusals
from components.settings.reading.refusals import Fixes, Reading, Refusal
from components.settings.reading.secrets import SECRETS
from components.settings.storage.azure import AzureStorage
from components.settings.storage.base import ROOT_DIRECTORY
from components.settings.storage.gcs import GcsStorage
from tests.support.builders import ACCOUNT_KEY, AZURE, FILESYSTEM, KEY_FILE, KEYED_GCS, KEYLESS_GCS
from tests.support.mocks import MARK
from tests.support.raw_settings import GOOD, set_path

Object = dict[str, Any]


def read(storage: Object, **sections: Any) -> Reading:
    return refusals.read({**GOOD, "storage": storage, **sections}, stack="omantel")


def accepted(storage: Object, **sections: Any) -> Settings:
    reading = read(storage, **sections)
    assert reading.settings is not None, "\n\n".join(map(str, reading.refusals))
    return reading.settings


def refused(storage: Object, **sections: Any) -> Refusal:
    reading = read(storage, **sections)
    assert reading.settings is None
    (refusal,) = reading.refusals
    return refusal


# --- Accepted ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": "a-1"},
        {"bucket": "images_2024"},
        {"bucket": "x" * 63},
        {"bucket": "images.omani.works"},
        {"bucket": "on-premises"},
        {"chunkSize": "262144"},
        {"chunkSize": 5242880},
        {"chunkSize": "268435456"},
        {"rootDirectory": "harbor/v2"},
        {"redirect": True},
    ],
    ids=str,
)
def test_a_bucket_with_a_key_is_accepted(change: Object) -> None:
    storage = accepted({**KEYED_GCS, **change}).storage
    assert storage.needed_secrets == ("gcsKeyData",)
    assert storage.identity_servers == ()


def test_workload_identity_asks_for_a_service_account_and_no_key() -> None:
    storage = accepted(KEYLESS_GCS).storage
    assert isinstance(storage, GcsStorage)
    assert storage.needed_secrets == ()
    assert storage.identity == "harbor-registry"
    assert {address for address, _ in storage.identity_servers} == {
        "169.254.169.252",
        "169.254.169.254",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"account": "abc"},
        {"account": "0123456789abcdefghijklmn"},
        {"container": "a-b-1"},
        {"container": "x" * 63},
        {"realm": "core.chinacloudapi.cn"},
        {"realm": "core.usgovcloudapi.net"},
        {"redirect": True},
    ],
    ids=str,
)
def test_a_container_is_accepted(change: Object) -> None:
    storage = accepted({**AZURE, **change}).storage
    assert isinstance(storage, AzureStorage)
    assert storage.needed_secrets == ("azureAccountKey",)


@pytest.mark.parametrize(
    ("storage", "bucket", "endpoint"),
    [
        (KEYED_GCS, "omantel_harbor", "https://storage.googleapis.com"),
        (AZURE, "harbor", "https://omantelharbor.blob.core.windows.net"),
        (
            {**AZURE, "realm": "core.chinacloudapi.cn"},
            "harbor",
            "https://omantelharbor.blob.core.chinacloudapi.cn",
        ),
        (FILESYSTEM, None, None),
    ],
    ids=str,
)
def test_each_kind_says_where_blobs_are(
    storage: Object, bucket: str | None, endpoint: str | None
) -> None:
    kind = accepted(storage).storage
    assert (kind.bucket_name, kind.endpoint_url) == (bucket, endpoint)
    assert not kind.has_seam
    assert kind.is_remote == (bucket is not None)


# --- Refused -----------------------------------------------------------------------------------

_BUCKET_FIX = set_path("storage.bucket", "<bucket>")
_CHUNK_FIX = set_path("storage.chunkSize", "5242880")
_ACCOUNT_FIX = set_path("storage.account", "<account>")
_CONTAINER_FIX = set_path("storage.container", "<container>")
_REALM_FIX = set_path("storage.realm", "core.windows.net")

REFUSED: list[tuple[Object, str, Any, str, str]] = [
    (KEYED_GCS, "bucket", "ab", "3 to 63 characters", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "x" * 64, "3 to 63 characters", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "-abc", "beginning and ending", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "abc_", "beginning and ending", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "a..b", "beginning and ending", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "Images", "lower-case", set_path("storage.bucket", "images")),
    (KEYED_GCS, "bucket", "goog-images", "is the vendor's", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "my-g00gle", "is the vendor's", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "10.0.0.1", "IP address", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "1_000_000", "would not read a text", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "1.5", "would not read a text", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "1e-3", "would not read a text", _BUCKET_FIX),
    (KEYED_GCS, "bucket", "true", "would not read a text", _BUCKET_FIX),
    (KEYED_GCS, "chunkSize", "5000000", "not a multiple of 262144", _CHUNK_FIX),
    (KEYED_GCS, "chunkSize", "0", "a multiple of 262144", _CHUNK_FIX),
    (KEYED_GCS, "chunkSize", "268697600", "up to 268435456", _CHUNK_FIX),
    (KEYED_GCS, "chunkSize", "5Mi", "digits only", _CHUNK_FIX),
    (
        KEYED_GCS,
        "serviceAccount",
        "harbor-registry",
        "only with workloadIdentity true",
        "pulumi config rm --path 'storage.serviceAccount' -s omantel",
    ),
    (
        KEYLESS_GCS,
        "serviceAccount",
        None,
        "required with workloadIdentity",
        set_path("storage.serviceAccount", "<service-account>"),
    ),
    (
        KEYED_GCS,
        "rootDirectory",
        ".sovereign-harbor",
        "this program's own objects, which go with the bucket",
        set_path("storage.rootDirectory", "harbor"),
    ),
    (
        KEYLESS_GCS,
        "redirect",
        True,
        "redirects are signed with a key",
        set_path("storage.redirect", "false"),
    ),
    (
        AZURE,
        "account",
        "Omantel",
        "lower-case letters and digits",
        set_path("storage.account", "omantel"),
    ),
    (AZURE, "account", "omantel-harbor", "lower-case letters and digits", _ACCOUNT_FIX),
    (AZURE, "account", "ab", "3 to 24", _ACCOUNT_FIX),
    (AZURE, "account", "x" * 25, "3 to 24", _ACCOUNT_FIX),
    (AZURE, "account", "12345678", "would not read a text", _ACCOUNT_FIX),
    (AZURE, "account", "devstoreaccount1", "an emulator beside itself", _ACCOUNT_FIX),
    (AZURE, "container", "a--b", "single '-'", _CONTAINER_FIX),
    (AZURE, "container", "-ab", "beginning and ending", _CONTAINER_FIX),
    (AZURE, "container", "$root", "lower-case letters, digits", _CONTAINER_FIX),
    (AZURE, "container", "yes", "would not read a text", _CONTAINER_FIX),
    (AZURE, "realm", "blob.example.com", "no domain of one's own", _REALM_FIX),
    (AZURE, "realm", "core.window.net", "no domain of one's own", _REALM_FIX),
    (
        AZURE,
        "rootDirectory",
        "harbor",
        "the registry's azure driver knows no prefix",
        "pulumi config rm --path 'storage.rootDirectory' -s omantel",
    ),
    (
        AZURE,
        "chunkSize",
        "5242880",
        "no such setting of kind azure; kind hetzner or s3 or aws or gcs has it",
        "pulumi config rm --path 'storage.chunkSize' -s omantel",
    ),
    (
        FILESYSTEM,
        "accessMode",
        "ReadOnlyMany",
        "one of ReadWriteOnce, ReadWriteMany",
        set_path("storage.accessMode", "ReadWriteOnce"),
    ),
]


@pytest.mark.parametrize(
    ("storage", "key", "value", "allowed", "fix"), REFUSED, ids=[f"{r[1]}={r[2]}" for r in REFUSED]
)
def test_what_cannot_work_is_refused_with_the_way_out(
    storage: Object, key: str, value: Any, allowed: str, fix: str
) -> None:
    given = {k: v for k, v in {**storage, key: value}.items() if v is not None}
    refusal = refused(given)
    assert refusal.key == f"storage.{key}"
    assert refusal.value == ("(not set)" if value is None else json.dumps(value))
    assert allowed in refusal.allowed
    assert refusal.fix == fix


@pytest.mark.parametrize(
    ("storage", "key"), [(KEYED_GCS, "bucket"), (AZURE, "account"), (AZURE, "container")], ids=str
)
def test_no_name_may_be_left_out(storage: Object, key: str) -> None:
    refusal = refused({k: v for k, v in storage.items() if k != key})
    assert (refusal.key, refusal.value) == (f"storage.{key}", "(not set)")


# --- Names that nobody quotes ------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "harbor", "harbor/v2", "1/2", "no/where", "a.b", "-a", "."])
def test_a_prefix_that_reads_as_text_is_accepted(text: str) -> None:
    assert ROOT_DIRECTORY.check is not None
    assert ROOT_DIRECTORY.check(text) is None


@pytest.mark.parametrize("text", ["2024", "1e3", "-1", ".5", "Yes", "null", "0x1F", "1_0", "-"])
def test_a_prefix_that_reads_as_something_else_is_refused(text: str) -> None:
    assert ROOT_DIRECTORY.check is not None
    assert "would not read a text" in (ROOT_DIRECTORY.check(text) or "")


# --- Volumes -----------------------------------------------------------------------------------

MANY = {**FILESYSTEM, "accessMode": "ReadWriteMany"}
BUCKET = {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"}


def test_several_pods_cannot_share_a_volume_of_one_node() -> None:
    refusal = refused(FILESYSTEM, harbor={"replicas": {"registry": 2}})
    assert (refusal.key, refusal.value) == ("harbor.replicas.registry", "2")
    assert "storage.accessMode ReadWriteMany, or object storage" in refusal.allowed
    assert refusal.fix == set_path("harbor.replicas.registry", "1")


@pytest.mark.parametrize("storage", [MANY, BUCKET], ids=str)
def test_several_pods_can_share_what_many_nodes_reach(storage: Object) -> None:
    assert accepted(storage, harbor={"replicas": {"registry": 3}}).harbor.replicas.registry == 3


def test_other_components_have_no_volume_to_share() -> None:
    """Job logs lie in the database, and each of Trivy's pods has a volume of its own."""
    replicas = {"core": 3, "portal": 3, "jobservice": 3, "trivy": 3}
    assert accepted(FILESYSTEM, harbor={"replicas": replicas}).harbor.replicas.trivy == 3


@pytest.mark.parametrize(
    ("storage", "asked", "used"),
    [
        (FILESYSTEM, None, "Recreate"),
        (FILESYSTEM, "Recreate", "Recreate"),
        (MANY, None, "RollingUpdate"),
        (MANY, "Recreate", "Recreate"),
        (BUCKET, None, "RollingUpdate"),
        (BUCKET, "Recreate", "Recreate"),
        (BUCKET, "RollingUpdate", "RollingUpdate"),
    ],
    ids=str,
)
def test_a_pod_waits_for_the_volume_that_it_needs(
    storage: Object, asked: str | None, used: str
) -> None:
    harbor = {} if asked is None else {"harbor": {"updateStrategy": asked}}
    assert update_strategy(accepted(storage, **harbor)) == used


def test_a_rolling_update_with_a_volume_of_one_node_is_refused() -> None:
    refusal = refused(FILESYSTEM, harbor={"updateStrategy": "RollingUpdate"})
    assert (refusal.key, refusal.value) == ("harbor.updateStrategy", '"RollingUpdate"')
    assert "mounts on one node only" in refusal.allowed
    assert refusal.fix == set_path("harbor.updateStrategy", "Recreate")


# --- Secrets -----------------------------------------------------------------------------------

_KEY: Object = json.loads(KEY_FILE)


def key_file(**changes: Any) -> str:
    return json.dumps({k: v for k, v in {**_KEY, **changes}.items() if v is not None})


def read_secret(key: str, text: str, *, sandbox: bool = False) -> str | Refusal:
    return refusals.read_secret(
        key, text, encrypted=True, sandbox=sandbox, environ={}, fixes=Fixes(stack="omantel")
    )


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("gcsKeyData", KEY_FILE),
        ("gcsKeyData", key_file(project_id="omantel", universe_domain="googleapis.com")),
        ("gcsKeyData", f"\n{KEY_FILE}\n"),
        (
            "gcsKeyData",
            key_file(private_key=_KEY["private_key"].replace("PRIVATE", "RSA PRIVATE")),
        ),
        ("azureAccountKey", ACCOUNT_KEY),
        ("azureAccountKey", "+/" * 43 + "=="),
    ],
)
def test_a_good_secret_is_taken_as_it_is(key: str, text: str, *, sandbox: bool) -> None:
    assert read_secret(key, text, sandbox=sandbox) == text


BAD_SECRETS: list[tuple[str, str, str]] = [
    ("gcsKeyData", "", "it is not JSON"),
    ("gcsKeyData", f"/home/{MARK}/key.json", "it is not JSON"),
    ("gcsKeyData", "eyJ0eXBlIjoiVE9QU0VDUkVUIn0=", "base64"),
    ("gcsKeyData", KEY_FILE[:-1], "it is not JSON"),
    ("gcsKeyData", "[" * 100_000, "longer than any key file"),
    ("gcsKeyData", "[" * 16_000, "it is not JSON"),
    ("gcsKeyData", f'["{MARK}"]', "no object"),
    ("gcsKeyData", json.dumps(KEY_FILE), "no object"),
    ("gcsKeyData", key_file(type=f"authorized_{MARK}"), "its type is not service_account"),
    ("gcsKeyData", key_file(type=None), "its type is not service_account"),
    ("gcsKeyData", key_file(client_email=None), "it has no client_email"),
    ("gcsKeyData", key_file(client_email=[MARK]), "it has no client_email"),
    ("gcsKeyData", key_file(private_key=""), "it has no private_key"),
    ("gcsKeyData", key_file(private_key=f"{MARK}"), "its private_key is not PEM"),
    (
        "gcsKeyData",
        key_file(private_key=_KEY["private_key"].replace("\n", "\\n")),
        "its private_key is not PEM",
    ),
    ("azureAccountKey", ACCOUNT_KEY[:-1], "88 characters of base64"),
    ("azureAccountKey", f"{ACCOUNT_KEY}x", "88 characters of base64"),
    ("azureAccountKey", ACCOUNT_KEY.replace("x", "-"), "88 characters of base64"),
    ("azureAccountKey", f"{ACCOUNT_KEY}\n", "white space"),
    (
        "azureAccountKey",
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={ACCOUNT_KEY};",
        "connection string",
    ),
]


@pytest.mark.parametrize(("key", "text", "reason"), BAD_SECRETS, ids=[b[2] for b in BAD_SECRETS])
def test_a_bad_secret_is_refused_and_nothing_of_it_is_shown(
    key: str, text: str, reason: str
) -> None:
    refusal = read_secret(key, text)
    assert isinstance(refusal, Refusal)
    assert refusal.key == key
    assert reason in refusal.allowed
    assert refusal.value == f"<secret, {len(text)} characters>"
    assert MARK not in str(refusal)
    assert refusal.fix.startswith(f"pulumi config set --secret {key} -s omantel")


def test_a_key_file_is_set_from_the_file_and_a_key_by_typing() -> None:
    missing = {
        key: refusals.missing_secret(key, fixes=Fixes(stack="omantel"), sandbox=False).fix
        for key in SECRETS
    }
    assert missing["gcsKeyData"] == "pulumi config set --secret gcsKeyData -s omantel < key.json"
    others = {key: fix for key, fix in missing.items() if key != "gcsKeyData"}
    assert others == {key: f"pulumi config set --secret {key} -s omantel" for key in others}


def test_a_key_written_beside_the_bucket_is_recognised_and_hidden() -> None:
    for storage, key, secret, value in (
        (KEYED_GCS, "keyData", "gcsKeyData", KEY_FILE),
        (AZURE, "accountKey", "azureAccountKey", ACCOUNT_KEY),
    ):
        refusal = refused({**storage, key: value})
        assert f"did you mean the top-level secret {secret}?" in refusal.allowed
        assert refusal.value == f"<secret, {len(value)} characters>"
        assert MARK not in str(refusal)
