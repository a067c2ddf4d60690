"""A stand-in for the External Secrets Operator, run beside the sandbox's cluster."""

from __future__ import annotations

import os
import sys

from engine.project import ROOT
from sandbox import processes
from sandbox.state import State
from toolchain.build import Toolbox

NAME = "external-secrets-stand-in"


def start(state: State, tools: Toolbox) -> None:
    """Starts it unless it runs. Its kinds have to be in the cluster."""
    log = state.path("logs", f"{NAME}.log")
    folders = [str(tools.path("kubectl").parent), os.environ.get("PATH", "")]
    processes.start(
        state,
        NAME,
        [sys.executable, "-m", "sandbox.stand_ins.external_secrets"],
        environment={
            "PATH": os.pathsep.join(folders),
            "PYTHONPATH": str(ROOT),
            "KUBECONFIG": str(state.kubeconfig),
            "KUBECACHEDIR": str(state.folder / "kubectl-cache"),
        },
        ready=lambda: "stand-in" in log.read_text(),
    )
