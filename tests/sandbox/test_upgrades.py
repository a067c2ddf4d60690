"""Stacks that earlier versions brought up, taken over by this code: nothing that lasts is lost.

A new version's state, from a clean clone at its tag:

    make up && .venv/bin/python -m tests.support.recording v1.2.3
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.object_storage.location import BucketLocation
from components.object_storage.s3.client import S3Credentials, s3_client
from components.object_storage.s3.contents import Owner, write_owner
from engine.project import ROOT
from review.plan import Plan
from sandbox import commands, storage
from sandbox.state import REGION, STACK, State
from tests.support import recording
from toolchain import build as toolchain

PASSWORD = "random:index/randomPassword:RandomPassword"
PRIVATE_KEY = "tls:index/privateKey:PrivateKey"

MARKS = ["create sealing-trust", "create state-mark", "create state-mark-record"]

POLICIES = [
    "update image-policy-require",
    *(f"update network-policies-{component}" for component in ("core", "jobservice", "trivy")),
]

ACCOUNT = [
    # The password and the Secret that it is sealed into have one name.
    *["create credentials-registry-account"] * 2,
    *(f"create credentials-registry-account-{part}" for part in ("manifest", "seal", "unsealed")),
]

REGISTRY = [
    # The component and its provider have one name.
    *["create registry"] * 2,
    "create registry-account",
    "create registry-configuration-system",
    *(
        f"create registry-schedule-{job}"
        for job in ("audit-purge", "garbage-collection", "scan-all")
    ),
]

CHANGES: Mapping[str, list[str]] = {
    "v0.1.0": [
        *ACCOUNT,
        "create harbor-route",
        "create object-storage-place",
        *REGISTRY,
        *MARKS,
        "update cluster",
        *POLICIES,
    ],
    "d8ee5dc": [
        *ACCOUNT,
        "create harbor-route",
        *REGISTRY,
        *MARKS,
        "update cluster",
        *POLICIES,
    ],
}
"""Version → all that an upgrade from it changes; nothing where no line is. A later feature that
changes existing Sovereigns is added to each version."""


def lost(plan: Plan) -> list[str]:
    """What would not be there any more, or not be the same."""
    lasting = (PASSWORD, PRIVATE_KEY)
    return [
        f"{change.act} {change.name}"
        for change in plan.changes
        if change.act in ("delete", "replace") and (change.data or change.type in lasting)
    ]


@pytest.mark.parametrize("version", recording.versions())
def test_an_upgrade_changes_only_what_is_listed_and_loses_nothing(
    version: str, tmp_path: Path
) -> None:
    plan = recording.preview(version, tmp_path)
    assert plan.errors == ()
    assert plan.count("same") > 40, "the state was really compared with the program"
    assert lost(plan) == []
    changes = [f"{change.act} {change.name}" for change in plan.changes if change.act != "same"]
    assert sorted(changes) == CHANGES.get(version, [])


def test_a_named_cluster_enters_the_provider_and_replaces_nothing(tmp_path: Path) -> None:
    # The recorded state is of a sandbox, which names no cluster; its identifier is this name.
    config = {"cluster.name": "kwok-sovereign"}
    plan = recording.preview(recording.versions()[-1], tmp_path, config=config)
    assert plan.errors == ()
    assert lost(plan) == []
    updates = [f"update {change.name}" for change in plan.changes if change.act == "update"]
    assert sorted(updates) == ["update cluster", *POLICIES]


def test_a_change_that_would_lose_data_is_found(tmp_path: Path) -> None:
    version = recording.versions()[-1]
    plan = recording.preview(version, tmp_path, config={"harbor.namespace": "other"})
    assert plan.errors == ()
    assert {"replace namespace", "replace database-cluster"} <= set(lost(plan))


@dataclass(frozen=True)
class Gateway:
    """An S3 gateway of this test's own, and a client of it."""

    endpoint: str
    credentials: S3Credentials
    client: Any


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    state = State(tmp_path / "gateway")
    endpoint = storage.start(state, toolchain.ensure(["versitygw"], report=lambda _: None))
    try:
        commands.stop_when_gone(state, os.getpid())
        kept = state.credentials()
        credentials = S3Credentials(access_key=kept["s3AccessKey"], secret_key=kept["s3SecretKey"])
        anywhere = BucketLocation(bucket="", region=REGION, endpoint=endpoint)
        yield Gateway(endpoint, credentials, s3_client(anywhere, credentials))
    finally:
        commands.stop_all(state)


def served_by(endpoint: str, version: str) -> dict[str, Any]:
    """The recorded state with its bucket at `endpoint`; a destroy deletes the bucket too."""
    state = recording.state_of(version)
    recorded = recording.by_name(state)["object-storage-bucket"]["inputs"]["endpoint"]
    state = json.loads(json.dumps(state).replace(recorded, endpoint))
    # The program retains the bucket on delete, and its provider would not be called.
    del recording.by_name(state)["object-storage-bucket"]["retainOnDelete"]
    return state


def dynamic(resources: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The names of the resources whose providers the state names by module and class."""
    return {name for name, found in resources.items() if "__provider" in found.get("inputs", {})}


@pytest.mark.parametrize("version", recording.versions())
def test_a_refresh_and_a_destroy_find_the_providers_that_the_state_names(
    version: str, gateway: Gateway, tmp_path: Path
) -> None:
    """As after the loss of a cluster, whose objects vanish from the state; the bucket is there."""
    before = served_by(gateway.endpoint, version)
    kept = recording.by_name(before)["object-storage-bucket"]["outputs"]
    bucket = kept["bucket"]
    gateway.client.create_bucket(Bucket=bucket)
    write_owner(gateway.client, bucket, Owner(stack=kept["owner"], claim=kept["claim"]))
    tags = {"TagSet": [{"Key": "set-by", "Value": "hand"}]}
    gateway.client.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    place = recording.imported(
        version,
        tmp_path,
        state=before,
        variables={
            "SANDBOX_S3_ENDPOINT": gateway.endpoint,
            "SANDBOX_S3_ACCESS_KEY": gateway.credentials.access_key,
            "SANDBOX_S3_SECRET_KEY": gateway.credentials.secret_key,
            "PULUMI_K8S_DELETE_UNREACHABLE": "true",
        },
    )

    recording.done(place, "refresh", "-s", STACK, "--yes", "--skip-preview")
    after = recording.by_name(recording.exported(place))
    assert len(dynamic(after)) > 20
    assert dynamic(after) == dynamic(recording.by_name(before))
    assert after["object-storage-bucket"]["outputs"]["tags"] == {"set-by": "hand"}, "it was read"
    assert not [found for found in after.values() if found["type"].startswith("kubernetes:")]

    recording.done(place, "destroy", "-s", STACK, "--yes", "--skip-preview")
    assert recording.by_name(recording.exported(place)) == {}
    assert gateway.client.list_buckets()["Buckets"] == []


@pytest.mark.parametrize("version", recording.versions())
def test_a_recorded_state_names_no_machine_and_shows_no_secret(version: str) -> None:
    text = str(recording.state_of(version))
    for machine in ("/home/", "/root/", "/Users/", "/tmp/", str(ROOT)):
        assert machine not in text
    assert "plaintext" not in text
    assert "PRIVATE KEY" not in text
