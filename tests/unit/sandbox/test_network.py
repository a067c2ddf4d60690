"""The cluster network's proxy, by which the API server reaches what runs beside the cluster."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sandbox import network, processes
from sandbox.state import CLUSTER, State


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[State]:
    """A sandbox in a folder whose path is longer than the address of a UNIX socket may be."""
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    folder.mkdir(parents=True)
    state = State(folder)
    network.start(state)
    yield state
    processes.stop(state, *[found for found in [processes.find(state, network.NAME)] if found])


def test_a_pod_is_reached_however_deep_the_project_lies(
    deep: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pod(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pod)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    network.publish(deep, "10.0.0.7:8080", server.server_address[1])
    configured = json.loads(network.egress_configuration(deep).read_text())
    name = configured["egressSelections"][0]["connection"]["transport"]["uds"]["udsName"]
    # As the API server, which KWOK starts there.
    monkeypatch.chdir(deep.directory("kwok", "clusters", CLUSTER))
    with socket.socket(socket.AF_UNIX) as client:
        assert len(os.fsencode(name)) < 100
        client.connect(name)
        client.sendall(b"CONNECT 10.0.0.7:8080 HTTP/1.1\r\n\r\n")
        assert b"200" in client.recv(100)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"204" in client.recv(100)
    server.shutdown()
    server.server_close()
