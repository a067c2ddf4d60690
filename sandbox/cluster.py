"""The sandbox's cluster: real control-plane processes, kubelets played by KWOK."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import yaml

from components.settings.schema.environment import expand
from engine.project import ROOT
from sandbox import network
from sandbox.processes import SandboxError, born, free_port, tail
from sandbox.state import CLUSTER, State
from sandbox.waiting import wait_until
from toolchain.build import Toolbox

MANIFESTS = ROOT / "sandbox" / "manifests"
SPARE_VOLUMES = 60
"""Nobody empties a volume whose claim was deleted. Each Sovereign that is made needs two, and all
tests of a sandbox make about 15."""
_STAND_INS = ("cert-manager", "cnpg", "backup", "monitoring", "external-secrets")
"""Operators whose kinds stand in."""
KINDS = ("Stage", "PortForward", "ClusterPortForward")
"""What KWOK reads from objects: the stage of the CloudNativePG stand-in comes after its CRD, and
the ports of Harbor's pods lead to where Harbor's API is (sandbox/harbor_api.py)."""


def start(state: State, tools: Toolbox) -> None:
    """Creates or starts the cluster unless it runs. Raises SandboxError."""
    network.start(state)
    if is_running(state, tools):
        _add_kinds(state, tools)
        return
    configuration = state.path("kwok", "sandbox.yaml")
    configuration.write_text(yaml.safe_dump(_configuration(state, tools)))
    if _file_of_cluster(state).exists():
        _kwokctl(state, tools, "start")
        _add_kinds(state, tools)
    else:
        _kwokctl(state, tools, "create", "--config", str(configuration))


def _kwokctl(state: State, tools: Toolbox, verb: str, *options: str) -> None:
    log = state.path("logs", "kwokctl.log")
    with log.open("ab") as output:
        done = subprocess.run(
            [
                str(tools.path("kwokctl")),
                verb,
                "cluster",
                "--name",
                CLUSTER,
                "--wait",
                "240s",
                *options,
            ],
            env=_environment(state),
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise SandboxError(f"the cluster did not {verb}:\n{tail(log)}\n  log: {log}")


def folder(state: State) -> Path:
    """Where kwokctl keeps the cluster: `pids`, `logs` and the data of etcd."""
    return state.folder / "kwok" / "clusters" / CLUSTER


def _file_of_cluster(state: State) -> Path:
    return state.path("kwok", "clusters", CLUSTER, "kwok.yaml")


def _add_kinds(state: State, tools: Toolbox) -> None:
    """Gives a cluster that was made before them the kinds it lacks, and starts it again."""
    file = _file_of_cluster(state)
    text = file.read_text()
    changed = with_kinds(text)
    if changed == text:
        return
    apply(state, tools, MANIFESTS / "port-forwards.yaml")
    kubectl(state, tools, "wait", "--for=condition=Established", "--timeout=180s", "crd", "--all")
    file.write_text(changed)
    stop(state)
    _kwokctl(state, tools, "start")


def with_kinds(text: str) -> str:
    """The configuration of a cluster (kwok.yaml), with all KINDS enabled. Pure."""
    names = ",".join(KINDS)
    text = re.sub(r"(?m)^( *- --enable-crds=).*$", rf"\g<1>{names}", text)

    def listed(matched: re.Match[str]) -> str:
        indent = matched["indent"]
        return f"{indent}enableCRDs:\n" + "".join(f"{indent}- {kind}\n" for kind in KINDS)

    return re.sub(r"(?m)^(?P<indent> *)enableCRDs:\n(?:(?P=indent)- .*\n)+", listed, text)


def prepare(state: State, tools: Toolbox, stages: Path, estate: list[Path]) -> None:
    """Puts into the cluster what a Sovereign's cluster has before this program runs.

    `stages`: a file with KWOK's Stages. `estate`: manifests of an estate's own, which may refer to
    variables of the sandbox.
    """
    apply(state, tools, MANIFESTS / "namespaces.yaml", MANIFESTS / "storage-class.yaml")
    crds = [
        path
        for tool in ("sealed-secrets", "gateway-api")
        for path in sorted(tools.assets(tool).rglob("*.yaml"))
    ]
    standins = [MANIFESTS / f"{name}-standin.yaml" for name in _STAND_INS]
    apply(state, tools, stages, *crds, *standins, MANIFESTS / "nodes.yaml")
    kubectl(state, tools, "wait", "--for=condition=Established", "--timeout=180s", "crd", "--all")
    after_kinds = ("cnpg-stage", "gateway", "velero-location", "cert-manager-stage")
    apply(state, tools, *(MANIFESTS / f"{name}.yaml" for name in after_kinds))
    for manifest in estate:
        text = expand(manifest.read_text(), {"SANDBOX_SHARED_PASSWORD": state.shared_password()})
        kubectl(
            *(state, tools, "apply", "--server-side", "--force-conflicts", "-f", "-"), stdin=text
        )
    _put_spare_volumes(state, tools)


def stage_files(tools: Toolbox) -> list[Path]:
    """The Stages of nodes and pods, as KWOK brings them."""
    files = sorted((tools.assets("kwok") / "stages").rglob("*.yaml"))
    return [path for path in files if path.name != "kustomization.yaml"]


def _put_spare_volumes(state: State, tools: Toolbox) -> None:
    listed = json.loads(kubectl(state, tools, "get", "pv", "-o", "json"))["items"]
    free = [v for v in listed if v.get("status", {}).get("phase") in (None, "Pending", "Available")]
    volumes = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"sandbox-{len(listed) + number:03}"},
            "spec": {
                "capacity": {"storage": "500Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "sandbox",
                "hostPath": {"path": "/nowhere/no-kubelet-mounts-this"},
            },
        }
        for number in range(SPARE_VOLUMES - len(free))
    ]
    if volumes:
        text = yaml.safe_dump_all(volumes)
        kubectl(state, tools, "apply", "--server-side", "-f", "-", stdin=text)


def stop(state: State, *, seconds: float = 10) -> None:
    """Ends the cluster's processes, etcd last; its data stays."""
    for names in (_COMPONENTS[1:], _COMPONENTS[:1]):
        for number in (signal.SIGTERM, signal.SIGKILL):
            for name, pid in pids(state).items():
                if name in names:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            wait_until(lambda ending=names: not set(ending) & set(pids(state)), seconds=seconds)
    # kwokctl takes a zombie (ended, but not yet waited for by its parent) for a running process and
    # would not start it again: without these files it does.
    for file in _pid_files(state).glob("*.pid"):
        file.unlink(missing_ok=True)  # a kwokctl that still runs removes them, too


