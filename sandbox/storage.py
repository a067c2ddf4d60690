"""The sandbox's object storage: versitygw, an S3 gateway over a folder."""

from __future__ import annotations

from sandbox import processes
from sandbox.state import REGION, State
from toolchain.build import Toolbox

NAME = "object-storage"


def start(state: State, tools: Toolbox) -> str:
    """Starts the gateway unless it runs; returns its endpoint, `http://127.0.0.1:<port>`."""
    kept = state.load("object-storage.json")
    port = kept["port"] if kept else processes.free_port()
    running = processes.find(state, NAME)
    if (running is None or not running.alive) and processes.answers(port):
        port = processes.free_port()  # another process has taken the old port
    state.save("object-storage.json", {"port": port})
    data, versions = state.directory("s3", "data"), state.directory("s3", "versions")
    credentials = state.credentials()
    processes.start(
        state,
        NAME,
        [
            str(tools.path("versitygw")),
            "--port",
            f"127.0.0.1:{port}",
            "--region",
            REGION,
            "--quiet",
            "posix",
            "--versioning-dir",
            str(versions),
            str(data),
        ],
        environment={
            "ROOT_ACCESS_KEY": credentials["s3AccessKey"],
            "ROOT_SECRET_KEY": credentials["s3SecretKey"],
        },
        ready=lambda: processes.answers(port),
    )
    return f"http://127.0.0.1:{port}"
