"""Pods that run from the objects that the program applied: they log in, and reach whom they may.

The sandbox's other tests have all Pods simulated; here those of Valkey and of the registry run.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.stack import Stack
from sandbox import cluster, smoke
from sandbox.pods import control, images, reached
from sandbox.pods.reached import Reached
from sandbox.waiting import wait_until
from tests.support.sandbox import NAMESPACE, Sandbox, objects, unsealed

IMAGE = "local.harbor.test/hub/valkey/valkey:8"
"""Of the registry that the image policy allows, and of a repository that runs here."""
NAMED = "local.harbor.test/library/named-by-somebody:1"


@pytest.fixture(scope="module")
def sandbox_with_pods(sandbox: Sandbox, sovereign: Stack) -> Iterator[Sandbox]:
    """The Sovereign, with the Pods of Valkey and of the registry running."""
    before = {name: os.environ.pop(name, None) for name in (control.VARIABLE, images.VARIABLE)}
    if (reason := control.refusal()) is not None:
        os.environ[control.VARIABLE] = before[control.VARIABLE] or "simulated"
        pytest.skip(reason)
    if images.valkey_server() is None:
        os.environ[control.VARIABLE] = before[control.VARIABLE] or "simulated"
        pytest.skip(control.NO_VALKEY)
    python = Path(sys.executable).resolve()
    os.environ[images.VARIABLE] = f"library/named-by-somebody={python}"
    state, tools = sandbox.state, sandbox.tools
    try:
        cluster.apply(state, tools, control.decide(state, tools, namespace=NAMESPACE))
        control.start(state)
        yield sandbox
    finally:
        for name, value in {**before, control.VARIABLE: "simulated"}.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        cluster.apply(state, tools, control.decide(state, tools, namespace=NAMESPACE))
        control.start(state)


def ready(sandbox: Sandbox, component: str, *, other_than: str = "") -> Reached:
    """The Pod of a component, once it is Ready."""
    pods: list[Reached] = []

    def is_ready() -> bool:
        pod = reached.ready_pod(sandbox.state, component=component)
        if pod is None or pod.uid == other_than:
            return False
        pods.append(pod)
        return True

    assert wait_until(is_ready, seconds=180), logs(sandbox)
    return pods[-1]


def logs(sandbox: Sandbox) -> str:
    folder = sandbox.state.folder / "logs"
    files = [folder / f"{control.NAME}.log", *sorted((folder / "pods").glob("*.log"))]
    return "\n".join(f"{file.name}: {file.read_text()[-1500:]}" for file in files if file.exists())


def password(sandbox: Sandbox) -> str:
    return unsealed(sandbox)[smoke.CACHE_SECRET]["REDIS_PASSWORD"]


def answers(valkey: Reached, password: str) -> list[str]:
    return reached.ask_valkey(valkey.ports[6379], password, ["PING"])


def test_the_minted_password_logs_in_and_another_does_not(sandbox_with_pods: Sandbox) -> None:
    valkey = ready(sandbox_with_pods, "cache")
    assert answers(valkey, password(sandbox_with_pods)) == ["OK", "PONG"]
    refused = answers(valkey, "guessed")
    assert refused[0].startswith("WRONGPASS")
    assert refused[1].startswith("NOAUTH")


def test_the_server_runs_as_the_pod_says(sandbox_with_pods: Sandbox) -> None:
    valkey = ready(sandbox_with_pods, "cache")
    asked = ["maxmemory-policy", "appendonly", "dir"]
    _, *values = reached.ask_valkey(
        valkey.ports[6379], password(sandbox_with_pods), *(["CONFIG", "GET", key] for key in asked)
    )
    assert [value.splitlines()[1] for value in values] == ["noeviction", "yes", "/data"]
    (pod,) = [
        each
        for each in objects(sandbox_with_pods, "pods")
        if each["metadata"]["name"] == valkey.name
    ]
    assert pod["status"]["podIP"] == valkey.address
    # Its data is in the folder of the volume that the claim is bound to.
    claims = objects(sandbox_with_pods, "persistentvolumeclaims")
    (volume,) = [
        each["spec"]["volumeName"] for each in claims if "valkey" in each["metadata"]["name"]
    ]
    folder = sandbox_with_pods.state.folder / "pods" / "volumes" / volume
    assert (folder / "appendonlydir").is_dir()


def test_the_registry_of_the_applied_pod_serves_images_by_way_of_that_valkey(
    sandbox_with_pods: Sandbox, sovereign: Stack
) -> None:
    registry = ready(sandbox_with_pods, "registry")
    ready(sandbox_with_pods, "cache")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{registry.ports[5000]}/v2/", timeout=60)
    assert refused.value.code == 401
    proof = smoke.run(sandbox_with_pods.state, sandbox_with_pods.tools, sovereign.outputs())
    assert proof.blobs == 3
    assert proof.registry.startswith(f"Pod {registry.name}, as applied; ")
    assert proof.registry.endswith(" entries of it in the Sovereign's Valkey")


CLIENT = """
valkey-cli -h harbor-valkey ping
echo ended with $?
exec sleep 600
"""


def client(sandbox: Sandbox, name: str, labels: dict[str, str]) -> str:
    """What a Pod with these labels is answered by Valkey at the name of its Service."""
    environment = [
        {
            "name": "REDISCLI_AUTH",
            "valueFrom": {"secretKeyRef": {"name": smoke.CACHE_SECRET, "key": "REDIS_PASSWORD"}},
        }
    ]
    container = {"image": IMAGE, "command": ["sh", "-c", CLIENT], "env": environment}
    return run_pod(sandbox, name, labels, container)


def run_pod(sandbox: Sandbox, name: str, labels: dict[str, str], container: dict[str, Any]) -> str:
    """What the container of a new Pod has printed, up to the words `ended with`."""
    # Never Ready, so that no Service leads to it.
    probe = {"exec": {"command": ["false"]}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "client", "readinessProbe": probe, **container}],
        },
    }
    state, tools = sandbox.state, sandbox.tools
    log = state.folder / "logs" / "pods" / f"{name}.client.log"
    log.unlink(missing_ok=True)
    cluster.kubectl(state, tools, "create", "-f", "-", stdin=json.dumps(pod))
    try:
        assert wait_until(lambda: log.exists() and "ended with" in log.read_text(), seconds=180), (
            logs(sandbox)
        )
        return log.read_text()
    finally:
        cluster.kubectl(state, tools, "delete", "pod", name, "-n", NAMESPACE)


HARBOR = {"app": "harbor", "release": "harbor"}


def test_policies_let_harbors_core_reach_valkey_and_others_not(sandbox_with_pods: Sandbox) -> None:
    ready(sandbox_with_pods, "cache")
    assert "PONG" in client(sandbox_with_pods, "as-core", {**HARBOR, "component": "core"})
    # The portal's own policy lets nothing out, and Valkey's lets no stranger in.
    for name, labels in (("as-portal", {**HARBOR, "component": "portal"}), ("a-stranger", {})):
        answer = client(sandbox_with_pods, name, labels)
        assert "Could not connect" in answer and "PONG" not in answer


def test_a_policy_that_is_gone_is_enforced_no_more(sandbox_with_pods: Sandbox) -> None:
    ready(sandbox_with_pods, "cache")
    state, tools = sandbox_with_pods.state, sandbox_with_pods.tools
    get = ("get", "networkpolicy", "harbor-cache", "-n", NAMESPACE, "-o", "json")
    policy = json.loads(cluster.kubectl(state, tools, *get))
    for field in ("resourceVersion", "uid", "managedFields", "creationTimestamp"):
        policy["metadata"].pop(field, None)
    cluster.kubectl(state, tools, "delete", "networkpolicy", "harbor-cache", "-n", NAMESPACE)
    try:
        # What is deleted and what is made come to the stand-in by two watches, in no order.
        assert wait_until(
            lambda: "PONG" in client(sandbox_with_pods, "a-stranger", {}), seconds=180
        )
    finally:
        cluster.kubectl(state, tools, "create", "-f", "-", stdin=json.dumps(policy))


def test_an_image_runs_by_the_binary_that_somebody_named(sandbox_with_pods: Sandbox) -> None:
    script = "import os, socket; print(os.getuid(), socket.gethostbyname('harbor-core'))"
    words = {"command": [Path(sys.executable).resolve().name, "-c"], "args": [
        f"{script}; print('ended with', 0); import time; time.sleep(600)"]}  # fmt: skip
    told = run_pod(
        sandbox_with_pods,
        "named",
        {},
        {
            "image": NAMED,
            **words,
            "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
            "securityContext": {"runAsUser": 4711, "readOnlyRootFilesystem": True},
        },
    )
    (service,) = [
        each
        for each in objects(sandbox_with_pods, "services")
        if each["metadata"]["name"] == "harbor-core"
    ]
    assert told.splitlines()[0] == f"4711 {service['spec']['clusterIP']}"


def test_a_rotation_changes_the_password_that_logs_in(
    sandbox_with_pods: Sandbox, sovereign: Stack
) -> None:
    before = ready(sandbox_with_pods, "cache")
    old = password(sandbox_with_pods)
    epochs = sandbox_with_pods.section("rotation") or {"valkeyPassword": 1}
    next_epoch = {**epochs, "valkeyPassword": epochs["valkeyPassword"] + 1}
    sandbox_with_pods.configure(rotation=next_epoch)
    sovereign.up()
    after = ready(sandbox_with_pods, "cache", other_than=before.uid)
    assert answers(after, password(sandbox_with_pods)) == ["OK", "PONG"]
    assert answers(after, old)[0].startswith("WRONGPASS")
    # The registry was started again and logs in, too.
    ready(sandbox_with_pods, "registry")
    proof = smoke.run(sandbox_with_pods.state, sandbox_with_pods.tools, sovereign.outputs())
    assert proof.registry.endswith("in the Sovereign's Valkey")
    sovereign.up(expect_no_changes=True)


def test_no_password_is_among_the_arguments_of_a_process(sandbox_with_pods: Sandbox) -> None:
    ready(sandbox_with_pods, "cache")
    # Names and addresses are no secrets: others on this machine may have them as arguments.
    public = ("username", "s3-bucket", "s3-region", "s3-endpoint")
    secrets = [
        value
        for data in unsealed(sandbox_with_pods).values()
        for key, value in data.items()
        if key not in public
    ]
    long_ones = [secret.encode() for secret in secrets if 12 <= len(secret) < 200]
    assert long_ones
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        assert not any(secret in arguments for secret in long_ones), entry.name


def test_all_of_it_ends_with_one_process(sandbox_with_pods: Sandbox) -> None:
    ready(sandbox_with_pods, "cache")
    before = valkey_servers(sandbox_with_pods)
    control.stop(sandbox_with_pods.state)
    assert before
    assert wait_until(lambda: not valkey_servers(sandbox_with_pods), seconds=180)
    assert "nothing runs those" in control.told(sandbox_with_pods.state)
    control.start(sandbox_with_pods.state)
    assert answers(ready(sandbox_with_pods, "cache"), password(sandbox_with_pods)) == ["OK", "PONG"]


def valkey_servers(sandbox: Sandbox) -> set[str]:
    """Ids of the servers that have a volume of this sandbox among their mounts."""
    ids: set[str] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_one = (entry / "comm").read_text().strip() == "valkey-server"
            if is_one and str(sandbox.state.folder) in (entry / "mountinfo").read_text():
                ids.add(entry.name)
        except OSError:
            continue
    return ids
