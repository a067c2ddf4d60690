"""The environment in which plain `pulumi`, `helm`, `kubectl` and the rest use the sandbox."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from engine.project import ROOT
from engine.tools import own_pulumi
from sandbox import guard
from sandbox.processes import SandboxError
from sandbox.state import CONTEXT, PASSPHRASE, STACK, State
from toolchain.build import Toolbox


def environment(state: State, tools: Toolbox, stack: str = STACK) -> dict[str, str]:
    """The variables to set for a stack, PATH included. Raises SandboxError when the sandbox never
    ran."""
    storage, chart = state.load("object-storage.json"), state.load("chart.json")
    if storage is None or chart is None:
        raise SandboxError("the sandbox was never started: make up")
    credentials = state.credentials()
    own = own_pulumi(state.folder, tools)
    placed = {tools.path(name).parent for name in _PLACED if name in tools.built}
    first = [*own, *(str(folder) for folder in tools.bin_dirs() if folder not in placed)]
    before = os.environ.get("PATH", "").split(os.pathsep)
    path = [*first, *(part for part in before if part not in first)]
    own_plugins = "pulumi" in tools.built
    return {
        "PATH": os.pathsep.join(path),
        "KUBECONFIG": str(state.kubeconfig),
        "KUBECACHEDIR": str(state.folder / "kubectl-cache"),
        # Without the side files that the file backend writes in place: cut off by a kill, one of
        # them makes the whole state unreadable ("failed to load checkpoint: EOF").
        "PULUMI_BACKEND_URL": f"{state.directory('pulumi-state').as_uri()}?metadata=skip",
        "PULUMI_HOME": str(state.folder / "pulumi-home"),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Where pulumi is built here, the host of its official plugins is out of reach as well.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true" if own_plugins else "false",
        # Each run of the official Kubernetes provider leaves a copy of the kubeconfig behind.
        "TMPDIR": str(state.directory("tmp")),
        "HELM_CACHE_HOME": str(state.folder / "helm" / "cache"),
        "HELM_CONFIG_HOME": str(state.folder / "helm" / "config"),
        "HELM_DATA_HOME": str(state.folder / "helm" / "data"),
        "HARBOR_CHART": chart["source"],
        "SANDBOX_STACK": stack,
        "SANDBOX_KUBE_CONTEXT": CONTEXT,
        "SANDBOX_S3_ENDPOINT": f"http://127.0.0.1:{storage['port']}",
        "SANDBOX_S3_ACCESS_KEY": credentials["s3AccessKey"],
        "SANDBOX_S3_SECRET_KEY": credentials["s3SecretKey"],
        "SANDBOX_SEALING_CERTIFICATE": str(state.sealing_certificate),
        "SANDBOX_SHARED_PASSWORD": state.shared_password(),
    }


def guarded(state: State, variables: dict[str, str], project: Path = ROOT) -> dict[str, str]:
    """The same variables for a person's shell, in which `pulumi` serves no other stack.

    `project`: where it runs, whatever the shell's folder, if that is not the repository. Raises
    SandboxError without a pulumi.
    """
    folder = state.folder / "guard"
    folders = [part for part in variables["PATH"].split(os.pathsep) if part != str(folder)]
    real = shutil.which("pulumi", path=os.pathsep.join(folders))
    if real is None:
        raise SandboxError("there is no pulumi: make up")
    guard.write(folder, Path(real), variables["PULUMI_BACKEND_URL"], project)
    return {**variables, "PATH": os.pathsep.join([str(folder), *folders])}


_PLACED = ("pulumi", "pulumi-resource-kubernetes")


def as_shell(variables: dict[str, str]) -> str:
    """Lines for `eval` in a POSIX shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
