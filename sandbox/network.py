"""The sandbox's cluster network: lets the API server reach what runs beside the cluster.

No pod has an address here. The API server sends its traffic to Services through this HTTP CONNECT
proxy (its egress selector, a documented part of it), which knows the address of each simulated
pod. So `kubeseal --fetch-cert` and the program's own fetch work as in a real cluster.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from engine.project import ROOT
from sandbox import processes
from sandbox.state import CLUSTER, State

NAME = "cluster-network"


def socket_path(state: State) -> Path:
    """Where the proxy listens; a UNIX socket, so no port is opened.

    An address of a UNIX socket has 107 bytes at most (unix(7)), and the project may lie deeper. So
    both sides name it from the folder in which they run.
    """
    return state.path("network.sock")


def egress_configuration(state: State) -> Path:
    """The file for the API server's --egress-selector-config-file.

    KWOK starts the API server in the cluster's folder (pkg/kwokctl/runtime/binary, cluster.go).
    """
    place = os.path.relpath(socket_path(state), state.path("kwok", "clusters", CLUSTER))
    file = state.path("kwok", "egress.json")
    selection = {
        "name": "cluster",
        "connection": {
            "proxyProtocol": "HTTPConnect",
            "transport": {"uds": {"udsName": place}},
        },
    }
    kind = {"apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration"}
    file.write_text(json.dumps({**kind, "egressSelections": [selection]}))
    return file


def publish(state: State, endpoint: str, port: int) -> None:
    """From now on `endpoint` (address:port) leads to 127.0.0.1:`port`."""
    routes = state.load("network.json") or {}
    state.save("network.json", {**routes, endpoint: port})


def start(state: State) -> None:
    """Starts the proxy unless it runs."""
    path = socket_path(state)
    processes.start(
        state,
        NAME,
        [sys.executable, "-m", "sandbox.network"],
        environment={"SANDBOX_DIR": str(state.folder), "PYTHONPATH": str(ROOT)},
        ready=path.is_socket,
    )


async def serve(state: State) -> None:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            host, _, port = request.split()[1].rpartition(":")
            routed = (state.load("network.json") or {}).get(f"{host}:{port}")
            if routed is None and host not in ("127.0.0.1", "localhost", "[::1]"):
                raise OSError("no pod has this address, and nothing leaves this machine")
            to, back = await asyncio.open_connection("127.0.0.1", routed or int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, back), _copy(to, writer))
        except (OSError, ValueError, asyncio.IncompleteReadError):
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        finally:
            writer.close()

    path = socket_path(state)
    path.unlink(missing_ok=True)
    os.chdir(path.parent)
    server = await asyncio.start_unix_server(connection, path.name)
    async with server:
        await server.serve_forever()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except OSError:
        pass  # the other side went away, which ends this direction
    finally:
        target.close()


if __name__ == "__main__":
    asyncio.run(serve(State.current()))
