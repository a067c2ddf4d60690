"""A store and the stand-in for the External Secrets Operator, for stacks that ask for them."""

from __future__ import annotations

import json
import sys
from typing import Final

from engine.project import ROOT
from sandbox import cluster, processes
from sandbox.processes import SandboxError
from sandbox.state import CONTEXT, State
from toolchain.build import Toolbox

NAME: Final = "external-secrets-stand-in"
STORE: Final = "sandbox"
"""Name of the ClusterSecretStore."""
NAMESPACE: Final = "secret-store"
"""The store: its keys are the Secrets here."""


def start(state: State, tools: Toolbox) -> str:
    """Starts the stand-in unless it runs, and waits until its store is Ready; what it is, in words.

    Raises SandboxError.
    """
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ClusterSecretStore",
            "metadata": {"name": STORE},
            "spec": {"provider": {"kubernetes": {"remoteNamespace": NAMESPACE}}},
        },
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl(
        state, tools, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=listed
    )
    kubectl = tools.path("kubectl")
    processes.start(
        state,
        NAME,
        [sys.executable, "-m", "sandbox.stand_ins.external_secrets", f"--context={CONTEXT}"],
        environment={
            "PYTHONPATH": str(ROOT),
            "PATH": f"{kubectl.parent}:/usr/bin:/bin",
            "KUBECONFIG": str(state.kubeconfig),
            "KUBECACHEDIR": str(state.folder / "kubectl-cache"),
        },
        ready=lambda: _is_ready(state, tools),
    )
    return f"ClusterSecretStore {STORE}: a stand-in, whose keys are Secrets in {NAMESPACE}"


def _is_ready(state: State, tools: Toolbox) -> bool:
    try:
        cluster.kubectl(
            state,
            tools,
            "wait",
            f"clustersecretstore/{STORE}",
            "--for=condition=Ready",
            "--timeout=1s",
        )
    except SandboxError:
        return False
    return True


def stop(state: State) -> None:
    """Ends the stand-in, if it runs."""
    running = processes.find(state, NAME)
    if running is not None:
        processes.stop(state, running)
