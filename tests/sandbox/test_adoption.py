"""A Harbor that Helm installed is adopted by the commands of docs/runbooks/adopt-a-release.md.

They are read from that page and run as they stand there; only the variables of its first block are
the sandbox's. The estate has a namespace, a bucket and a backend of its own, but some objects of a
Sovereign are the cluster's (the seam in flux-system): this module comes before those that share
one Sovereign, and destroys its own.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import scratch
from engine.project import ROOT
from engine.stack import Stack
from sandbox import cluster
from sandbox.state import STACK
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import bucket_client, objects

NAMESPACE, BUCKET = "estate", "estate-images"
RUNBOOK = ROOT / "docs" / "runbooks" / "adopt-a-release.md"
IMAGE = "docker/registry/v2/blobs/sha256/ab/ab12/data"
SECRET_KEY = "estatesKey16char"
ADMIN, DATABASE = "admin-password-of-the-estate", "database-password-of-the-estate"

LASTING = "deployments,statefulsets,persistentvolumeclaims,clusters.postgresql.cnpg.io"


@dataclass(frozen=True, kw_only=True)
class Page:
    """The runbook's commands by heading. `variables`: the names that its first block sets."""

    variables: frozenset[str]
    commands: dict[str, str]

    @classmethod
    def read(cls) -> Page:
        blocks: dict[str, str] = {}
        for section in re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
            heading, _, text = section.partition("\n")
            for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
                assert heading not in blocks, "one block per section"
                blocks[heading] = block
        assert all(block.count("```") == 0 for block in blocks.values())
        first = blocks.pop(next(iter(blocks)))
        return cls(variables=frozenset(re.findall(r"(\w+)=", first)), commands=blocks)


