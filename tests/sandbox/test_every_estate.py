"""A Sovereign's life by the real engine, from the first `up` to `destroy`, for every estate.

Order matters. The local stack lives in the session's sandbox; each estate in one of its own, by the
rights that `make deployer-role` prints for it.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from engine.stack import Stack
from engine.terminal import Steps
from sandbox import cluster, commands, smoke
from sandbox import estate as estates
from sandbox.environment import environment
from sandbox.state import STACK, State
from sandbox.waiting import wait_until
from tests.support import gitlab_estate
from tests.support.deployer import kubeconfig_of_deployer, only_the_printed_rights
from tests.support.sandbox import Sandbox, bucket_client, generations, objects, unsealed
from toolchain.build import ensure

READERS_OF_THE_CACHE = {"Deployment/harbor-core", "Deployment/harbor-jobservice"} | {
    "Deployment/harbor-registry"
}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is particular to an estate. `pods`: components of Harbor; `secrets`: how many values are
    secret at least; `readers`: workloads that read the cache's password; `projects`: the smoke
    test's words; `logins`: robots whose logins are Secrets, the one that pushes first."""

    host: str
    bucket: str
    seam_namespace: str
    pods: tuple[str, ...]
    secrets: int
    cache_secret: str
    readers: set[str]
    projects: str
    logins: tuple[str, ...]
    kept: set[str]


EXPECTED = {
    "local": Expected(
        host="registry.local.harbor.test",
        bucket="local-harbor",
        seam_namespace="flux-system",
        pods=("core", "portal", "jobservice", "registry", "trivy"),
        secrets=19,
        cache_secret="harbor-valkey-credentials",
        readers={
            *READERS_OF_THE_CACHE,
            "StatefulSet/harbor-valkey",
            "StatefulSet/harbor-trivy",
        },
        projects="apps, proxy-ghcr (cache of ghcr.io)",
        logins=("robot$apps+ci", "robot$cluster"),
        kept={"data-harbor-valkey-0", "data-harbor-trivy-0"},
    ),
    "gitlabbda": Expected(
        host="registry.staging.bluedynamics.eu",
        bucket="registry-gitlabbda-kup6s",
        seam_namespace="gitlabbda",
        pods=("core", "portal", "jobservice", "registry", "exporter"),
        secrets=15,
        cache_secret="harbor-shared-valkey",
        readers={*READERS_OF_THE_CACHE, "Deployment/harbor-exporter"},
        projects="bluedynamics",
        logins=("robot$bluedynamics+ci",),
        kept=set(),
    ),
}


ADOPTIONS = {"gitlabbda": gitlab_estate.adopt}
"""How estates with a Harbor of their own come to this program."""


@dataclass(frozen=True)
class Life:
    """An estate whose Sovereign is up, and what is expected of it."""

    sandbox: Sandbox
    stack: Stack
    expected: Expected


@pytest.fixture(scope="module", params=estates.names())
def life(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Life]:
    name: str = request.param
    if name == STACK:
        stack: Stack = request.getfixturevalue("sovereign")
        yield Life(request.getfixturevalue("sandbox"), stack, EXPECTED[name])
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield from _life_of_its_own(name, State(tmp_path_factory.mktemp(name)), monkeypatch)


