"""A Sovereign's life by the real engine, from the first `up` to `destroy`. Order matters."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.settings.schema.rules import PEM, SettingRule
from components.settings.signatures import PUBLIC_KEY
from engine.stack import Stack
from sandbox import cluster, smoke
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import NAMESPACE, bucket_client, generations, objects, unsealed
from tests.support.signing import Key


def test_the_outputs_say_where_the_registry_is(sovereign: Stack) -> None:
    outputs = sovereign.outputs()
    assert outputs["registryFqdn"] == "registry.local.harbor.test"
    assert outputs["registryUrl"] == "https://registry.local.harbor.test"
    assert outputs["imagePrefix"] == "registry.local.harbor.test/"
    assert outputs["bucket"] == "local-harbor"
    assert outputs["namespace"] == NAMESPACE
    assert outputs["harborVersion"] == "2.14.3"
    assert outputs["adminPassword"] == "[secret]"
    assert len(sovereign.outputs(show_secrets=True)["adminPassword"]) == 32


def test_a_second_up_changes_nothing(sovereign: Stack) -> None:
    sovereign.up(expect_no_changes=True)


def test_a_refresh_finds_no_drift(sovereign: Stack) -> None:
    sovereign.run("refresh", "-s", sovereign.name, "--yes", "--skip-preview", "--expect-no-changes")


def test_every_pod_of_harbor_is_ready_on_an_amd64_node(sandbox: Sandbox, sovereign: Stack) -> None:
    pods = objects(sandbox, "pods")
    nodes = {pod["metadata"]["labels"].get("component"): pod["spec"]["nodeName"] for pod in pods}
    for component in ("core", "portal", "jobservice", "registry", "trivy"):
        assert nodes[component].startswith("amd64"), nodes


def test_the_seam_has_its_five_keys_and_nothing_else(sandbox: Sandbox, sovereign: Stack) -> None:
    seam = unsealed(sandbox)["object-storage"]
    assert set(seam) == {"s3-bucket", "s3-region", "s3-endpoint", "s3-access-key", "s3-secret-key"}
    assert seam["s3-bucket"] == "local-harbor"
    assert seam["s3-endpoint"] == sandbox.variables["SANDBOX_S3_ENDPOINT"]
    assert seam["s3-secret-key"] == sandbox.state.credentials()["s3SecretKey"]


@pytest.fixture(scope="module")
def proof(sandbox: Sandbox, sovereign: Stack) -> smoke.Proof:
    return smoke.run(sandbox.state, sandbox.tools, sovereign.outputs())


def test_an_image_goes_into_the_bucket_and_comes_back_identical(proof: smoke.Proof) -> None:
    assert proof.blobs == 3
    assert proof.image_bytes >= 20 * 1024 * 1024
    assert "harbor-objectstorage-credentials" in proof.unsealed


def test_the_proof_of_a_first_run_tells_of_projects_and_robots(proof: smoke.Proof) -> None:
    configured, *logins, pushed = proof.robots
    assert configured == (
        "configured in a fake of Harbor's API: projects apps, proxy-ghcr (cache of ghcr.io)"
    )
    assert [line.rpartition("by which ")[2] for line in logins] == [
        "robot$apps+ci logs in",
        "robot$cluster logs in",
    ]
    assert "robot$apps+ci through the fake, into Harbor's registry: pushed apps/smoke" in pushed
    assert pushed.endswith("pulled it identical; refused in library")


def test_signatures_are_asked_for_step_by_step(sandbox: Sandbox, sovereign: Stack) -> None:
    # The default kind; test_image_signatures.py has the steps of both, without the engine.
    before = sandbox.section("imagePolicy")
    signed = {"projects": ["platform"], "publicKey": Key().public}

    def configure(**step: Any) -> None:
        policy = {**before, "signatures": {**signed, **step}}
        sandbox.configure(imagePolicy=policy)

    try:
        configure(action="Enforce")
        refused = sovereign.run("preview", "-s", sovereign.name, check=False)
        assert refused.code != 0
        assert "verify-harbor-signatures is not applied yet" in refused.text
        configure()
        sovereign.up()
        configure(action="Enforce")
        refused = sovereign.run("up", "-s", sovereign.name, "--yes", "--skip-preview", check=False)
        assert refused.code != 0
        assert "no report says anything of verify-harbor-signatures yet" in refused.text
        configure(action="Enforce", acceptRefusals=True)
        sovereign.up()
        configure(action="Enforce")  # decided once, not asked again
        sovereign.up(expect_no_changes=True)
    finally:
        sandbox.configure(imagePolicy=before)
        sovereign.up()


def places_to_look(sandbox: Sandbox, sovereign: Stack) -> Iterator[tuple[str, str]]:
    """Name and text of everything that could hold a plaintext by mistake."""
    backend = sandbox.state.folder / "pulumi-state"
    for file in backend.rglob("*.json*"):
        yield f"state {file.name}", file.read_text(errors="replace")
    for file in (sandbox.state.folder / "logs").glob("*.log"):
        yield f"log {file.name}", file.read_text(errors="replace")
    for secret in objects(sandbox, "secrets"):
        if secret["type"] == "helm.sh/release.v1":
            packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
            yield f"Helm record {secret['metadata']['name']}", gzip.decompress(packed).decode()
    kinds = "configmaps,deployments,statefulsets,pods,sealedsecrets.bitnami.com,services"
    for item in objects(sandbox, kinds):
        yield f"{item['kind']} {item['metadata']['name']}", json.dumps(item)
    yield "preview", sovereign.run("preview", "-s", sovereign.name, "--diff", "--show-sames").text
    yield "preview as JSON", sovereign.run("preview", "-s", sovereign.name, "--json").text
    yield "stack export", sovereign.run("stack", "export", "-s", sovereign.name).text


def logins_of_robots(sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """Passwords inside of files of logins, which are no plaintext by themselves."""
    for name, data in unsealed(sandbox).items():
        for key in data.keys() & {".dockerconfigjson"}:
            for login in json.loads(data[key])["auths"].values():
                yield f"{name} password", login["password"]
                yield f"{name} auth", login["auth"]


def test_no_plaintext_secret_stands_anywhere(sandbox: Sandbox, sovereign: Stack) -> None:
    public = {"username", "s3-bucket", "s3-region", "s3-endpoint", "tls.crt"}
    plaintexts = {
        f"{name}.{key}": value.strip()
        for name, data in unsealed(sandbox).items()
        for key, value in data.items()
        if key not in public
    }
    plaintexts |= dict(logins_of_robots(sandbox))
    assert len(plaintexts) >= 19
    places = list(places_to_look(sandbox, sovereign))
    assert {name.split()[0] for name, _ in places} >= {"state", "log", "Helm", "ConfigMap"}
    for name, text in places:
        for secret, value in plaintexts.items():
            lines = [value, *(line for line in value.splitlines() if len(line) > 40)]
            assert not any(line in text for line in lines), f"{secret} stands in {name}"
            encoded = base64.b64encode(value.encode()).decode().rstrip("=")
            assert encoded not in text, f"{secret} stands in {name} as base64"


def test_rotating_the_valkey_password_restarts_its_readers_and_nothing_else(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    secrets_before, before = unsealed(sandbox), generations(sandbox)
    epochs = sandbox.section("rotation") or {"valkeyPassword": 1}
    sandbox.configure(rotation={**epochs, "valkeyPassword": epochs["valkeyPassword"] + 1})
    sovereign.up()
    secrets_after, after = unsealed(sandbox), generations(sandbox)
    changed = {name for name in secrets_after if secrets_after[name] != secrets_before[name]}
    assert changed == {"harbor-valkey-credentials"}
    restarted = {name for name in after if after[name] != before[name]}
    assert restarted == {
        "StatefulSet/harbor-valkey",
        "StatefulSet/harbor-trivy",
        "Deployment/harbor-core",
        "Deployment/harbor-jobservice",
        "Deployment/harbor-registry",
    }
    sovereign.up(expect_no_changes=True)


def test_a_deleted_secret_comes_back_and_an_unpinned_certificate_is_fetched(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    """Neither changes anything, and pods keep running."""
    before = generations(sandbox)
    cluster.kubectl(
        sandbox.state, sandbox.tools, "delete", "secret", "harbor-minted-csrf-key", "-n", NAMESPACE
    )
    assert wait_until(lambda: "harbor-minted-csrf-key" in unsealed(sandbox), seconds=20, pause=0.2)
    with sandbox.configured(sealing=None):
        sovereign.up(expect_no_changes=True)
    assert generations(sandbox) == before


def test_all_refusals_of_a_bad_config_come_at_once_in_preview(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    with sandbox.configured(
        fqdn="Not_A_Name",
        storage={"kind": "hetzner", "regoin": "fsn1", "region": "ash", "bucket": "Has.Dots"},
        rotation={"secretKey": 2},
    ):
        refused = sovereign.run("preview", "-s", sovereign.name, check=False)
    assert refused.code != 0
    for part in (
        "5 settings of stack local are refused; nothing was touched",
        "fqdn",
        "compute-only location without object storage",
        "storage.region",
        "no dots",
        "cannot decrypt",
        "pulumi config set --path 'storage.region' fsn1 -s local",
    ):
        assert part in refused.text
    assert "Traceback" not in refused.text
    assert "unhandled error" not in refused.text, "the engine adds a line to the refusal"


@pytest.mark.parametrize(
    ("section", "key", "rule"),
    [
        ("imagePolicy", "imagePolicy.signatures.publicKey", PUBLIC_KEY),
        ("storage", "storage.caBundle", PEM),
    ],
)
def test_the_command_that_mends_a_text_which_begins_like_a_flag_is_taken(
    sandbox: Sandbox, sovereign: Stack, section: str, key: str, rule: SettingRule
) -> None:
    text = "-----BEGIN SOMETHING-----"  # the command line drops the end of the last line
    (sandbox.project / rule.example.removeprefix("< ")).write_text(text)
    command = f"pulumi config set --path '{key}' {rule.example} -s {sovereign.name}"
    variables = {**os.environ, **sandbox.variables}
    with sandbox.configured(**{section: sandbox.section(section)}):
        subprocess.run(["sh", "-ec", command], cwd=sandbox.project, env=variables, check=True)
        value = sandbox.section(section)
    for part in key.split(".")[1:]:
        value = value[part]
    assert value == text


def test_engine_runs_leave_nothing_in_the_temporary_folder_of_the_machine(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    copies = Path(tempfile.gettempdir()).glob("kubeconfig*")
    assert not [file for file in copies if str(sandbox.state.folder) in file.read_text()]


def test_a_real_sovereign_previews_without_cluster_and_without_secrets(sandbox: Sandbox) -> None:
    """test_review.py previews the others."""
    stack = "omantel"
    alone = sandbox.stack(stack, KUBECONFIG="/nonexistent/kubeconfig")
    alone.ensure()
    begun = time.monotonic()
    shown = alone.run("preview", "-s", stack)
    elapsed = time.monotonic() - begun
    assert f"not set on stack {stack}: s3AccessKey, s3SecretKey" in shown.text
    assert shown.text.count("not set on stack") == 2, "once while running, once in the summary"
    assert "error" not in shown.text
    # Measured figures are in docs/reference/benchmarks.md; this is the hang, not the speed.
    assert elapsed < 60


def test_up_of_a_real_sovereign_without_secrets_is_refused_before_anything_is_made(
    sandbox: Sandbox,
) -> None:
    alone = sandbox.stack("omantel", KUBECONFIG="/nonexistent/kubeconfig")
    alone.ensure()
    refused = alone.run("up", "-s", "omantel", "--yes", "--skip-preview", check=False)
    assert refused.code != 0
    assert "pulumi config set --secret s3AccessKey" in refused.text
    assert "Traceback" not in refused.text
    # Neither the cluster's provider nor an object in it stands in the state.
    assert "kubernetes" not in alone.run("stack", "export", "-s", "omantel").text


def test_an_unready_cluster_is_refused_with_what_is_missing(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    with sandbox.configured(
        cluster={"name": "omantel", "context": "${SANDBOX_KUBE_CONTEXT}"},
        sealing={
            "certificate": "${SANDBOX_SEALING_CERTIFICATE}",
            "controllerName": "elsewhere",
        },
    ):
        refused = sovereign.run("preview", "-s", sovereign.name, check=False)
    assert refused.code != 0
    assert "cluster.name = omantel" in refused.text
    assert "reaches cluster kwok-sovereign" in refused.text
    assert "Service elsewhere in namespace kube-system" in refused.text
    assert "nothing was touched" in refused.text
    assert "unhandled error" not in refused.text


def test_destroy_leaves_the_bucket_and_what_it_holds(sandbox: Sandbox, sovereign: Stack) -> None:
    outputs = sovereign.outputs()
    client = bucket_client(sandbox, outputs)
    client.put_object(Bucket=outputs["bucket"], Key="docker/registry/v2/kept", Body=b"kept")
    password = sovereign.outputs(show_secrets=True)["adminPassword"]
    sovereign.run(
        *("config", "set", "--secret", "harborAdminPassword", password, "-s", sovereign.name)
    )
    sovereign.run("destroy", "-s", sovereign.name, "--yes", "--skip-preview")
    assert client.get_object(Bucket=outputs["bucket"], Key="docker/registry/v2/kept")
    assert objects(sandbox, "deployments") == []
    claims = {claim["metadata"]["name"] for claim in objects(sandbox, "pvc")}
    assert {"data-harbor-valkey-0", "data-harbor-trivy-0"} <= claims
    clusters = objects(sandbox, "clusters.postgresql.cnpg.io")
    assert [item["metadata"]["name"] for item in clusters] == ["harbor-pg"]


def test_up_after_destroy_takes_over_what_was_left(sandbox: Sandbox, sovereign: Stack) -> None:
    if sandbox.section("harborSecretKey") is None:  # test_state_lost.py, if it came before, sets it
        # Nobody needs what this database holds; test_taken_down.py keeps it.
        refused = sovereign.run("preview", "-s", sovereign.name, check=False)
        command = re.search(r"kubectl (delete sealedsecret [\w -]+ -n harbor)", refused.text)
        assert refused.code != 0 and command, refused.text
        cluster.kubectl(sandbox.state, sandbox.tools, *command[1].split())
    sovereign.up()
    client = bucket_client(sandbox, sovereign.outputs())
    assert client.get_object(Bucket="local-harbor", Key="docker/registry/v2/kept")
    sovereign.up(expect_no_changes=True)


def test_shared_services_of_the_estate_are_used_without_hand_made_secrets(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    shared = "valkey-password-of-the-estate", "database-password-of-the-estate"
    put_estate_secret(sandbox, "valkey", "valkey", "valkey-password", shared[0])
    put_estate_secret(sandbox, "databases", "gitlab-postgres-app", "password", shared[1])
    sandbox.configure(
        valkey={
            "mode": "shared",
            "host": "valkey-primary.valkey",
            "indexes": {"core": 3, "jobservice": 1, "registry": 2},
            "secret": {"namespace": "valkey", "name": "valkey", "key": "valkey-password"},
        },
        database={
            "mode": "shared",
            "host": "gitlab-postgres-rw.databases",
            "name": "harbor",
            "username": "harbor",
            "secret": {"namespace": "databases", "name": "gitlab-postgres-app"},
        },
    )
    sovereign.up()
    secrets = unsealed(sandbox)
    assert secrets["harbor-shared-valkey"]["REDIS_PASSWORD"] == shared[0]
    assert secrets["harbor-shared-database"] == {"password": shared[1]}
    maps = {
        item["metadata"]["name"]: item.get("data", {}) for item in objects(sandbox, "configmaps")
    }
    assert maps["harbor-core"]["POSTGRESQL_HOST"] == "gitlab-postgres-rw.databases"
    assert not any(password in json.dumps(maps) for password in shared)
    sovereign.up(expect_no_changes=True)
    put_estate_secret(sandbox, "valkey", "valkey", "valkey-password", "rotated-by-the-estate")
    sovereign.up()
    assert unsealed(sandbox)["harbor-shared-valkey"]["REDIS_PASSWORD"] == "rotated-by-the-estate"


def put_estate_secret(sandbox: Sandbox, namespace: str, name: str, key: str, value: str) -> None:
    encoded = base64.b64encode(value.encode()).decode()
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "data": {key: encoded},
        },
    ]
    text = yaml.safe_dump_all(documents)
    apply = ("apply", "--server-side", "-f", "-")
    cluster.kubectl(sandbox.state, sandbox.tools, *apply, stdin=text)
