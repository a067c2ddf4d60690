"""The state in a bucket, as docs/howto/state-backends.md tells to keep it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from components.object_storage.location import BucketLocation
from components.object_storage.s3.client import S3Credentials, s3_client
from engine.stack import Stack
from tests.sandbox.conftest import Sandbox

BUCKET = "estate-pulumi"
LOCKS = ".pulumi/locks/organization/sovereign-harbor/local"


@dataclass(frozen=True)
class Backend:
    """A stack whose state lies in a bucket, and a client to look into it."""

    stack: Stack
    client: Any

    def names(self) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=BUCKET)
        return [found["Key"] for found in listed.get("Contents", [])]

    def text(self, key: str) -> str:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()


@pytest.fixture(scope="module")
def backend(sandbox: Sandbox) -> Backend:
    kept, endpoint = sandbox.state.credentials(), sandbox.variables["SANDBOX_S3_ENDPOINT"]
    client = s3_client(
        BucketLocation(bucket=BUCKET, region="fsn1", endpoint=endpoint),
        S3Credentials(access_key=kept["s3AccessKey"], secret_key=kept["s3SecretKey"]),
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "fsn1"})
    stack = sandbox.stack(
        "local",
        PULUMI_BACKEND_URL=f"s3://{BUCKET}?endpoint={endpoint}&region=fsn1&s3ForcePathStyle=true",
        AWS_ACCESS_KEY_ID=kept["s3AccessKey"],
        AWS_SECRET_ACCESS_KEY=kept["s3SecretKey"],
        AWS_REQUEST_CHECKSUM_CALCULATION="when_required",
        AWS_RESPONSE_CHECKSUM_VALIDATION="when_required",
    )
    stack.run("stack", "init", "local", "--no-select")
    return Backend(stack, client)


def test_the_state_lies_in_the_bucket(backend: Backend) -> None:
    assert ".pulumi/stacks/sovereign-harbor/local.json" in backend.names()
    known = json.loads(backend.stack.run("stack", "ls", "--json").text)
    assert [entry["name"] for entry in known] == ["local"]


def test_a_secret_lies_there_only_encrypted(backend: Backend, sandbox: Sandbox) -> None:
    """An import is the shortest way to a state with a secret in it."""
    secret, signature = "hunter2-hunter2", "4dabf18193072939515e22adb298388d"
    wrapped = {signature: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(secret)}
    state = json.loads(backend.stack.run("stack", "export", "-s", "local").text)
    urn = "urn:pulumi:local::sovereign-harbor::pulumi:pulumi:Stack::sovereign-harbor-local"
    state["deployment"]["resources"] = [
        {"urn": urn, "custom": False, "type": "pulumi:pulumi:Stack", "outputs": {"a": wrapped}}
    ]
    file = sandbox.project / "with-secret.json"
    file.write_text(json.dumps(state))
    backend.stack.run("stack", "import", "-s", "local", "--file", str(file))
    shown = backend.stack.run("stack", "output", "-s", "local", "--show-secrets", "a").text
    assert secret in shown
    for key in backend.names():
        assert secret not in backend.text(key)


def test_a_lock_of_somebody_else_stops_a_run_and_names_its_holder(backend: Backend) -> None:
    """The engine lists, writes its own lock and lists again: no conditional write is needed."""
    lock = f"{LOCKS}/somebody.json"
    holder = {
        "pid": 4711,
        "username": "ci",
        "hostname": "runner",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    backend.client.put_object(Bucket=BUCKET, Key=lock, Body=json.dumps(holder))
    refresh = ("refresh", "-s", "local", "--yes", "--skip-preview")
    stopped = backend.stack.run(*refresh, check=False)
    assert stopped.code != 0
    assert "currently locked by 1 lock(s)" in stopped.text
    assert "ci@runner (pid 4711)" in stopped.text
    assert lock in backend.names(), "nobody takes somebody else's lock"

    backend.stack.run("cancel", "local", "--yes")
    assert lock not in backend.names()
    backend.stack.run(*refresh)
    assert not [key for key in backend.names() if key.startswith(LOCKS)], "it left its own lock"