def is_running(state: State, tools: Toolbox) -> bool:
    """Whether all processes of the cluster run and its API server is ready."""
    if len(pids(state)) < len(_COMPONENTS):
        return False
    try:
        return kubectl(state, tools, "get", "--raw", "/readyz") == "ok"
    except SandboxError:
        return False


_COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok-controller",
)


def pids(state: State) -> dict[str, int]:
    """The cluster's living processes by name."""
    files = _pid_files(state)
    living: dict[str, int] = {}
    for name in _COMPONENTS:
        try:
            pid = int((files / f"{name}.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ValueError, ProcessLookupError):
            continue
        # The id may belong to another process by now; the sandbox's have its folder as an argument.
        if born(pid) is not None and str(state.folder).encode() in command:
            living[name] = pid
    return living


def _pid_files(state: State) -> Path:
    return folder(state) / "pids"


def last_words(state: State) -> str:
    """The end of the log of KWOK, which plays the kubelets."""
    log = folder(state) / "logs" / "kwok-controller.log"
    return f"{tail(log)}\n  log: {log}"


def apply(state: State, tools: Toolbox, *files: Path) -> None:
    """Server-side apply of manifest files."""
    arguments = [part for file in files for part in ("-f", str(file))]
    kubectl(state, tools, "apply", "--server-side", "--force-conflicts", *arguments)


def kubectl(state: State, tools: Toolbox, *arguments: str, stdin: str | None = None) -> str:
    """The output of kubectl, asking the sandbox's cluster; raises SandboxError with its message."""
    done = subprocess.run(
        [str(tools.path("kubectl")), *arguments],
        env=_environment(state),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SandboxError(f"kubectl {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout


def _environment(state: State) -> dict[str, str]:
    return {
        **os.environ,
        "KUBECONFIG": str(state.kubeconfig),
        "KWOK_WORKDIR": str(state.folder / "kwok"),
        # kubectl's discovery cache would go to the home folder.
        "KUBECACHEDIR": str(state.folder / "kubectl-cache"),
    }


_WITH_A_PORT = (
    "etcdPeer",
    "etcd",
    "kubeApiserver",
    "kubeControllerManager",
    "kubeScheduler",
    "kwokController",
)


def _configuration(state: State, tools: Toolbox) -> dict[str, object]:
    return {
        "kind": "KwokctlConfiguration",
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "options": {
            "runtime": "binary",
            "bindAddress": "127.0.0.1",
            # kwokctl always tries the same ports first: two that start at once would clash.
            **{f"{name}Port": free_port() for name in _WITH_A_PORT},
            "etcdBinary": str(tools.path("etcd")),
            "kubeApiserverBinary": str(tools.path("kube-apiserver")),
            "kubeControllerManagerBinary": str(tools.path("kube-controller-manager")),
            "kubeSchedulerBinary": str(tools.path("kube-scheduler")),
            "kubectlBinary": str(tools.path("kubectl")),
            "kwokControllerBinary": str(tools.path("kwok")),
            "enableCRDs": list(KINDS),
            "quietPull": True,
        },
        "componentsPatches": [
            {
                "name": "kube-apiserver",
                "extraArgs": [
                    {
                        "key": "egress-selector-config-file",
                        "value": str(network.egress_configuration(state)),
                    }
                ],
            }
        ],
    }
