"""Harbor's API in the sandbox: reached as on a real cluster, through a pod of Harbor's core."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import bcrypt
import pytest
import yaml

from engine.stack import Stack
from sandbox import cluster, harbor_api, network, processes
from sandbox.fake_harbor import FakeHarbor
from sandbox.fake_harbor.registry import Backend
from sandbox.state import CONTEXT, State
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support.harbor_client import Client
from tests.support.sandbox import NAMESPACE, objects, unsealed

REGISTRY_USER, REGISTRY_PASSWORD = "harbor_registry_user", "Registry-Password-1"


@contextmanager
def forwarded(sandbox: Sandbox) -> Iterator[str]:
    """The address at which `kubectl port-forward` offers the pod of Harbor's core."""
    # After an `up` the pod before may be there still, until its deletion is done.
    pod = max(
        (
            item["metadata"]
            for item in objects(sandbox, "pods")
            if item["metadata"]["labels"].get("component") == "core"
            and "deletionTimestamp" not in item["metadata"]
        ),
        key=lambda metadata: metadata["creationTimestamp"],
    )["name"]
    command = [
        str(sandbox.tools.path("kubectl")),
        f"--context={CONTEXT}",
        f"--namespace={NAMESPACE}",
        "port-forward",
        f"pod/{pod}",
        ":8080",
    ]
    process = subprocess.Popen(
        command,
        env={**os.environ, **sandbox.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        # "Forwarding from 127.0.0.1:41234 -> 8080"
        yield "http://" + process.stdout.readline().split(" -> ")[0].rpartition(" ")[2]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_the_api_answers_through_the_pod_of_core(sandbox: Sandbox, sovereign: Stack) -> None:
    secrets = unsealed(sandbox)
    password = secrets["harbor-minted-admin-password"]["HARBOR_ADMIN_PASSWORD"]
    with forwarded(sandbox) as address:
        client = Client(address, ("admin", password))
        assert client.ask("GET", "/users/current").body["username"] == "admin"
        told = client.ask("GET", "/systeminfo").body
        assert told["harbor_version"].startswith("v2.14.3")
        assert told["external_url"] == f"https://{sovereign.outputs()['registryFqdn']}"
        stranger = client.as_whom("admin", "Wrong-Password-1")
        assert stranger.ask("GET", "/users/current").status == 401
        assert client.ask("POST", "/projects", {"project_name": "through"}).status == 201
        assert client.ask("DELETE", "/projects/through").status == 200


def test_the_fake_is_asked_for_its_calls_and_given_faults(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    assert sovereign.name
    harbor_api.control(sandbox.state, "calls", method="DELETE")
    harbor_api.control(sandbox.state, "faults", [{"kind": "503", "path": "/ping"}])
    with forwarded(sandbox) as address:
        anonymous = Client(address, None)
        assert [anonymous.ask("GET", "/ping").status for _ in range(2)] == [503, 200]
    calls = harbor_api.control(sandbox.state, "calls", method="GET")
    assert [(call["path"], call["status"]) for call in calls] == [
        ("/api/v2.0/ping", 503),
        ("/api/v2.0/ping", 200),
    ]


def test_it_remembers_over_a_restart_of_the_process(sandbox: Sandbox, sovereign: Stack) -> None:
    assert sovereign.name
    password = unsealed(sandbox)["harbor-minted-admin-password"]["HARBOR_ADMIN_PASSWORD"]
    with forwarded(sandbox) as address:
        client = Client(address, ("admin", password))
        assert client.ask("POST", "/labels", {"name": "kept", "scope": "g"}).status == 201
    running = processes.find(sandbox.state, harbor_api.NAME)
    assert running is not None
    processes.stop(sandbox.state, running)
    assert "fake" in harbor_api.start(sandbox.state, sandbox.tools)
    with forwarded(sandbox) as address:
        client = Client(address, ("admin", password))
        labels = client.ask("GET", "/labels?scope=g").body
        assert "kept" in [label["name"] for label in labels]


@pytest.mark.parametrize("address", ["https://harbor.test", "harbor.test:80", "http://no.test/x"])
def test_the_address_of_a_real_harbor_must_be_one(
    sandbox: Sandbox, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(harbor_api.VARIABLE, address)
    with pytest.raises(processes.SandboxError, match="must be http://host:port"):
        harbor_api.start(sandbox.state, sandbox.tools)


def test_a_real_harbor_takes_the_place_of_the_fake(
    sandbox: Sandbox, sovereign: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sovereign.name
    with FakeHarbor(admin_password="Of-Another-1") as other:  # a Harbor elsewhere, for this test
        monkeypatch.setenv(harbor_api.VARIABLE, other.url)
        try:
            assert "a real Harbor" in harbor_api.start(sandbox.state, sandbox.tools)
            assert processes.find(sandbox.state, harbor_api.NAME) is None
            assert wait_until(lambda: _is_admin(sandbox, "Of-Another-1"), seconds=180)
        finally:
            monkeypatch.delenv(harbor_api.VARIABLE)
            harbor_api.start(sandbox.state, sandbox.tools)


def _is_admin(sandbox: Sandbox, password: str) -> bool:
    """Whether Harbor takes it. A kubectl ends with the first connection that leads nowhere, which
    one does until KWOK knows the other address."""
    with suppress(OSError, http.client.HTTPException), forwarded(sandbox) as address:
        return Client(address, ("admin", password)).ask("GET", "/users/current").status == 200
    return False


# Images through the fake, into the real registry ------------------------------------------------


@pytest.fixture
def registry(sandbox: Sandbox, tmp_path: Path) -> Iterator[Backend]:
    """Harbor's registry line, the real process, on a folder."""
    port = processes.free_port()
    password = bcrypt.hashpw(REGISTRY_PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "passwd").write_text(f"{REGISTRY_USER}:{password}\n")
    configuration = {
        "version": 0.1,
        "storage": {
            "filesystem": {"rootdirectory": str(tmp_path / "blobs")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": "registry", "path": str(tmp_path / "passwd")}},
    }
    (tmp_path / "config.yml").write_text(yaml.safe_dump(configuration))
    process = processes.start(
        sandbox.state,
        "registry-behind-the-fake",
        [str(sandbox.tools.path("registry")), "serve", str(tmp_path / "config.yml")],
        ready=lambda: processes.answers(port),
    )
    yield Backend(f"http://127.0.0.1:{port}", REGISTRY_USER, REGISTRY_PASSWORD)
    processes.stop(sandbox.state, process)


def test_a_robot_pushes_and_pulls_where_it_may(
    sandbox: Sandbox, registry: Backend, tmp_path: Path
) -> None:
    with FakeHarbor(backend=registry) as harbor:
        client = Client(harbor.url)
        for name in ("team", "other"):
            client.ask("POST", "/projects", {"project_name": name})
        writer, reader = (
            client.ask("POST", "/robots", _robot("team", name, actions)).body
            for name, actions in (("writer", ("pull", "push")), ("reader", ("pull",)))
        )
        image = f"{harbor.url.removeprefix('http://')}/team/app:v1"
        foreign = image.replace("/team/", "/other/")

        def crane(robot: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
            folder = tmp_path / robot["name"].rpartition("+")[2]
            folder.mkdir(exist_ok=True)
            login = base64.b64encode(f"{robot['name']}:{robot['secret']}".encode()).decode()
            host = image.partition("/")[0]
            (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
            return subprocess.run(
                [str(sandbox.tools.path("crane")), *arguments, "--insecure"],
                env={**os.environ, "DOCKER_CONFIG": str(folder)},
                capture_output=True,
                text=True,
                check=False,
            )

        layer = tmp_path / "layer.tar"
        layer.write_bytes(b"\0" * 10240)
        push = ("append", "--oci-empty-base", "-f", str(layer), "-t")
        assert "unauthorized to access" in crane(reader, *push, image).stderr
        assert "401 Unauthorized" in crane(writer, *push, foreign).stderr
        pushed = crane(writer, *push, image)
        assert pushed.returncode == 0, pushed.stderr
        digest = pushed.stdout.strip().rpartition("@")[2]
        assert crane(reader, "digest", image).stdout.strip() == digest
        listed = client.ask("GET", "/projects/team/repositories/app/artifacts").body
        assert [artifact["digest"] for artifact in listed] == [digest]
        refused = client.ask("DELETE", "/projects/team")
        assert "contains repositories" in refused.message


def _robot(project: str, name: str, actions: tuple[str, ...]) -> dict[str, object]:
    access = [{"resource": "repository", "action": action} for action in actions]
    block = {"kind": "project", "namespace": project, "access": access}
    return {"name": name, "level": "project", "duration": -1, "permissions": [block]}


# Sandboxes of an earlier version ----------------------------------------------------------------


def test_a_sandbox_of_an_earlier_version_gets_the_kinds(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(tmp_path / "earlier")
    monkeypatch.setenv("SANDBOX_DIR", str(state.folder))
    try:
        with monkeypatch.context() as earlier:
            earlier.setattr(cluster, "KINDS", ("Stage",))
            cluster.start(state, sandbox.tools)
        crds = cluster.kubectl(state, sandbox.tools, "get", "crd", "-o", "name")
        assert "portforwards" not in crds
        cluster.kubectl(state, sandbox.tools, "create", "namespace", "kept")
        cluster.start(state, sandbox.tools)
        assert "fake" in harbor_api.start(state, sandbox.tools)
        assert cluster.kubectl(state, sandbox.tools, "get", "namespace", "kept", "-o", "name")
    finally:
        for process in processes.started(state):
            if process.name != network.NAME:
                processes.stop(state, process)
        cluster.stop(state)
        for process in processes.started(state):
            processes.stop(state, process)
