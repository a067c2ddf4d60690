"""Harbor's API in the sandbox: a fake, or a real Harbor elsewhere, behind the pod of Harbor's core.

No pod runs here. Who forwards port 8080 of a pod in Harbor's namespace reaches the fake, through
the API server and KWOK, which plays the kubelets. SANDBOX_HARBOR_API=http://host:port puts a real
Harbor in its place.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from engine.project import ROOT
from sandbox import cluster, processes
from sandbox.processes import SandboxError
from sandbox.state import State
from toolchain.build import Toolbox

NAME = "fake-harbor"
NAMESPACE = "harbor"
"""Harbor's, unless another is said."""
CORE_PORT = 8080
VARIABLE = "SANDBOX_HARBOR_API"


def start(state: State, tools: Toolbox, *, namespace: str = NAMESPACE) -> str:
    """Starts the fake unless it runs, and leads core's port to it; which Harbor answers, in words.

    Raises SandboxError for a SANDBOX_HARBOR_API that is no http://host:port.
    """
    real = os.environ.get(VARIABLE, "")
    host, port = _address(real) if real else ("127.0.0.1", _start_fake(state, tools, namespace))
    if real:
        running = processes.find(state, NAME)
        if running is not None:
            processes.stop(state, running)
    state.save("harbor-api.json", {"host": host, "port": port, "real": bool(real)})
    forward(state, tools, host, port, namespace)
    return told(state)


def told(state: State) -> str:
    """Which Harbor answers here, for a person."""
    kept = state.load("harbor-api.json")
    if kept is not None and kept["real"]:
        return f"Harbor's API: a real Harbor at {kept['host']}:{kept['port']} ({VARIABLE})"
    running = processes.find(state, NAME)
    if kept is None or running is None or not running.alive:
        return "Harbor's API: nothing answers"
    return "Harbor's API: a fake that answers as 2.14.3 was recorded to answer"


def _address(url: str) -> tuple[str, int]:
    """The IP address and port of http://host:port; KWOK forwards bytes, so https will not do."""
    split = urlsplit(url)
    if split.scheme != "http" or split.hostname is None or split.path not in ("", "/"):
        raise SandboxError(f"{VARIABLE}={url}: must be http://host:port")
    try:
        return socket.gethostbyname(split.hostname), split.port or 80
    except OSError as error:
        raise SandboxError(f"{VARIABLE}={url}: {error}") from error


def _start_fake(state: State, tools: Toolbox, namespace: str) -> int:
    kept = state.load("harbor-api.json")
    port: int = kept["port"] if kept and not kept["real"] else processes.free_port()
    running = processes.find(state, NAME)
    if (running is None or not running.alive) and processes.answers(port):
        port = processes.free_port()  # another process has taken the old port
    processes.start(
        state,
        NAME,
        [
            sys.executable,
            "-m",
            "sandbox.fake_harbor",
            f"--port={port}",
            f"--file={state.path('fake-harbor', 'database.json')}",
            f"--namespace={namespace}",
            f"--kubectl={tools.path('kubectl')}",
            "--seconds-after-a-wrong-password=0",
        ],
        environment={
            "PYTHONPATH": str(ROOT),
            "KUBECONFIG": str(state.kubeconfig),
            "KUBECACHEDIR": str(state.folder / "kubectl-cache"),
        },
        ready=lambda: processes.answers(port),
    )
    return port


def forward(state: State, tools: Toolbox, host: str, port: int, namespace: str) -> None:
    target = {"address": host, "port": port}
    rule = {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterPortForward",
        "metadata": {"name": "harbor-core"},
        "spec": {
            "selector": {"matchNamespaces": [namespace]},
            "forwards": [{"ports": [CORE_PORT], "target": target}],
        },
    }
    cluster.kubectl(
        state, tools, "apply", "--server-side", "--force-conflicts", "-f", "-",
        stdin=json.dumps(rule),
    )  # fmt: skip


def control(state: State, what: str, given: Any = None, *, method: str = "POST") -> Any:
    """Asks the fake itself, as a test in another process does; its answer.

    `calls` is read by GET; DELETE answers with them and forgets them. The others are sent as JSON:
    `faults` (a list of the fields of Fault), `down` (names of components), `settings` (by name),
    `registry` (the fields of Backend, null for none), `image` (the arguments of `put_image`),
    `restart`.

    Raises SandboxError when a real Harbor answers here, or none.
    """
    kept = state.load("harbor-api.json")
    if kept is None or kept["real"]:
        raise SandboxError(f"{told(state)}; this needs the fake")
    request = urllib.request.Request(
        f"http://127.0.0.1:{kept['port']}/fake-harbor/{what}",
        data=None if given is None and method == "GET" else json.dumps(given).encode(),
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
