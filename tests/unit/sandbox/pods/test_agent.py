"""The stand-in for the kubelet with a fake API server: Pods run, are refused, end, and are told of.

Skipped where this machine makes no namespaces. tests/sandbox/test_pods.py has the real objects.
"""

from __future__ import annotations

import base64
import http.server
import json
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import processes
from sandbox.pods import control
from sandbox.pods.agent import PLAN
from sandbox.pods.images import Runnable
from sandbox.state import State
from sandbox.waiting import wait_until

Object = dict[str, Any]

COLLECTIONS = {
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    "namespaces": "/api/v1/namespaces",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "networkpolicies": "/apis/networking.k8s.io/v1/networkpolicies",
}


class FakeApi:
    """As much of an API server as the agent asks. `put` and `remove` reach its watches."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Object]] = {kind: {} for kind in COLLECTIONS}
        self.single: dict[str, Object] = {}
        self._watches: list[tuple[str, queue.Queue[Object]]] = []
        self._lock = threading.Lock()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                kind = {at: kind for kind, at in COLLECTIONS.items()}.get(path)
                if kind is None:
                    found = api.single.get(path)
                    self._answer(200 if found else 404, found or {})
                elif "watch=1" in query:
                    self._watch(kind)
                else:
                    items = [*api.objects[kind].values()]
                    self._answer(200, {"metadata": {"resourceVersion": "1"}, "items": items})

            def _watch(self, kind: str) -> None:
                events: queue.Queue[Object] = queue.Queue()
                with api._lock:
                    api._watches.append((kind, events))
                    for each in api.objects[kind].values():
                        events.put({"type": "MODIFIED", "object": each})
                self.send_response(200)
                self.end_headers()
                while True:
                    self.wfile.write(json.dumps(events.get()).encode() + b"\n")
                    self.wfile.flush()

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not self.path.endswith("/status"):
                    path, _, _ = self.path.partition("?")
                    api.single[path] = body
                    return self._answer(200, body)
                name = self.path.removesuffix("/status").rpartition("/")[2]
                pod = api.objects["pods"].get(name)
                if pod is not None:
                    api.put("pods", {**pod, "status": {**pod["status"], **body["status"]}})
                return self._answer(200 if pod else 404, {})

            def do_DELETE(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if "/pods/" in self.path:
                    api.remove("pods", self.path.rpartition("/")[2])
                api.single.pop(self.path, None)
                self._answer(200, {})

            def _answer(self, status: int, body: Object) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, kind: str, each: Object) -> None:
        with self._lock:
            self.objects[kind][each["metadata"]["name"]] = each
            self._tell(kind, {"type": "MODIFIED", "object": each})

    def remove(self, kind: str, name: str) -> None:
        with self._lock:
            each = self.objects[kind].pop(name, None)
            if each is not None:
                self._tell(kind, {"type": "DELETED", "object": each})

    def _tell(self, kind: str, event: Object) -> None:
        for watched, events in self._watches:
            if watched == kind:
                events.put(event)

    def status(self, name: str) -> Object:
        return self.objects["pods"][name]["status"]

    def ready(self, name: str) -> bool:
        return any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in self.status(name).get("conditions", ())
        )


@pytest.fixture(scope="module")
def reason() -> str | None:
    return control.refusal()


@pytest.fixture
def api(tmp_path: Path, reason: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    if reason is not None:
        pytest.skip(reason)
    fake, state = FakeApi(), State(tmp_path)
    cluster = {"server": f"http://127.0.0.1:{fake.server.server_port}"}
    document = {"clusters": [{"cluster": cluster}], "users": [{"user": {}}]}
    state.kubeconfig.write_text(yaml.safe_dump(document))
    shell = Runnable("a/shell", {"it": "/bin/sh"}, ("it", "-c", "exec sleep 600"))
    state.save(PLAN, {"namespace": "harbor", "images": [shell.document()], "reason": None})
    with socket.create_server(("127.0.0.1", 0)) as outside:
        state.save("object-storage.json", {"port": outside.getsockname()[1]})
        control.start(state)
        yield fake
        control.stop(state)
    fake.server.shutdown()
    fake.server.server_close()


def pod(name: str, script: str, **container: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "harbor", "uid": f"uid-{name}", "labels": {}},
        "spec": {
            "nodeName": "somewhere",
            "containers": [
                {"name": "it", "image": "x.example/a/shell:1", "args": [], **container,
                 "command": ["sh", "-c", script]},
                {"name": "beside", "image": "x.example/a/other:1"},
            ],
        },
        "status": {"phase": "Pending"},
    }  # fmt: skip


def log(folder: Path, name: str) -> str:
    file = folder / "logs" / "pods" / f"{name}.it.log"
    return file.read_text() if file.exists() else ""


def until(folder: Path, name: str, words: str) -> str:
    assert wait_until(lambda: words in log(folder, name), seconds=60), log(folder, name)
    return log(folder, name)


FORWARDS = "/apis/kwok.x-k8s.io/v1alpha1/namespaces/harbor/portforwards"
SECRET = "/api/v1/namespaces/harbor/secrets/login"


def test_a_pod_waits_for_its_secret_runs_is_ready_and_ends(api: FakeApi, tmp_path: Path) -> None:
    key = {"secretKeyRef": {"name": "login", "key": "word"}}
    script = 'trap "echo ended; exit" TERM; echo "word: $WORD"; while :; do sleep 0.1; done'
    variables = [{"name": "WORD", "valueFrom": key}]
    probe = {"exec": {"command": ["sh", "-c", "test $WORD = hush"]}}
    api.put("pods", pod("it", script, env=variables, readinessProbe=probe))
    waiting = {"reason": "CreateContainerConfigError", "message": "secret login not found"}

    def state() -> Object:
        (own, *_) = api.status("it").get("containerStatuses", [{"state": {}}])
        return own["state"]

    assert wait_until(lambda: state() == {"waiting": waiting}, seconds=60), api.status("it")
    assert not api.ready("it")
    api.single[SECRET] = {"data": {"word": base64.b64encode(b"hush").decode()}}
    assert wait_until(lambda: api.ready("it"), seconds=60), api.status("it")
    status = api.status("it")
    assert status["phase"] == "Running"
    assert [each["ready"] for each in status["containerStatuses"]] == [True, True]
    assert "word: hush" in log(tmp_path, "it")
    leaving = api.objects["pods"]["it"]
    leaving["metadata"] |= {"deletionTimestamp": "now", "deletionGracePeriodSeconds": 20}
    api.put("pods", leaving)
    assert wait_until(lambda: "it" not in api.objects["pods"], seconds=60)
    assert log(tmp_path, "it").endswith("ended\n")
    assert f"{FORWARDS}/it" not in api.single
    assert [*(tmp_path / "pods" / "run").iterdir()] == []  # no Secret is left in a file


def test_a_process_that_ends_or_is_not_alive_is_started_again(api: FakeApi, tmp_path: Path) -> None:
    api.put("pods", pod("ends", "echo begun; exit 3"))
    api.put("pods", pod("hangs", "echo begun; exec sleep 600", livenessProbe={
        "tcpSocket": {"port": 9}, "failureThreshold": 1, "initialDelaySeconds": 3}))  # fmt: skip
    for name, code in (("ends", 3), ("hangs", 247)):  # 256 - SIGKILL
        assert wait_until(lambda name=name: log(tmp_path, name).count("begun") > 1, seconds=60)
        assert wait_until(
            lambda name=name: api.status(name)["containerStatuses"][0]["restartCount"] > 0,
            seconds=60,
        )
        last = api.status(name)["containerStatuses"][0]["lastState"]["terminated"]
        assert last["exitCode"] == code


def test_a_pod_has_its_own_network_root_folder_and_user(api: FakeApi, tmp_path: Path) -> None:
    claim = "/api/v1/namespaces/harbor/persistentvolumeclaims/data"
    api.single[claim] = {"spec": {"volumeName": "volume-1"}}
    script = """
    id -u; hostname -I 2> /dev/null; cat /etc/hosts
    ls -d /root /home 2>&1; touch /data/kept; touch /elsewhere 2>&1; touch /usr/it 2>&1
    echo told; exec sleep 600
    """
    one = pod("one", script, volumeMounts=[{"name": "data", "mountPath": "/data"}],
              securityContext={"runAsUser": 4711, "readOnlyRootFilesystem": True})  # fmt: skip
    one["spec"]["volumes"] = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    ]  # fmt: skip
    api.put("pods", one)
    told = until(tmp_path, "one", "told\n")
    assert told.splitlines()[0] == "4711"
    assert f"{api.status('one')['podIP']} one" in told
    assert (tmp_path / "pods" / "volumes" / "volume-1" / "kept").exists()
    assert told.count("Read-only file system") == 2
    assert "/home" not in [line for line in told.splitlines() if "cannot access" not in line]


def test_policies_decide_who_reaches_whom_and_what_is_outside(api: FakeApi, tmp_path: Path) -> None:
    state = State(tmp_path)
    outside = (state.load(PLAN) or {})["outside"][0]
    ask = "(exec 3<>/dev/tcp/{0}/{1}) 2>/dev/null && echo {0}:{1} yes || echo {0}:{1} no"
    api.put("namespaces", {"metadata": {"name": "harbor", "uid": "n", "labels": {}}})

    def asks(name: str, *targets: tuple[str, int]) -> Object:
        lines = "; ".join(ask.format(*target) for target in targets)
        one = pod(name, f"bash -c '{lines}'; echo told; exec sleep 600")
        one["metadata"]["labels"] = {"app": name}
        return one

    api.put("pods", asks("open", ("127.0.0.1", outside), ("10.0.0.7", 80)))
    told = until(tmp_path, "open", "told")
    assert f"127.0.0.1:{outside} yes" in told
    assert "10.0.0.7:80 no" in told  # a simulated Pod's, say
    closed = {
        "metadata": {"name": "p", "namespace": "harbor", "uid": "p"},
        "spec": {"podSelector": {"matchLabels": {"app": "shut"}}, "policyTypes": ["Egress"]},
    }
    api.put("networkpolicies", closed)
    api.put("pods", asks("shut", ("127.0.0.1", outside)))
    assert f"127.0.0.1:{outside} no" in until(tmp_path, "shut", "told")


def test_the_ports_of_a_pod_lead_into_it_and_all_ends_with_the_agent(
    api: FakeApi, tmp_path: Path
) -> None:
    state = State(tmp_path)
    api.put("pods", pod("it", "exec sleep 600", ports=[{"containerPort": 9}]))
    assert wait_until(lambda: "it" in control.running_pods(state), seconds=60)
    port = control.running_pods(state)["it"]["ports"]["9"]
    # `kubectl port-forward` gets there, too.
    forward = api.single[f"{FORWARDS}/it"]["spec"]["forwards"]
    assert forward == [{"ports": [9], "target": {"address": "127.0.0.1", "port": port}}]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        assert connection.recv(1) == b""  # nobody listens in the Pod
    agent = processes.find(state, control.NAME)
    assert agent is not None
    control.stop(state)
    assert not agent.alive
    assert control.running_pods(state) == {}
    assert not processes.answers(port)
