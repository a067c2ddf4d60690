"""How Harbor is reached: kubectl's port-forward to a pod of core, or an address."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.kubernetes import kubectl
from components.registry.api import PATIENCE, Harbor, Logins
from components.registry.connection import ToCluster
from components.registry.errors import HarborDown, OtherCluster
from engine.processes import born
from sandbox.fake_harbor.server import FakeHarbor
from sandbox.waiting import wait_until
from tests.support.api_server import ApiServer, api_server
from tests.support.registry import ADMIN_PASSWORD
from toolchain import build

PODS = "/api/v1/namespaces/harbor/pods?labelSelector=app%3Dharbor%2Ccomponent%3Dcore"

_STUB = """#!/bin/sh
case "$*" in
*port-forward*)
  echo "$$ $*" >>{log}
  [ -e {broken} ] && {{ echo "error: lost connection to pod" >&2; exit 1; }}
  echo "Forwarding from 127.0.0.1:{port} -> 8080"
  yes "Handling connection for 8080" | head -n 3000
  exec sleep 600
  ;;
*) exec {kubectl} "$@" ;;
esac
"""


class Cluster:
    """An API server with pods and Secrets, and a kubectl that forwards to the fake Harbor.

    The API server of the tests knows no streams, so only the port-forward itself is a stand-in.
    """

    def __init__(self, folder: Path, kubernetes: ApiServer, harbor: FakeHarbor) -> None:
        self.kubernetes = kubernetes
        self.log, self.broken = folder / "forwards", folder / "broken"
        real = _kubectl()
        (folder / "bin").mkdir()
        stub = folder / "bin" / "kubectl"
        stub.write_text(
            _STUB.format(log=self.log, broken=self.broken, port=harbor.port, kubectl=real)
        )
        stub.chmod(0o755)
        self.path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
        kubernetes.put("/api/v1/namespaces/harbor/secrets/admin", secret("p", "Text12345"))
        self.pods(pod("harbor-core-1"))

    def pods(self, *pods: dict[str, Any]) -> None:
        self.kubernetes.put(PODS, {"kind": "PodList", "items": list(pods)})

    def forwards(self) -> list[tuple[int, str]]:
        """Process and arguments of every port-forward so far."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(pid), arguments) for pid, _, arguments in (x.partition(" ") for x in lines)]


def _kubectl() -> str:
    (tool,) = build.selected(["kubernetes"])
    built = tool.cached() / tool.relative_path("kubectl")
    path = str(built) if built.exists() else shutil.which("kubectl")
    if path is None:
        pytest.skip("kubectl is neither on PATH nor built: python3 -m toolchain build kubernetes")
    return path


def pod(name: str, *, ready: bool = True, created: str = "2026-11-26T01:00:00Z") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    metadata = {"name": name, "creationTimestamp": created}
    return {"metadata": metadata, "status": {"conditions": conditions}}


