"""The doctor on a Sovereign that the real engine made: well at first, then ill in three ways."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.monitoring.own_metrics import CONFIG_MAP
from engine.project import ROOT
from engine.stack import Stack
from operations.doctor.checks.data import INVENTORY
from sandbox import cluster, harbor_api, processes, sealing
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import NAMESPACE, bucket_client

ADMIN = "harbor-minted-admin-password"
CSRF = "harbor-minted-csrf-key"


def operation(sandbox: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a verb on the local stack, as `make` does."""
    return subprocess.run(
        [sys.executable, "-m", "operations", arguments[0], "local", *arguments[1:]],
        cwd=ROOT,
        env={**sandbox.variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def examined(sandbox: Sandbox) -> tuple[int, dict[str, Any]]:
    """The doctor's exit code, and what it says; asked again where this machine was too busy."""
    for _ in range(5):
        code, told = asked(sandbox)
        if not any("no answer within" in each["what"] for each in told["checks"]):
            return code, told
    return asked(sandbox)


def asked(sandbox: Sandbox) -> tuple[int, dict[str, Any]]:
    begun = time.monotonic()
    done = operation(sandbox, "doctor", "--json")
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    print(f"{time.monotonic() - begun:.1f} s, of which {told['seconds']} s of reading")
    print("\n".join(f"{c['state']:<8}{c['check']}: {c['what']}" for c in told["checks"]))
    return done.returncode, told


def ill(told: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["what"] for each in told["checks"] if each["state"] == "ill"}


@contextmanager
def without_the_controller(sandbox: Sandbox) -> Iterator[None]:
    """It unseals everything again when it starts."""
    running = processes.find(sandbox.state, sealing.NAME)
    assert running is not None
    processes.stop(sandbox.state, running)
    try:
        yield
    finally:
        sealing.start(sandbox.state, sandbox.tools)


def kubectl(sandbox: Sandbox, *arguments: str) -> str:
    return cluster.kubectl(sandbox.state, sandbox.tools, *arguments, "-n", NAMESPACE)


def test_nothing_is_ill_on_a_sovereign_that_is_well(sandbox: Sandbox, sovereign: Stack) -> None:
    sovereign.up()
    code, told = examined(sandbox)
    assert ill(told) == {}
    assert code == 0
    # What the sandbox has none of: metrics of PostgreSQL, and an inventory.
    unknown = {each["check"] for each in told["checks"] if each["state"] == "unknown"}
    assert unknown <= {"connections", "bucket"}
    # On two busy processors the engine alone may take longer than its share.
    assert told["seconds"] < 10


def test_the_inventory_of_the_bucket_is_shown_once_it_was_recorded(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    orphan = f"docker/registry/v2/blobs/sha256/00/{'0' * 64}/data"
    outputs = sovereign.outputs()
    client = bucket_client(sandbox, outputs)
    client.put_object(Bucket=outputs["bucket"], Key=orphan, Body=b"of no image")
    try:
        done = operation(sandbox, "bucket-truth", "--record", "--price", "4.99 EUR")
        assert done.returncode == 0, done.stderr
        # Other files may have left blobs of their own, of images that are gone.
        blobs = re.search(r"([1-9]\d*) blobs, 0 manifests", done.stdout)
        assert blobs, done.stdout
        assert f"{blobs[1]} more are younger than a day" in done.stdout
        page = operation(sandbox, "doctor", "--record").stdout
        print(page)
        assert "ok        bucket" in page
        told = json.loads(kubectl(sandbox, "get", "configmap", CONFIG_MAP, "-o", "json"))
        assert {INVENTORY, "doctor"} <= told["data"].keys()
        # The engine minds neither.
        sovereign.up(expect_no_changes=True)
    finally:
        client.delete_object(Bucket=outputs["bucket"], Key=orphan)
        kubectl(sandbox, "delete", "configmap", CONFIG_MAP, "--ignore-not-found")


def test_a_part_of_harbor_that_is_down_is_found(sandbox: Sandbox, sovereign: Stack) -> None:
    del sovereign
    harbor_api.control(sandbox.state, "down", ["registry"])
    try:
        code, told = examined(sandbox)
        print(operation(sandbox, "doctor").stdout)
    finally:
        harbor_api.control(sandbox.state, "down", [])
    assert code == 1
    assert ill(told).keys() == {"health"}
    assert "registry" in ill(told)["health"]


def test_a_deleted_secret_and_a_wrong_password_are_found(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    del sovereign
    before = kubectl(sandbox, "get", "secret", ADMIN, "-o", "jsonpath={.data}")
    wrong = base64.b64encode(b"Another12345").decode()
    data = json.dumps({"data": {"HARBOR_ADMIN_PASSWORD": wrong}})
    with without_the_controller(sandbox):
        kubectl(sandbox, "delete", "secret", CSRF)
        kubectl(sandbox, "patch", "secret", ADMIN, "--type=merge", "-p", data)
        code, told = examined(sandbox)
        kubectl(sandbox, "patch", "secret", ADMIN, "--type=merge", "-p", f'{{"data": {before}}}')
    assert code == 1
    assert ill(told).keys() == {"login", "secrets"}
    assert CSRF in ill(told)["secrets"]
    assert "refuses the login of admin" in ill(told)["login"]

    def is_back() -> bool:
        listed = kubectl(sandbox, "get", "secrets", "-o", "name")
        return f"secret/{CSRF}" in listed

    assert wait_until(is_back, seconds=180)
