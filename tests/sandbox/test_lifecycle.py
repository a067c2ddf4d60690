"""A Sovereign's life by the real engine, from the first `up` to `destroy`. Order matters."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.settings.schema.rules import PEM, SettingRule
from components.settings.signatures import PUBLIC_KEY
from engine.stack import Stack
from sandbox import cluster
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support.leaks import content_of
from tests.support.sandbox import NAMESPACE, generations, objects, unsealed
from tests.support.signing import Key


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


def test_a_deleted_secret_comes_back_and_an_unpinned_certificate_is_fetched(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    """Neither changes anything, and pods keep running."""
    before = generations(sandbox)
    cluster.kubectl(
        sandbox.state, sandbox.tools, "delete", "secret", "harbor-minted-csrf-key", "-n", NAMESPACE
    )
    assert wait_until(lambda: "harbor-minted-csrf-key" in unsealed(sandbox), seconds=180, pause=0.2)
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
    # Others may be at work there at the same time.
    copies = Path(tempfile.gettempdir()).glob("kubeconfig*")
    assert not [file for file in copies if str(sandbox.state.folder) in content_of(file)]


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
    assert elapsed < 120


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