def _life_of_its_own(name: str, state: State, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    """As `make up STACK=… SANDBOX=1`."""
    monkeypatch.setenv("SANDBOX_DIR", str(state.folder))
    place, tools = estates.of(name), ensure(report=lambda _: None)
    commands.start(state, tools, Steps(9), place=place, watch=os.getpid())
    try:
        variables = environment(state, tools, name)
        project, namespace = place.project(state), place.namespace
        sandbox = Sandbox(state, tools, project, variables, name, namespace)
        stack = sandbox.stack()
        stack.ensure()
        ADOPTIONS.get(name, lambda _, stack: stack.up())(sandbox, stack)
        # An administrator adopts. All that comes after is the deployer's.
        only_the_printed_rights(sandbox)
        deployer = sandbox.stack(KUBECONFIG=str(kubeconfig_of_deployer(sandbox)))
        yield Life(sandbox, deployer, EXPECTED[name])
    finally:
        commands.stop_all(state)


def test_every_estate_has_expectations() -> None:
    assert list(EXPECTED) == estates.names()


def test_the_outputs_say_where_the_registry_is(life: Life) -> None:
    outputs, host = life.stack.outputs(), life.expected.host
    assert outputs["registryFqdn"] == host
    assert outputs["registryUrl"] == f"https://{host}"
    assert outputs["imagePrefix"] == f"{host}/"
    assert outputs["bucket"] == life.expected.bucket
    assert outputs["namespace"] == life.sandbox.namespace
    assert outputs["harborVersion"] == "2.14.3"
    assert outputs["adminPassword"] == "[secret]"
    assert len(life.stack.outputs(show_secrets=True)["adminPassword"]) == 32


def test_a_second_up_changes_nothing(life: Life) -> None:
    life.stack.up(expect_no_changes=True)


def test_a_refresh_finds_no_drift(life: Life) -> None:
    name = life.stack.name
    life.stack.run("refresh", "-s", name, "--yes", "--skip-preview", "--expect-no-changes")


def test_every_pod_of_harbor_is_ready_on_an_amd64_node(life: Life) -> None:
    pods = objects(life.sandbox, "pods")
    nodes = {pod["metadata"]["labels"].get("component"): pod["spec"]["nodeName"] for pod in pods}
    for component in life.expected.pods:
        assert nodes[component].startswith("amd64"), nodes


def test_the_seam_has_its_five_keys_and_nothing_else(life: Life) -> None:
    seam = unsealed(life.sandbox)["object-storage"]
    assert set(seam) == {"s3-bucket", "s3-region", "s3-endpoint", "s3-access-key", "s3-secret-key"}
    assert seam["s3-bucket"] == life.expected.bucket
    assert seam["s3-endpoint"] == life.sandbox.variables["SANDBOX_S3_ENDPOINT"]
    assert seam["s3-secret-key"] == life.sandbox.state.credentials()["s3SecretKey"]


@pytest.fixture(scope="module")
def proof(life: Life) -> smoke.Proof:
    return smoke.run(life.sandbox.state, life.sandbox.tools, life.stack.outputs())


def test_an_image_goes_into_the_bucket_and_comes_back_identical(proof: smoke.Proof) -> None:
    assert proof.blobs == 3
    assert proof.image_bytes >= 20 * 1024 * 1024
    assert "harbor-objectstorage-credentials" in proof.unsealed


def test_the_proof_of_a_first_run_tells_of_projects_and_robots(
    life: Life, proof: smoke.Proof
) -> None:
    configured, *logins, pushed = proof.robots
    first = life.expected.logins[0]
    project = first.removeprefix("robot$").partition("+")[0]
    assert configured == f"configured in a fake of Harbor's API: projects {life.expected.projects}"
    assert [line.rpartition("by which ")[2] for line in logins] == [
        f"{robot} logs in" for robot in life.expected.logins
    ]
    assert f"{first} through the fake, into Harbor's registry: pushed {project}/smoke" in pushed
    assert pushed.endswith("pulled it identical; refused in library")


def places_to_look(life: Life) -> Iterator[tuple[str, str]]:
    """Name and text of everything that could hold a plaintext by mistake."""
    sandbox, stack = life.sandbox, life.stack
    backend = sandbox.state.folder / "pulumi-state"
    for file in backend.rglob("*.json*"):
        yield f"state {file.name}", file.read_text(errors="replace")
    for file in (sandbox.state.folder / "logs").glob("*.log"):
        yield f"log {file.name}", file.read_text(errors="replace")
    for secret in objects(sandbox, "secrets"):
        if secret["type"] == "helm.sh/release.v1":
            packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
            yield f"Helm record {secret['metadata']['name']}", gzip.decompress(packed).decode()
    kinds = "configmaps,deployments,statefulsets,pods,services,sealedsecrets.bitnami.com"
    kinds += ",externalsecrets.external-secrets.io,pushsecrets.external-secrets.io"
    for item in objects(sandbox, kinds):
        yield f"{item['kind']} {item['metadata']['name']}", json.dumps(item)
    yield "preview", stack.run("preview", "-s", stack.name, "--diff", "--show-sames").text
    yield "preview as JSON", stack.run("preview", "-s", stack.name, "--json").text
    yield "stack export", stack.run("stack", "export", "-s", stack.name).text


def logins_of_robots(sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """Passwords inside of files of logins, which are no plaintext by themselves."""
    for name, data in unsealed(sandbox).items():
        for key in data.keys() & {".dockerconfigjson"}:
            for login in json.loads(data[key])["auths"].values():
                yield f"{name} password", login["password"]
                yield f"{name} auth", login["auth"]


def test_no_plaintext_secret_stands_anywhere(life: Life) -> None:
    public = {"username", "s3-bucket", "s3-region", "s3-endpoint", "tls.crt"}
    plaintexts = {
        f"{name}.{key}": value.strip()
        for name, data in unsealed(life.sandbox).items()
        for key, value in data.items()
        if key not in public
    }
    plaintexts |= dict(logins_of_robots(life.sandbox))
    assert len(plaintexts) >= life.expected.secrets
    places = list(places_to_look(life))
    assert {name.split()[0] for name, _ in places} >= {"state", "log", "Helm", "ConfigMap"}
    for name, text in places:
        for secret, value in plaintexts.items():
            lines = [value, *(line for line in value.splitlines() if len(line) > 40)]
            assert not any(line in text for line in lines), f"{secret} stands in {name}"
            encoded = base64.b64encode(value.encode()).decode().rstrip("=")
            assert encoded not in text, f"{secret} stands in {name} as base64"


def rotate(life: Life) -> None:
    """A new password for the cache: of the Sovereign's own, or where the estate keeps it."""
    sandbox = life.sandbox
    shared = sandbox.section("valkey")
    if shared is None:
        epochs = sandbox.section("rotation") or {"valkeyPassword": 1}
        sandbox.configure(rotation={**epochs, "valkeyPassword": epochs["valkeyPassword"] + 1})
        return
    source = shared["secret"]
    patch = json.dumps({"stringData": {source["property"]: "rotated-by-the-estate+/="}})
    kubectl = partial(cluster.kubectl, sandbox.state, sandbox.tools)
    store = "application-secrets"
    kubectl("patch", "secret", source["storeKey"], "-n", store, "--type=merge", "-p", patch)
    # The operator looks within an hour; docs/howto/external-secrets.md has it look at once.
    name, now = life.expected.cache_secret, f"force-sync={time.time():.0f}"
    kubectl("annotate", "externalsecret", name, "-n", sandbox.namespace, now, "--overwrite")
    assert wait_until(lambda: "rotated-by-the-estate" in str(unsealed(sandbox)[name]), seconds=180)


def test_a_rotated_password_of_the_cache_restarts_its_readers_and_nothing_else(life: Life) -> None:
    sandbox = life.sandbox
    secrets_before, before = unsealed(sandbox), generations(sandbox)
    rotate(life)
    life.stack.up()
    secrets_after, after = unsealed(sandbox), generations(sandbox)
    changed = {name for name in secrets_after if secrets_after[name] != secrets_before[name]}
    assert changed == {life.expected.cache_secret}
    restarted = {name for name in after if after[name] != before[name]}
    assert restarted == life.expected.readers
    life.stack.up(expect_no_changes=True)


def harbors_own(life: Life) -> list[str]:
    """Deployments and StatefulSets of Harbor, its database and its cache."""
    names = [item["metadata"]["name"] for item in objects(life.sandbox, "deployments,statefulsets")]
    return [name for name in names if name.startswith("harbor-")]


def test_destroy_leaves_the_bucket_and_what_it_holds(life: Life) -> None:
    sandbox, stack, outputs = life.sandbox, life.stack, life.stack.outputs()
    client = bucket_client(sandbox, outputs)
    client.put_object(Bucket=outputs["bucket"], Key="docker/registry/v2/kept", Body=b"kept")
    password = stack.outputs(show_secrets=True)["adminPassword"]
    stack.run(*("config", "set", "--secret", "harborAdminPassword", password, "-s", stack.name))
    stack.run("destroy", "-s", stack.name, "--yes", "--skip-preview")
    assert client.get_object(Bucket=outputs["bucket"], Key="docker/registry/v2/kept")
    assert harbors_own(life) == []
    claims = {claim["metadata"]["name"] for claim in objects(sandbox, "pvc")}
    assert claims >= life.expected.kept
    if sandbox.section("database") is None:
        clusters = objects(sandbox, "clusters.postgresql.cnpg.io")
        assert [item["metadata"]["name"] for item in clusters] == ["harbor-pg"]


def test_up_after_destroy_takes_over_what_was_left(life: Life) -> None:
    sandbox, stack, namespace = life.sandbox, life.stack, life.sandbox.namespace
    if sandbox.section("harborSecretKey") is None:  # test_state_lost.py, if it came before, sets it
        # Nobody needs what this database holds; test_taken_down.py keeps it.
        refused = stack.run("preview", "-s", stack.name, check=False)
        command = re.search(rf"kubectl (delete sealedsecret [\w -]+ -n {namespace})", refused.text)
        assert refused.code != 0 and command, refused.text
        cluster.kubectl(sandbox.state, sandbox.tools, *command[1].split())
    stack.up()
    client = bucket_client(sandbox, stack.outputs())
    assert client.get_object(Bucket=life.expected.bucket, Key="docker/registry/v2/kept")
    stack.up(expect_no_changes=True)
