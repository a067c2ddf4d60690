"""Every kind of storage, from the stack's settings to the registry's own reading of its file.

The program's components run under mocks; what they give to the Helm release is rendered; the
registry parses the result. On the stand-in, or on the real chart:

    TEST_HARBOR_CHART=/path/to/harbor-helm-1.18.3 pytest tests/render/test_storage_matrix.py
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from components.harbor.release import POST_RENDERER
from components.object_storage.store import HARBOR_SECRET
from tests.support import builders
from tests.support.builders import ACCESS_KEY, ACCOUNT_KEY, KEY_FILE, SECRET_KEY
from tests.support.certificates import certificate_of
from tests.support.mocks import MARK, RELEASE, SEAL, fresh_engine, minted
from tests.support.rendering import (
    CHART,
    Object,
    Objects,
    container,
    environment_of,
    names,
    needs,
    parse_by_registry,
    parsed,
    pods,
    registry_config,
    registry_environment,
    rendered,
    tool,
)

pytestmark = needs("helm")

# --------------------------------------------------------------------------------------------------
# The table


@dataclass(frozen=True, kw_only=True)
class Row:
    """A kind of storage, with its credentials or without, and what the registry makes of it."""

    storage: Mapping[str, Any]
    driver: str
    parameters: Mapping[str, Any]
    """What stands in the registry's file for the driver."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """What both containers get from the Secret as environment."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """What both get from it as files."""
    service_account: str | None = None


S3_KEYS = {
    "REGISTRY_STORAGE_S3_ACCESSKEY": ACCESS_KEY,
    "REGISTRY_STORAGE_S3_SECRETKEY": SECRET_KEY,
}
AWS_BUCKET = {
    "region": "eu-central-1",
    "bucket": "omantel-harbor",
    "secure": True,
    "v4auth": True,
}
# A kind more is a row more; a driver more is a line more in PARAMETERS.
MATRIX: dict[str, Row] = {
    "hetzner": Row(
        storage={"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"},
        driver="s3",
        parameters={
            "region": "fsn1",
            "bucket": "omantel-harbor",
            "regionendpoint": "https://fsn1.your-objectstorage.com",
            "secure": True,
            "v4auth": True,
            "multipartcopymaxconcurrency": 10,
        },
        variables=S3_KEYS,
    ),
    "s3": Row(
        storage={**builders.BUCKET, "rootDirectory": "images", "chunkSize": "10485760"},
        driver="s3",
        parameters={
            "region": "us-east-1",
            "bucket": "omantel-harbor",
            "regionendpoint": "https://s3.example.com",
            "secure": True,
            "v4auth": True,
            "rootdirectory": "images",
            "chunksize": 10485760,
        },
        variables=S3_KEYS,
    ),
    "aws, access key": Row(
        storage={**builders.AWS, "rootDirectory": "images"},
        driver="s3",
        parameters={**AWS_BUCKET, "rootdirectory": "images"},
        variables={
            "REGISTRY_STORAGE_S3_ACCESSKEY": "id-of-object-storage-access-key-1",
            "REGISTRY_STORAGE_S3_SECRETKEY": minted("object-storage-access-key-1", 40),
        },
    ),
    "aws, node role": Row(storage=builders.NODE_ROLE, driver="s3", parameters=AWS_BUCKET),
    "aws, a region that the registry does not know": Row(
        storage={**builders.NODE_ROLE, "region": "me-central-1"},
        driver="s3",
        parameters={
            **AWS_BUCKET,
            "region": "me-central-1",
            "regionendpoint": "https://s3.me-central-1.amazonaws.com",
        },
    ),
    "gcs, key": Row(
        storage={**builders.KEYED_GCS, "chunkSize": "5242880"},
        driver="gcs",
        parameters={
            "bucket": "omantel_harbor",
            "rootdirectory": "images",
            "chunksize": 5242880,
            "keyfile": "/etc/registry/gcs-key.json",
        },
        files={"/etc/registry/gcs-key.json": KEY_FILE},
    ),
    "gcs, workload identity": Row(
        storage=builders.KEYLESS_GCS,
        driver="gcs",
        parameters={"bucket": "omantel-harbor"},
        service_account="harbor-registry",
    ),
    "azure": Row(
        storage=builders.AZURE,
        driver="azure",
        parameters={
            "accountname": "omantelharbor",
            "container": "harbor",
            "realm": "core.windows.net",
        },
        variables={"REGISTRY_STORAGE_AZURE_ACCOUNTKEY": ACCOUNT_KEY},
    ),
    "azure, another cloud": Row(
        storage={**builders.AZURE, "realm": "core.chinacloudapi.cn", "redirect": True},
        driver="azure",
        parameters={
            "accountname": "omantelharbor",
            "container": "harbor",
            "realm": "core.chinacloudapi.cn",
        },
        variables={"REGISTRY_STORAGE_AZURE_ACCOUNTKEY": ACCOUNT_KEY},
    ),
    "off": Row(
        storage=builders.FILESYSTEM,
        driver="filesystem",
        parameters={"rootdirectory": "/storage"},
    ),
    "off, shared volume": Row(
        storage={**builders.FILESYSTEM, "accessMode": "ReadWriteMany"},
        driver="filesystem",
        parameters={"rootdirectory": "/storage"},
    ),
}

