"""Requests to the API server, and the kubectl that carries them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.kubernetes import client as client_module
from components.kubernetes import kubectl
from components.kubernetes.client import ClusterClient, dig, secret_value
from components.kubernetes.unreachable import ClusterUnreachable
from tests.support.api_server import ApiServer, Request
from tests.support.project import ROOT
from tests.unit.kubernetes.conftest import Kubeconfig

CONFIG_MAPS = "/api/v1/namespaces/harbor/configmaps"
ONE = f"{CONFIG_MAPS}/one"


@pytest.fixture
def client(kubeconfig: Kubeconfig) -> ClusterClient:
    kubeconfig.use(kubeconfig.write())
    return ClusterClient(None)


def refused(call: Callable[[], object]) -> ClusterUnreachable:
    with pytest.raises(ClusterUnreachable) as raised:
        call()
    return raised.value


# --- Answers -----------------------------------------------------------------------------------


def test_what_does_not_exist_is_none(api: ApiServer, client: ClusterClient) -> None:
    assert client.get(ONE) is None
    api.answers["/apis/kyverno.io/v1"] = (404, "text/plain", "404 page not found\n")
    assert client.get("/apis/kyverno.io/v1") is None
    client.delete(ONE)
    assert refused(lambda: client.text(ONE)).status == 404


def test_a_text_is_given_as_it_is(api: ApiServer, client: ClusterClient) -> None:
    path = "/api/v1/namespaces/kube-system/services/http:sealed-secrets:8080/proxy/v1/cert.pem"
    api.answers[path] = (200, "text/plain", "-----BEGIN CERTIFICATE-----\n")
    assert client.text(path) == "-----BEGIN CERTIFICATE-----\n"


def test_a_query_arrives(api: ApiServer, client: ClusterClient) -> None:
    path = f"{CONFIG_MAPS}?labelSelector=owner%3Dhelm%2Cname%3Dharbor"
    api.put(path, {"items": []})
    assert client.get(path) == {"items": []}


def test_an_object_is_made_and_changed(api: ApiServer, client: ClusterClient) -> None:
    api.put(CONFIG_MAPS, {"metadata": {"name": "one"}}, status=201)
    api.put(ONE, {"metadata": {"name": "one", "labels": {"a": "b"}}})
    assert client.post(CONFIG_MAPS, {"metadata": {"name": "one"}})["metadata"]["name"] == "one"
    assert client.patch(ONE, {"metadata": {"labels": {"a": "b", "c": None}}})["metadata"]["labels"]
    made, changed = api.requests
    assert (made.method, made.headers["Content-Type"]) == ("POST", "application/json")
    assert (changed.method, changed.headers["Content-Type"]) == (
        "PATCH",
        "application/merge-patch+json",
    )
    assert json.loads(changed.body) == {"metadata": {"labels": {"a": "b", "c": None}}}


def test_an_object_is_applied_by_its_manager(api: ApiServer, client: ClusterClient) -> None:
    path = f"{ONE}?fieldManager=drill&force=true"
    api.put(path, {"metadata": {"name": "one"}})
    client.apply(ONE, {"data": {"a": "b"}}, manager="drill")
    (applied,) = api.requests
    assert (applied.method, applied.path) == ("PATCH", path)
    assert applied.headers["Content-Type"] == "application/apply-patch+yaml"
    assert json.loads(applied.body) == {"data": {"a": "b"}}
    assert refused(lambda: client.apply(f"{CONFIG_MAPS}/two", {}, manager="drill")).status == 404


def test_an_object_that_is_changed_must_exist(client: ClusterClient) -> None:
    assert refused(lambda: client.patch(ONE, {})).status == 404
    assert refused(lambda: client.post(CONFIG_MAPS, {})).status == 404


@pytest.mark.parametrize("status", [401, 403, 409, 429, 503])
def test_a_refusal_says_why(api: ApiServer, client: ClusterClient, status: int) -> None:
    api.refuse(ONE, status, "configmaps is forbidden: User deployer cannot get resource")
    error = refused(lambda: client.get(ONE))
    assert error.status == status
    assert str(error) == (
        f"{ONE}: {status} configmaps is forbidden: User deployer cannot get resource"
    )


@pytest.mark.parametrize("status", [200, 302, 404, 500, 503])
def test_a_page_instead_of_an_answer_is_no_answer(
    api: ApiServer, client: ClusterClient, status: int
) -> None:
    """Of a gateway or a captive portal: its 404 says nothing about the object."""
    api.answers[ONE] = (status, "text/html", "<html><body>Sign in</body></html>")
    for call in (lambda: client.get(ONE), lambda: client.patch(ONE, {})):
        assert "<html>" in str(error := refused(call)) or "Kubernetes API server" in str(error)


@pytest.mark.parametrize("body", ["[]", '"OK"', "null", "{"])
def test_json_that_is_no_object_is_no_answer(
    api: ApiServer, client: ClusterClient, body: str
) -> None:
    api.answers[ONE] = (200, "application/json", body)
    assert "not by a Kubernetes API server" in str(refused(lambda: client.get(ONE)))


@pytest.mark.parametrize("encoded", ["//79", "no base64!"])
def test_a_secret_that_is_no_text_is_refused_without_its_value(
    api: ApiServer, client: ClusterClient, encoded: str
) -> None:
    api.put("/api/v1/namespaces/db/secrets/pg", {"data": {"password": encoded}})
    error = refused(lambda: secret_value(client, namespace="db", name="pg", key="password"))
    assert str(error) == "Secret db/pg: password is no text in UTF-8"


def test_a_server_that_never_answers_is_given_up(
    api: ApiServer, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(client_module, "_FIRST_ANSWER_SECONDS", 0)

    def late(_: Request) -> tuple[int, str, str]:
        time.sleep(2)
        return 200, "application/json", "{}"

    api.answers[ONE] = late
    assert str(refused(lambda: client.get(ONE))).startswith("no answer within")


# --- Asked again, as client-go asks ---------------------------------------------------------------


def failing(api: ApiServer, times: int, answer: Callable[[], tuple[int, str, str]]) -> None:
    """`ONE` is answered so at first, and well after so many times."""

    def given(_: Request) -> tuple[int, str, str]:
        if len(api.requests) <= times:
            return answer()
        return 200, "application/json", '{"metadata": {"name": "one"}}'

    api.answers[ONE] = given


def status(code: int) -> tuple[int, str, str]:
    return code, "application/json", json.dumps({"kind": "Status", "message": "try again"})


def broken_off() -> tuple[int, str, str]:
    raise ConnectionAbortedError


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_a_server_that_asks_for_patience_is_asked_again(
    api: ApiServer, client: ClusterClient, code: int
) -> None:
    api.headers[ONE] = {"Retry-After": "0"}
    for call in (lambda: client.get(ONE), lambda: client.patch(ONE, {})):
        api.requests.clear()
        failing(api, 2, lambda: status(code))
        assert call()["metadata"]["name"] == "one"
        assert len(api.requests) == 3


def test_a_server_that_asks_for_patience_for_ever_is_given_up(
    api: ApiServer, client: ClusterClient
) -> None:
    api.headers[ONE] = {"Retry-After": "0"}
    failing(api, 99, lambda: status(429))
    error = refused(lambda: client.get(ONE))
    assert (error.status, str(error)) == (429, f"{ONE}: 429 try again")
    assert len(api.requests) == client_module._ATTEMPTS


@pytest.mark.parametrize("after", [None, "tomorrow", "-1"])
def test_a_refusal_without_a_number_of_seconds_is_final(
    api: ApiServer, client: ClusterClient, after: str | None
) -> None:
    if after is not None:
        api.headers[ONE] = {"Retry-After": after}
    failing(api, 1, lambda: status(503))
    assert refused(lambda: client.get(ONE)).status == 503
    assert len(api.requests) == 1


def test_a_wait_is_no_longer_than_a_few_seconds(
    api: ApiServer, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.headers[ONE] = {"Retry-After": "3600"}
    waited: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", waited.append)
    failing(api, 1, lambda: status(429))
    assert client.get(ONE)["metadata"]["name"] == "one"
    assert waited == [client_module._LONGEST_WAIT_SECONDS]


def test_a_connection_that_breaks_is_made_again_for_what_only_reads(
    api: ApiServer, client: ClusterClient
) -> None:
    failing(api, 2, broken_off)
    assert client.get(ONE)["metadata"]["name"] == "one"
    api.requests.clear()
    # The server may have done it.
    refused(lambda: client.patch(ONE, {}))
    assert len(api.requests) == 1


def test_an_answer_that_breaks_off_is_asked_for_again(
    api: ApiServer, client: ClusterClient
) -> None:
    api.headers[ONE] = {"Content-Length": "1000"}

    def then_whole() -> tuple[int, str, str]:
        whole = len(api.requests) == 2
        api.headers[ONE] = {} if whole else {"Content-Length": "1000", "Connection": "close"}
        return 200, "application/json", '{"metadata": {"name": "one"}}'

    failing(api, 9, then_whole)
    assert client.get(ONE)["metadata"]["name"] == "one"
    assert len(api.requests) == 2


@pytest.mark.parametrize("path", ["/api/v1/namespaces/with space", "/api/v1/namespaces/nizwä"])
def test_a_path_that_is_none_is_refused_in_words(client: ClusterClient, path: str) -> None:
    assert str(refused(lambda: client.get(path))).startswith("kubectl proxy: ")


def test_threads_share_one_kubectl(api: ApiServer, kubeconfig: Kubeconfig) -> None:
    kubeconfig.use(kubeconfig.write())
    api.put(ONE, {"metadata": {"name": "one"}})

    def ask(_: int) -> str:
        return ClusterClient(None).get(ONE)["metadata"]["name"]

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(ask, range(160))) == {"one"}
    assert len(kubectl._PROXIES) == 1


# --- The process ---------------------------------------------------------------------------------


def folders(temporary: Path) -> list[Path]:
    return [*temporary.glob("kubectl-*")]


def processes(of: Path) -> list[str]:
    """Command lines that name that folder."""
    lines: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(of) in line:
            lines.append(line)
    return lines


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, with a short path as sockets need."""
    with tempfile.TemporaryDirectory(prefix="h-", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(folder)
        kubectl.close_all()


def test_only_this_user_reaches_the_socket(
    api: ApiServer, kubeconfig: Kubeconfig, temporary: Path
) -> None:
    kubeconfig.use(kubeconfig.write())
    ClusterClient(None).get(ONE)
    (folder,) = folders(temporary)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "t0ken" not in " ".join(processes(folder))


def test_no_process_and_no_file_is_left(
    api: ApiServer, kubeconfig: Kubeconfig, temporary: Path
) -> None:
    kubeconfig.use(kubeconfig.write())
    ClusterClient(None).get(ONE)
    assert processes(temporary)
    kubectl.close_all()
    assert eventually(lambda: not processes(temporary))
    assert folders(temporary) == []


def test_a_kubeconfig_that_is_refused_leaves_nothing(
    api: ApiServer, kubeconfig: Kubeconfig, temporary: Path
) -> None:
    kubeconfig.use(temporary / "absent")
    refused(lambda: ClusterClient(None))
    assert eventually(lambda: not processes(temporary))
    assert folders(temporary) == []


PROGRAM = """
import sys, time
from components.kubernetes.client import ClusterClient
ClusterClient(None).get("/api/v1/namespaces/kube-system")
print("ready", flush=True)
if sys.argv[1] == "stay":
    time.sleep(60)
"""


@pytest.mark.parametrize("end", [None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_kubectl_ends_with_the_program(
    api: ApiServer,
    kubeconfig: Kubeconfig,
    temporary: Path,
    end: signal.Signals | None,
    interruptible: None,
) -> None:
    """Also where it is killed and can do nothing more."""
    kubeconfig.use(kubeconfig.write())
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "return" if end is None else "stay"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        if end is not None:
            assert processes(temporary)
            program.send_signal(end)
        program.wait(60)
    assert eventually(lambda: not processes(temporary))
    assert eventually(lambda: folders(temporary) == [])


def test_an_interrupt_of_the_terminal_is_for_the_program_alone(
    api: ApiServer, kubeconfig: Kubeconfig, temporary: Path
) -> None:
    """It ends what it has begun, for which it needs the cluster."""
    kubeconfig.use(kubeconfig.write())
    ClusterClient(None).get(ONE)
    (proxy,) = kubectl._PROXIES.values()
    assert os.getpgid(proxy._process.pid) != os.getpgid(0)


def test_a_kubectl_that_was_killed_is_started_again(
    api: ApiServer, kubeconfig: Kubeconfig, temporary: Path
) -> None:
    kubeconfig.use(kubeconfig.write())
    client = ClusterClient(None)
    assert client.get(ONE) is None
    (before,) = kubectl._PROXIES.values()
    # The shell ends it, as out of memory would: its output closes.
    os.killpg(before._process.pid, signal.SIGKILL)
    assert eventually(lambda: not before.is_running())
    assert client.get(ONE) is None
    (after,) = kubectl._PROXIES.values()
    assert after is not before
    assert len(folders(temporary)) == 1


def test_a_long_path_of_temporary_files_is_no_hindrance(
    api: ApiServer, kubeconfig: Kubeconfig, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path has 107 bytes at most."""
    long = temporary / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    kubeconfig.use(kubeconfig.write())
    assert ClusterClient(None).get(ONE) is None
    assert folders(long) == []


def test_without_kubectl_the_refusal_names_it(
    api: ApiServer, kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig.use(kubeconfig.write())
    monkeypatch.setenv("PATH", "/nowhere")
    assert str(refused(lambda: ClusterClient(None))).startswith("kubectl is not on PATH")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 1", "kubeconfig"),
        ("echo no such command >&2; exit 1", "no such command"),
        ("echo nonsense", "has no context"),
        ("echo '{}'", "has no context"),
    ],
)
def test_another_program_called_kubectl_is_refused_in_words(
    api: ApiServer, tmp_path: Path, script: str, words: str
) -> None:
    command = tmp_path / "bin" / "kubectl"
    command.unlink()
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    assert words in str(refused(lambda: ClusterClient(None).get(ONE)))


def test_complaints_are_kubectl_s_last_lines_once() -> None:
    errors = (
        "E0101 10:00:00.000000 1 proxy_server.go:147] Error while proxying request: no\n"
        "login expired\nlogin expired\n\nrun corp login\nsaid already\n"
    )
    assert kubectl.complaints(errors, besides="said already") == ": login expired run corp login"
    assert kubectl.complaints("") == ""


# --- Commands in a pod --------------------------------------------------------------------------

_STUB = """#!/bin/sh
echo "$@" >{log}
cat >>{log}
{then}
"""


def in_pod(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str, seconds: float = 60) -> str:
    """What a command in a pod prints, by a kubectl that then does so."""
    (folder / "stub").mkdir()
    stub = folder / "stub" / "kubectl"
    stub.write_text(_STUB.format(log=folder / "log", then=then))
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}{os.pathsep}{os.environ['PATH']}")
    return kubectl.run_in_pod(
        "admin",
        ["psql", "--quiet"],
        namespace="harbor-drill",
        pod="pg-1",
        container="postgres",
        stdin="SELECT 1;",
        seconds=seconds,
    )


def test_a_command_in_a_pod_reads_its_input_and_no_argument_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_pod(tmp_path, monkeypatch, "echo 1") == "1\n"
    assert (tmp_path / "log").read_text().splitlines() == [
        "--context=admin exec --stdin --namespace=harbor-drill --container=postgres pod/pg-1 "
        "-- psql --quiet",
        "SELECT 1;",
    ]


@pytest.mark.parametrize(
    ("then", "seconds", "words"),
    [
        ("echo 'ERROR: no such table' >&2; exit 1", 60, "pg-1 failed: ERROR: no such table"),
        ("exec sleep 30", 1, "pg-1 took longer than 1 s"),
    ],
)
def test_a_command_in_a_pod_that_fails_says_why(
    then: str, seconds: float, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(lambda: in_pod(tmp_path, monkeypatch, then, seconds))
    assert words in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        {"items": {}},
        {"items": ["x"]},
        {"items": [{"metadata": {}}]},
        {"metadata": "x"},
        {"data": ["x"]},
        {"spec": "x"},
        {"status": []},
    ],
    ids=str,
)
def test_an_answer_of_another_shape_is_no_answer(
    api: ApiServer, client: ClusterClient, answer: Any
) -> None:
    api.put(ONE, answer)
    assert "not by an API server" in str(refused(lambda: client.get(ONE)))


def test_an_answer_that_is_nested_without_end_is_no_answer(
    api: ApiServer, client: ClusterClient
) -> None:
    for status in (200, 403, 500):
        api.answers[ONE] = (status, "application/json", '{"a":' * 50_000)
        refused(lambda: client.get(ONE))


def test_an_answer_without_an_end_is_given_up(
    api: ApiServer, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(ONE, {"data": {"a": "b" * 5_000_000}})
    monkeypatch.setattr(client_module, "_LARGEST_ANSWER", 1_000_000)
    assert "more than 1000000 bytes" in str(refused(lambda: client.get(ONE)))
    monkeypatch.undo()
    assert client.get(ONE)["data"]["a"] == "b" * 5_000_000


@pytest.mark.parametrize("tree", [None, 1, "x", [1], {"a": "x"}, {"a": [1]}, {"a": {"b": 1}}])
def test_to_dig_where_no_object_is_finds_nothing(tree: Any) -> None:
    assert dig(tree, "a", "b", "c") is None