@dataclass(frozen=True, kw_only=True)
class Estate:
    """Somebody's Harbor, and the stack that is to adopt it."""

    sandbox: Sandbox
    stack: Stack
    page: Page
    store: Any

    def follow(self, heading: str) -> str:
        """Runs a section's commands; what they said."""
        variables = {
            "STACK": STACK,
            "NAMESPACE": NAMESPACE,
            "CHART": self.chart,
            "VERSION": "",
        }
        assert self.page.variables == variables.keys()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.page.commands[heading]],
            cwd=self.stack.folder,
            env={
                **os.environ,
                **self.stack.environment,
                **variables,
                # A person is asked; here nobody answers.
                "PULUMI_SKIP_CONFIRMATIONS": "true",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{heading}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    @property
    def chart(self) -> str:
        """As helm takes it in any folder."""
        source = self.stack.environment["HARBOR_CHART"]
        return source if "://" in source else str(ROOT / source)

    def refused(self, *command: str) -> str:
        """What the engine says to a command that changes nothing."""
        before = self.lasting()
        said = self.stack.run(*command, "-s", STACK, check=False)
        assert said.code != 0, said.text
        assert "nothing was touched" in said.text
        assert self.lasting() == before
        return said.text

    def lasting(self) -> dict[str, tuple[str, int | None]]:
        """Object → uid, and generation, which grows with every change of its spec."""
        lasting = objects(self.sandbox, LASTING, NAMESPACE)
        return {
            f"{item['kind']}/{item['metadata']['name']}": (
                item["metadata"]["uid"],
                item["metadata"].get("generation"),
            )
            for item in lasting
        }

    def revisions(self) -> list[int]:
        """Those of which Helm has a record."""
        return sorted(
            int(item["metadata"]["labels"]["version"])
            for item in objects(self.sandbox, "secrets", NAMESPACE)
            if item["type"] == "helm.sh/release.v1"
        )

    def secret_key_in_use(self) -> str:
        """The key in the Secret that core's Deployment mounts now."""
        core = self.kubectl("get", "deployment", "harbor-core", "-o", "json")
        volumes = json.loads(core)["spec"]["template"]["spec"]["volumes"]
        name = next(v["secret"]["secretName"] for v in volumes if v["name"] == "secret-key")
        data = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return base64.b64decode(data["secretKey"]).decode()

    def image(self) -> tuple[bytes, Any]:
        """An image's content in the bucket, and when it was written."""
        answer = self.store.get_object(Bucket=BUCKET, Key=IMAGE)
        return answer["Body"].read(), answer["LastModified"]

    def kubectl(self, *arguments: str) -> str:
        return cluster.kubectl(self.sandbox.state, self.sandbox.tools, "-n", NAMESPACE, *arguments)


def helms_values(endpoint: str, credentials: dict[str, str]) -> dict[str, Any]:
    """As people write them: passwords in clear, a Redis of the chart's, no route."""
    return {
        "externalURL": "https://registry.local.harbor.test",
        "expose": {"type": "clusterIP", "tls": {"enabled": False}},
        "secretKey": SECRET_KEY,
        "harborAdminPassword": ADMIN,
        "database": {
            "type": "external",
            "external": {
                "host": f"harbor-pg-rw.{NAMESPACE}.svc.cluster.local",
                "username": "harbor",
                "coreDatabase": "registry",
                "password": DATABASE,
            },
        },
        "persistence": {
            "imageChartStorage": {
                "type": "s3",
                "s3": {
                    "region": "fsn1",
                    "bucket": BUCKET,
                    "regionendpoint": endpoint,
                    "accesskey": credentials["s3AccessKey"],
                    "secretkey": credentials["s3SecretKey"],
                },
            }
        },
    }


def helms_database() -> list[dict[str, Any]]:
    def of(kind: str, version: str, name: str, **more: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": NAMESPACE}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}

    initdb = {"database": "registry", "owner": "harbor", "secret": {"name": "harbor-pg-app"}}
    spec = {
        "instances": 1,
        "imageName": "ghcr.io/cloudnative-pg/postgresql:17.2",
        "storage": {"size": "10Gi"},
        "bootstrap": {"initdb": initdb},
        "postgresql": {"parameters": {"shared_buffers": "1GB"}},
    }
    return [
        of(
            "Secret", "v1", "harbor-pg-app", stringData={"username": "harbor", "password": DATABASE}
        ),
        of("Cluster", "postgresql.cnpg.io/v1", "harbor-pg", spec=spec),
    ]


@pytest.fixture(scope="module")
def estate(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    folder = tmp_path_factory.mktemp("estate")
    backend = f"{(folder / 'backend').as_uri()}?metadata=skip"
    (folder / "backend").mkdir()
    own = dataclasses.replace(
        sandbox,
        project=scratch.project(folder / "project"),
        variables={**sandbox.variables, "PULUMI_BACKEND_URL": backend},
    )
    endpoint = sandbox.variables["SANDBOX_S3_ENDPOINT"]
    own.configure(
        storage={"kind": "s3", "endpoint": endpoint, "region": "fsn1", "bucket": BUCKET},
        imagePolicy={"enabled": False},
        # The fake of Harbor's API is the Harbor of another namespace.
        registry={"enabled": False},
        # In this namespace from the beginning: without it the refusal is not reached.
        harbor={"namespace": NAMESPACE},
    )
    store = bucket_client(own, {"bucket": BUCKET, "bucketEndpoint": endpoint})
    store.create_bucket(Bucket=BUCKET)
    store.put_object(Bucket=BUCKET, Key=IMAGE, Body=b"an image of the estate")
    estate_of_helm = Estate(sandbox=own, stack=own.stack(), page=Page.read(), store=store)
    install(estate_of_helm, folder, helms_values(endpoint, sandbox.state.credentials()))
    estate_of_helm.stack.ensure()
    yield estate_of_helm
    estate_of_helm.stack.run("destroy", "-s", STACK, "--yes", "--skip-preview")
    estate_of_helm.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def install(estate: Estate, folder: Path, values: dict[str, Any]) -> None:
    """What the estate did once, without this program."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    estate.kubectl("create", "namespace", NAMESPACE)
    # Not kubectl's own field manager, whose fields the Kubernetes provider takes without a word.
    apply = ("apply", "--server-side", "--field-manager", "kustomize-controller", "-f", "-")
    text = yaml.safe_dump_all(helms_database())
    cluster.kubectl(estate.sandbox.state, estate.sandbox.tools, *apply, stdin=text)
    subprocess.run(
        [
            *("helm", "install", "harbor", estate.chart),
            *("--namespace", NAMESPACE, "--values", str(file), "--wait"),
        ],
        env={**os.environ, **estate.stack.environment},
        capture_output=True,
        check=True,
    )


def test_without_the_settings_that_adopt_up_is_refused(estate: Estate) -> None:
    said = estate.refused("up", "--yes", "--skip-preview")
    assert f"Helm release harbor exists already in namespace {NAMESPACE}" in said
    assert f"Cluster harbor-pg exists already in namespace {NAMESPACE}" in said
    assert "docs/runbooks/adopt-a-release.md" in said


def test_without_the_key_it_is_refused(estate: Estate) -> None:
    estate.follow("2. Say so in the stack's file")
    said = estate.refused("up", "--yes", "--skip-preview")
    for key in ("harborSecretKey", "harborAdminPassword", "databasePassword"):
        assert f"pulumi config set --secret {key} -s {STACK}" in said


def test_with_another_key_it_is_refused(estate: Estate) -> None:
    estate.follow("3. Set the secrets that the data depends on")
    file = estate.stack.folder / f"Pulumi.{STACK}.yaml"
    right = file.read_text()
    estate.stack.run("config", "set", "--secret", "harborSecretKey", "x" * 16, "-s", STACK)
    said = estate.refused("up", "--yes", "--skip-preview")
    file.write_text(right)
    assert "this stack was given another one" in said
    assert SECRET_KEY not in said


def test_with_values_in_helm_s_record_it_is_refused(estate: Estate) -> None:
    said = estate.refused("preview")
    assert "harbor, revision 1, holds values" in said
    assert "given another one" not in said


def test_leaving_the_values_out_changes_no_object(estate: Estate) -> None:
    before = estate.lasting()
    estate.follow("4. Make a Helm revision without values")
    assert estate.lasting() == before
    assert estate.revisions() == [1, 2]
    assert not list(estate.stack.folder.glob("harbor-manifest*"))


def test_the_same_harbor_is_adopted(estate: Estate) -> None:
    before, image = estate.lasting(), estate.image()
    assert estate.secret_key_in_use() == SECRET_KEY
    said = estate.follow("5. Preview and adopt")

    previewed, _, updated = said.partition("\nUpdating (")
    operations = set(re.findall(r"^ +\S+ \S+: \((\w+)\)$", previewed, flags=re.MULTILINE))
    assert operations == {"create", "import", "update"}, "nothing is replaced or deleted"
    for text, verb in ((previewed, "to import"), (updated, "imported")):
        assert f"= 3 {verb}" in text
    assert "postgresql.parameters.shared_buffers" in previewed

    after = {name: uid for name, (uid, _) in estate.lasting().items() if name in before}
    # The chart's own Redis and front end, in whose place the Sovereign has others.
    gone = {"Deployment/harbor-nginx", "StatefulSet/harbor-redis"}
    assert after == {name: uid for name, (uid, _) in before.items() if name not in gone}
    assert {"Cluster/harbor-pg", "Deployment/harbor-core", "StatefulSet/harbor-trivy"} <= set(after)
    assert any(name.startswith("PersistentVolumeClaim/") for name in after)
    assert estate.revisions() == [1, 2, 3]
    assert estate.image() == image
    assert estate.secret_key_in_use() == SECRET_KEY
    assert "harbor-given-secret-key" in estate.kubectl(
        "get", "deployment/harbor-core", "-o", "json"
    )
    assert estate.stack.outputs(show_secrets=True)["adminPassword"] == ADMIN


def test_what_was_given_stands_readable_in_no_state(estate: Estate) -> None:
    kept = estate.sandbox.state.credentials()
    backend = estate.stack.folder.parent / "backend"
    files = [file for file in backend.rglob("*") if file.is_file()]
    assert len(files) > 2
    for secret in (SECRET_KEY, ADMIN, DATABASE, kept["s3SecretKey"]):
        for file in [*files, estate.stack.folder / f"Pulumi.{STACK}.yaml"]:
            assert secret not in file.read_text(errors="replace"), file.name


def test_afterwards_the_settings_that_adopted_may_go(estate: Estate) -> None:
    before = {
        name: identity for name, identity in estate.lasting().items() if "Cluster/" not in name
    }
    assert "are still set" in estate.stack.run("preview", "-s", STACK).text
    said = estate.follow("Afterwards")
    assert re.search(r"~ 2 updated\n +\d+ unchanged", said), said
    after = estate.lasting()
    assert {name: after[name] for name in before} == before
    assert estate.revisions() == [3]
    estate.stack.run("config", "rm", "--path", "storage.adopt", "-s", STACK)
    estate.stack.up(expect_no_changes=True)


def test_the_given_key_cannot_be_lost_afterwards(estate: Estate) -> None:
    file = estate.stack.folder / f"Pulumi.{STACK}.yaml"
    right = file.read_text()
    estate.stack.run("config", "rm", "harborSecretKey", "-s", STACK)
    said = estate.refused("up", "--yes", "--skip-preview")
    file.write_text(right)
    assert "with the key in Secret harbor-given-secret-key" in said