every_kind = pytest.mark.parametrize("kind", MATRIX)
of_a_volume = pytest.mark.parametrize("kind", [k for k in MATRIX if k.startswith("off")])
remote = pytest.mark.parametrize("kind", [k for k in MATRIX if not k.startswith("off")])


@dataclass(frozen=True, kw_only=True)
class Sovereign:
    """What the program makes of a row: the rendered chart, and Secret → key → plaintext."""

    rendering: Objects
    manifests: str
    sealed: Mapping[str, Mapping[str, str]]


@cache
def sovereign(kind: str) -> Sovereign:
    certificate = certificate_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    with fresh_engine() as engine:
        engine.run(
            lambda: builders.harbor(
                builders.context_of(certificate), storage=dict(MATRIX[kind].storage)
            )
        )
        values = engine.one(RELEASE)["values"]
        sealed = {seal["name"]: seal["data"] for seal in engine.all(SEAL)}
    manifests = rendered(values, CHART, "--post-renderer", POST_RENDERER)
    return Sovereign(rendering=parsed(manifests), manifests=manifests, sealed=sealed)


# --------------------------------------------------------------------------------------------------
# The configuration


@every_kind
def test_the_registry_is_told_of_this_storage_and_no_other(kind: str):
    row = MATRIX[kind]
    storage = registry_config(sovereign(kind).rendering)["storage"]
    about_any = {"cache", "maintenance", "delete", "redirect"}
    assert {key: of for key, of in storage.items() if key not in about_any} == {
        row.driver: row.parameters
    }
    core = sovereign(kind).rendering["ConfigMap", "harbor-core"]["data"]
    assert core["REGISTRY_STORAGE_PROVIDER_NAME"] == row.driver


@remote
def test_clients_are_sent_to_the_store_only_where_asked(kind: str):
    redirect = registry_config(sovereign(kind).rendering)["storage"]["redirect"]
    assert redirect == {"disable": not MATRIX[kind].storage.get("redirect", False)}


@needs("registry")
@every_kind
def test_the_registry_accepts_its_configuration(kind: str, tmp_path: Path):
    row = MATRIX[kind]
    config = sovereign(kind).rendering["ConfigMap", "harbor-registry"]["data"]["config.yml"]
    run = parse_by_registry(config, tmp_path, row.variables)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == row.driver


# FromParameters of each driver in docker/distribution 2.8.3, registry/storage/driver/: what it must
# have, and what it may. A parameter that it does not know it ignores without a word.
PARAMETERS: dict[str, tuple[set[str], set[str]]] = {
    "s3": (
        {"region", "bucket"},
        {
            *("accesskey", "secretkey", "regionendpoint", "encrypt", "secure", "skipverify"),
            *("v4auth", "keyid", "chunksize", "multipartcopychunksize", "rootdirectory"),
            *("multipartcopymaxconcurrency", "multipartcopythresholdsize", "storageclass"),
            *("objectacl", "useragent"),
        },
    ),
    "gcs": ({"bucket"}, {"rootdirectory", "chunksize", "keyfile", "credentials", "maxconcurrency"}),
    "azure": ({"accountname", "accountkey", "container"}, {"realm"}),
    "filesystem": (set(), {"rootdirectory", "maxthreads"}),
}


@every_kind
def test_the_driver_knows_every_parameter_and_misses_none(kind: str):
    row = MATRIX[kind]
    prefix = f"REGISTRY_STORAGE_{row.driver.upper()}_"
    given = row.parameters.keys() | {name.removeprefix(prefix).lower() for name in row.variables}
    required, optional = PARAMETERS[row.driver]
    assert required <= given <= required | optional


# --------------------------------------------------------------------------------------------------
# The credentials


