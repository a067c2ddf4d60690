"""The environment in which plain `pulumi`, `helm`, `kubectl`, `crane`, `kubeseal` use the sandbox."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from sandbox.plugins.launchers import write_launchers
from sandbox.processes import SandboxError
from sandbox.state import CONTEXT, PASSPHRASE, ROOT, State
from sandbox.toolchain import Toolbox


def environment(state: State, tools: Toolbox) -> dict[str, str]:
    """The variables to set, PATH included. Raises SandboxError when the sandbox never ran."""
    storage, chart = state.load("object-storage.json"), state.load("chart.json")
    if storage is None or chart is None:
        raise SandboxError("the sandbox was never started: make up")
    credentials = state.credentials()
    launchers = state.directory("bin")
    write_launchers(
        launchers,
        python=Path(sys.executable),
        root=ROOT,
        language_exec=tools.assets("pulumi") / "python" / "pulumi-language-python-exec",
        pulumi_home=state.folder / "pulumi-home",
    )
    before = os.environ.get("PATH", "").split(os.pathsep)
    first = [str(launchers), *map(str, tools.bin_dirs())]
    path = [*first, *(part for part in before if part not in first)]
    return {
        "PATH": os.pathsep.join(path),
        "KUBECONFIG": str(state.kubeconfig),
        "KUBECACHEDIR": str(state.folder / "kubectl-cache"),
        "PULUMI_BACKEND_URL": state.directory("pulumi-state").as_uri(),
        "PULUMI_HOME": str(state.folder / "pulumi-home"),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "HELM_CACHE_HOME": str(state.folder / "helm" / "cache"),
        "HELM_CONFIG_HOME": str(state.folder / "helm" / "config"),
        "HELM_DATA_HOME": str(state.folder / "helm" / "data"),
        "HARBOR_CHART": chart["source"],
        "SANDBOX_KUBE_CONTEXT": CONTEXT,
        "SANDBOX_S3_ENDPOINT": f"http://127.0.0.1:{storage['port']}",
        "SANDBOX_S3_ACCESS_KEY": credentials["s3AccessKey"],
        "SANDBOX_S3_SECRET_KEY": credentials["s3SecretKey"],
        "SANDBOX_SEALING_CERTIFICATE": str(state.sealing_certificate),
    }


def as_shell(variables: dict[str, str]) -> str:
    """Lines for `eval` in a POSIX shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
