"""The proof at the end of a first run: an image goes through Harbor's registry into the bucket.

The registry line of Harbor (distribution 2.8.3) is that of the applied Pod, with the Sovereign's
Valkey behind it, where Pods run (sandbox/pods). Elsewhere it is a process with the configuration
that the release rendered and the Secrets that the controller unsealed, both read from the API
server, and a cache in memory. Harbor's core, which would answer `docker login`, is not part of it:
a fake of its API stands in front of the registry for the proof of the robots' logins.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from components.object_storage.location import BucketLocation
from components.object_storage.s3.client import S3Credentials, s3_client
from components.registry.api import ADMIN_PASSWORD_KEY
from sandbox import cluster, processes, robot_proof
from sandbox.crane import Crane
from sandbox.pods import reached as pods
from sandbox.processes import SandboxError
from sandbox.state import REGION, State
from toolchain.build import Toolbox

IMAGE_BYTES = 24 * 1024 * 1024
REPOSITORY = "library/smoke"
STORAGE_SECRET = "harbor-objectstorage-credentials"
USER_SECRET = "harbor-minted-registry-user"
ADMIN_SECRET = "harbor-minted-admin-password"
OWNERS = ("SealedSecret", "ExternalSecret")
"""Kinds whose controllers make Secrets."""
CACHE_SECRET = "harbor-valkey-credentials"
REGISTRY = 5000
VALKEY = 6379


@dataclass(frozen=True)
class Proof:
    """What the smoke test has shown. `robots`: lines about projects and robots. `registry`: which
    one it was."""

    digest: str
    blobs: int
    image_bytes: int
    unsealed: tuple[str, ...]
    robots: tuple[str, ...] = ()
    registry: str = ""

    @property
    def told(self) -> str:
        return f"{self.digest[:19]}… pushed and pulled identical"

    @property
    def lines(self) -> list[str]:
        return [
            f"unsealed by the controller: {len(self.unsealed)} Secrets",
            f"pushed: {REPOSITORY} {self.digest} ({self.image_bytes / 2**20:.0f} MiB)",
            f"in the bucket under docker/registry/v2/: {self.blobs} blobs of it",
            "pulled: identical, byte for byte; then deleted",
            f"registry: {self.registry}",
            *self.robots,
        ]


def run(state: State, tools: Toolbox, outputs: Mapping[str, Any]) -> Proof:
    """The whole test. Raises SandboxError at the first failure."""
    namespace = outputs["namespace"]
    unsealed = _unsealed(state, tools, namespace)
    with tempfile.TemporaryDirectory(dir=state.directory("smoke")) as folder:
        work = Path(folder)
        with registry(state, tools, namespace, work) as serving:
            host, told = serving.host, serving.told
            Crane(tools, work).login(host, serving.username, serving.password)
            before = _cached(state, tools, namespace, work)
            proof = _push_and_pull(state, tools, outputs, work, host, unsealed)
            robots = robot_proof.prove(
                state,
                tools,
                outputs,
                work,
                admin_password=_secret(state, tools, namespace, ADMIN_SECRET)[ADMIN_PASSWORD_KEY],
                backend={
                    "url": f"http://{host}",
                    "user": serving.username,
                    "password": serving.password,
                },
            )
            told += _newly_cached(before, _cached(state, tools, namespace, work))
            return replace(proof, robots=tuple(robots), registry=told)


def _unsealed(state: State, tools: Toolbox, namespace: str) -> tuple[str, ...]:
    """Names of the namespace's Secrets that a SealedSecret or an ExternalSecret owns."""
    listed = json.loads(
        cluster.kubectl(state, tools, "get", "secrets", "-n", namespace, "-o", "json")
    )
    return tuple(
        item["metadata"]["name"]
        for item in listed["items"]
        if any(owner["kind"] in OWNERS for owner in item["metadata"].get("ownerReferences", []))
    )


def _secret(state: State, tools: Toolbox, namespace: str, name: str) -> dict[str, str]:
    secret = json.loads(
        cluster.kubectl(state, tools, "get", "secret", name, "-n", namespace, "-o", "json")
    )
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


@dataclass(frozen=True)
class Serving:
    """Harbor's registry. `host`: host:port on 127.0.0.1. `told`: which one it is, in words."""

    host: str
    told: str
    username: str
    password: str


@contextmanager
def registry(state: State, tools: Toolbox, namespace: str, work: Path) -> Iterator[Serving]:
    """Harbor's registry with its login: of the Pod, else a process that ends with the context.

    Its configuration is in `work` then, as config.yml. Raises SandboxError.
    """
    rendered = cluster.kubectl(
        state, tools, "get", "configmap", "harbor-registry", "-n", namespace, "-o", "json"
    )
    configuration = work / "config.yml"
    configuration.write_text(json.loads(rendered)["data"]["config.yml"])
    user = _secret(state, tools, namespace, USER_SECRET)
    with ExitStack() as closing:
        pod = pods.ready_pod(state, component="registry")
        if pod is not None:
            host, told = f"127.0.0.1:{pod.ports[REGISTRY]}", f"Pod {pod.name}, as applied"
        else:
            process = _process(state, tools, namespace, work, configuration, user)
            host, told = closing.enter_context(process), "a process with the Pod's configuration"
        username = user["REGISTRY_HTPASSWD"].partition(":")[0]
        yield Serving(host, told, username, user["REGISTRY_PASSWD"])