def given_variables(one: Object, kind: str) -> dict[str, str]:
    """Variables of the storage that a container has from the Secrets that the program sealed."""
    sealed = sovereign(kind).sealed
    got: dict[str, str] = {}
    for source in one.get("envFrom", []):
        if of := source.get("secretRef"):
            got |= sealed.get(of["name"], {})
    for name, variable in environment_of(one).items():
        if of := (variable.get("valueFrom") or {}).get("secretKeyRef"):
            got[name] = sealed[of["name"]][of["key"]]
    return {name: value for name, value in got.items() if name.startswith("REGISTRY_STORAGE_")}


def given_files(one: Object, kind: str) -> dict[str, str]:
    """Files that a container has from the Secret with the storage's credentials."""
    got: dict[str, str] = {}
    volumes = {v["name"]: v for v in pods(sovereign(kind).rendering)["registry"]["spec"]["volumes"]}
    for mount in one["volumeMounts"]:
        secret = volumes[mount["name"]].get("secret")
        if secret and secret["secretName"] == HARBOR_SECRET:
            (item,) = secret["items"]
            assert mount["subPath"] == item["path"]
            got[mount["mountPath"]] = sovereign(kind).sealed[HARBOR_SECRET][item["key"]]
    return got


@every_kind
@pytest.mark.parametrize("name", ["registry", "registryctl"])
def test_both_containers_of_the_registry_get_the_credentials(name: str, kind: str):
    """Garbage collection deletes from registryctl."""
    row, one = MATRIX[kind], container(sovereign(kind).rendering, name)
    assert given_variables(one, kind) == row.variables
    assert given_files(one, kind) == row.files


@every_kind
def test_without_credentials_there_is_no_secret_of_them(kind: str):
    row = MATRIX[kind]
    has_some = bool(row.variables or row.files)
    assert (HARBOR_SECRET in sovereign(kind).sealed) == has_some
    assert (HARBOR_SECRET in sovereign(kind).manifests) == has_some


@every_kind
def test_nothing_that_is_rendered_holds_a_credential(kind: str):
    assert MARK not in sovereign(kind).manifests


@every_kind
def test_the_registry_runs_as_the_service_account_that_stands_for_a_key(kind: str):
    for name, pod in pods(sovereign(kind).rendering).items():
        account = MATRIX[kind].service_account if name == "registry" else None
        assert (pod["spec"].get("serviceAccountName") or None) == account, name
        assert pod["spec"]["automountServiceAccountToken"] is (account is not None), name


# --------------------------------------------------------------------------------------------------
# The volume


@remote
def test_with_a_store_outside_the_registry_has_no_volume(kind: str):
    rendering = sovereign(kind).rendering
    assert names(rendering, "PersistentVolumeClaim") == set()
    assert rendering["Deployment", "harbor-registry"]["spec"]["strategy"]["type"] == "RollingUpdate"


@of_a_volume
def test_a_volume_is_as_asked_and_is_waited_for(kind: str):
    rendering, storage = sovereign(kind).rendering, MATRIX[kind].storage
    mode = storage.get("accessMode", "ReadWriteOnce")
    claim = rendering["PersistentVolumeClaim", "harbor-registry"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["accessModes"] == [mode]
    assert claim["spec"]["storageClassName"] == storage["storageClass"]
    assert claim["spec"]["resources"]["requests"]["storage"] == storage["size"]
    strategy = rendering["Deployment", "harbor-registry"]["spec"]["strategy"]["type"]
    assert strategy == ("Recreate" if mode == "ReadWriteOnce" else "RollingUpdate")


# --------------------------------------------------------------------------------------------------
# A driver that asks for its container when it starts


@contextmanager
def refusing_proxy() -> Iterator[tuple[str, Queue[str]]]:
    """A proxy that opens no way out; the hosts that it was asked for."""
    asked: Queue[str] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.put(self.path)
            self.send_error(403)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@needs("registry")
@pytest.mark.parametrize("kind", [k for k in MATRIX if MATRIX[k].driver == "azure"])
def test_the_driver_takes_its_parameters_and_asks_the_account_s_host(kind: str, tmp_path: Path):
    rendering, row = sovereign(kind).rendering, MATRIX[kind]
    file = tmp_path / "config.yml"
    file.write_text(rendering["ConfigMap", "harbor-registry"]["data"]["config.yml"])
    with refusing_proxy() as (proxy, asked):
        environment = registry_environment(row.variables) | {"HTTPS_PROXY": proxy, "NO_PROXY": ""}
        with subprocess.Popen(
            [str(tool("registry")), "serve", str(file)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as registry:
            try:
                host = asked.get(timeout=30)
            finally:
                registry.kill()
    assert host == f"omantelharbor.blob.{row.parameters['realm']}:443"