def secret(key: str, value: str) -> dict[str, Any]:
    return {"kind": "Secret", "data": {key: base64.b64encode(value.encode()).decode()}}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor, api_server(tmp_path) as kubernetes:
        context = {"name": "c", "context": {"cluster": "omantel", "user": "u"}}
        server = {
            "server": kubernetes.url,
            "certificate-authority": str(tmp_path / "ca.pem"),
        }
        config = {
            "current-context": "c",
            "contexts": [context],
            "clusters": [{"name": "omantel", "cluster": server}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        cluster = Cluster(tmp_path, kubernetes, harbor)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setenv("PATH", cluster.path)
        yield cluster
        kubectl.close_all()


@pytest.fixture
def connection(cluster: Cluster) -> Iterator[ToCluster]:
    connection = ToCluster(namespace="harbor", cluster_name="omantel")
    yield connection
    connection.close()


def ping(connection: ToCluster) -> bytes:
    return connection.send("GET", "/api/v2.0/ping", {}, None).body


def test_one_port_forward_to_a_ready_pod_carries_all_requests(
    cluster: Cluster, connection: ToCluster
) -> None:
    cluster.pods(pod("starting", ready=False, created="2026-11-26T02:00:00Z"), pod("harbor-core-1"))

    # It prints a line for each connection: more than a pipe holds.
    assert [ping(connection) for _ in range(20)] == [b"Pong"] * 20

    ((_, arguments),) = cluster.forwards()
    assert "--namespace=harbor" in arguments and "pod/harbor-core-1 :8080" in arguments
    assert "--address=127.0.0.1" in arguments


def test_a_port_forward_that_died_is_started_again(cluster: Cluster, connection: ToCluster) -> None:
    ping(connection)
    ((process, _),) = cluster.forwards()
    cluster.pods(pod("harbor-core-2"))
    os.kill(process, signal.SIGKILL)

    for _ in range(100):
        assert ping(connection) == b"Pong"
        if len(cluster.forwards()) > 1:
            break
        time.sleep(0.05)
    assert "pod/harbor-core-2" in cluster.forwards()[1][1]


def test_a_port_forward_that_fails_says_why(cluster: Cluster, connection: ToCluster) -> None:
    cluster.broken.touch()
    with pytest.raises(HarborDown, match="lost connection to pod"):
        ping(connection)


def test_a_harbor_without_a_ready_pod_is_down(cluster: Cluster, connection: ToCluster) -> None:
    cluster.pods(pod("harbor-core-1", ready=False))
    with pytest.raises(HarborDown, match="no pod of harbor-core in namespace harbor is Ready"):
        ping(connection)


def test_a_kubeconfig_of_another_cluster_is_refused(cluster: Cluster) -> None:
    other = ToCluster(namespace="harbor", cluster_name="otech")
    with pytest.raises(OtherCluster, match=r"'omantel', .* 'otech' \(cluster.name\)"):
        ping(other)
    with pytest.raises(OtherCluster, match="'otech'"):
        other.secret("admin", "p")
    assert cluster.forwards() == []


def test_nothing_waits_for_a_harbor_in_another_cluster(cluster: Cluster) -> None:
    """A refresh does not run the program, which refuses another cluster too."""
    other = ToCluster(namespace="harbor", cluster_name="otech")
    logins = Logins(admin_secret="admin", account="sovereign", account_secret="account")
    began = time.monotonic()
    with pytest.raises(OtherCluster, match="Harbor was not asked: the kubeconfig leads to"):
        Harbor(connection=other, logins=logins).get("/projects/apps")
    assert time.monotonic() - began < PATIENCE / 10


def test_secrets_are_read_from_the_namespace(connection: ToCluster) -> None:
    assert connection.secret("admin", "p") == "Text12345"
    assert connection.secret("admin", "q") is None
    assert connection.secret("none", "p") is None


def test_the_end_of_the_connection_ends_kubectl(cluster: Cluster, connection: ToCluster) -> None:
    ping(connection)
    ((process, _),) = cluster.forwards()
    connection.close()
    # An ended process keeps its id until its parent has been told, which may take a moment.
    assert wait_until(lambda: born(process) is None, seconds=60)


def test_an_address_needs_no_port_forward(cluster: Cluster) -> None:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        connection = ToCluster(namespace="harbor", api_url=f"{harbor.url}/")
        assert ping(connection) == b"Pong"
        connection.close()
    assert cluster.forwards() == []


def test_an_address_is_trusted_by_the_authorities_that_are_given_alone(cluster: Cluster) -> None:
    kubernetes = cluster.kubernetes
    kubernetes.put("/api/v2.0/ping", "Pong")
    trusted, untrusted = (
        ToCluster(namespace="harbor", api_url=kubernetes.url, api_ca=authorities)
        for authorities in (kubernetes.authority.certificate, "")
    )
    assert ping(trusted) == b'"Pong"'
    with pytest.raises(HarborDown, match="certificate"):
        ping(untrusted)
    for connection in (trusted, untrusted):
        connection.close()