@contextmanager
def _process(
    state: State,
    tools: Toolbox,
    namespace: str,
    work: Path,
    configuration: Path,
    user: Mapping[str, str],
) -> Iterator[str]:
    """The registry as a process beside the cluster; yields host:port."""
    (work / "passwd").write_text(user["REGISTRY_HTPASSWD"])
    port, debug = processes.free_port(), processes.free_port()
    environment = {
        **_storage_keys(state, tools, namespace, configuration),
        "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_HTTP_DEBUG_ADDR": f"127.0.0.1:{debug}",
        "REGISTRY_AUTH_HTPASSWD_PATH": str(work / "passwd"),
        # No Valkey runs here; it only caches blob descriptors.
        "REGISTRY_STORAGE_CACHE_LAYERINFO": "inmemory",
        # The driver's old SDK panics on it.
        "AWS_CA_BUNDLE": "",
    }
    process = processes.start(
        state,
        "smoke-registry",
        [str(tools.path("registry")), "serve", str(configuration)],
        environment=environment,
        ready=lambda: processes.answers(port),
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        processes.stop(state, process)


def _cached(state: State, tools: Toolbox, namespace: str, work: Path) -> set[str] | None:
    """What the Sovereign's Valkey holds of the registry: keys. None where either is simulated."""
    valkey = pods.ready_pod(state, component="cache")
    if valkey is None or pods.ready_pod(state, component="registry") is None:
        return None
    secret = _secret(state, tools, namespace, CACHE_SECRET)
    index = yaml.safe_load((work / "config.yml").read_text())["redis"]["db"]
    commands = ["SELECT", str(index)], ["KEYS", "*"]
    *_, keys = pods.ask_valkey(valkey.ports[VALKEY], secret["REDIS_PASSWORD"], *commands)
    return set(keys.splitlines())


def _newly_cached(before: set[str] | None, after: set[str] | None) -> str:
    """What came into the Valkey meanwhile, in words. Raises SandboxError where nothing did."""
    if before is None or after is None:
        return ""
    if not after - before:
        raise SandboxError("the registry has cached nothing in the Sovereign's Valkey")
    return f"; {len(after - before)} entries of it in the Sovereign's Valkey"


def _storage_keys(
    state: State, tools: Toolbox, namespace: str, configuration: Path
) -> dict[str, str]:
    if "s3" not in yaml.safe_load(configuration.read_text())["storage"]:
        return {}
    return _secret(state, tools, namespace, STORAGE_SECRET)


def _push_and_pull(
    state: State,
    tools: Toolbox,
    outputs: Mapping[str, Any],
    work: Path,
    host: str,
    unsealed: tuple[str, ...],
) -> Proof:
    crane = Crane(tools, work)
    tag = f"{host}/{REPOSITORY}:{os.urandom(4).hex()}"
    layer = _layer(work)
    digest = (
        crane.run("append", "--oci-empty-base", "-f", str(layer), "-t", tag)
        .rpartition("@")[2]
        .strip()
    )
    manifest = json.loads(crane.run("manifest", tag))
    digests = [part["digest"] for part in [manifest["config"], *manifest["layers"]]]
    root = root_directory((work / "config.yml").read_text())
    blobs = _blobs(state, outputs, root, [*digests, digest])
    pulled = work / "pulled.tar"
    crane.run("export", f"{host}/{REPOSITORY}@{digest}", str(pulled))
    if _contents(pulled) != _contents(layer):
        raise SandboxError(f"the image pulled back as {digest} differs from the one pushed")
    crane.run("delete", f"{host}/{REPOSITORY}@{digest}")
    if crane.tried("manifest", f"{host}/{REPOSITORY}@{digest}").returncode == 0:
        raise SandboxError(f"{digest} can still be pulled after it was deleted")
    return Proof(digest=digest, blobs=blobs, image_bytes=IMAGE_BYTES, unsealed=unsealed)


def _layer(work: Path) -> Path:
    """A layer of random bytes, so that no compression and no earlier run makes it small."""
    content, layer = work / "content", work / "layer.tar"
    content.write_bytes(os.urandom(IMAGE_BYTES))
    with tarfile.open(layer, "w") as archive:
        archive.add(content, arcname="content")
    return layer


def _contents(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as opened:
        digests: dict[str, str] = {}
        for member in opened.getmembers():
            stream = opened.extractfile(member)
            if stream is not None:
                digests[member.name] = hashlib.sha256(stream.read()).hexdigest()
    return digests


def root_directory(configuration: str) -> str:
    """The directory in the bucket in which a registry of that config.yml looks."""
    driver = yaml.safe_load(configuration)["storage"].get("s3", {})
    return driver.get("rootdirectory") or ""


def _blobs(state: State, outputs: Mapping[str, Any], root: str, digests: list[str]) -> int:
    """How many of the blobs lie in the bucket; raises SandboxError unless all do."""
    if not outputs["bucket"]:
        return 0
    kept = state.credentials()
    location = BucketLocation(
        bucket=outputs["bucket"], region=REGION, endpoint=outputs["bucketEndpoint"]
    )
    client = s3_client(
        location, S3Credentials(access_key=kept["s3AccessKey"], secret_key=kept["s3SecretKey"])
    )
    for digest in digests:
        hexadecimal = digest.removeprefix("sha256:")
        path = f"docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
        key = f"{root.strip('/')}/{path}".lstrip("/")
        if client.list_objects_v2(Bucket=location.bucket, Prefix=key).get("KeyCount", 0) != 1:
            raise SandboxError(f"{key} is not in bucket {location.bucket}")
    return len(digests)
