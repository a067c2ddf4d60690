"""The real Kyverno, run beside the sandbox's cluster: its admission and its reports controller."""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from pathlib import Path

import yaml

from sandbox import cluster, processes
from sandbox.state import State
from toolchain.build import Toolbox

NAME = "kyverno"
REPORTS = "kyverno-reports"
NAMESPACE = "kyverno"
ACCOUNT = "kyverno-admission-controller"
REPORTS_ACCOUNT = "kyverno-reports-controller"
_POLICY_WEBHOOK = "kyverno-policy-validating-webhook-cfg"
_WEBHOOK_KINDS = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
_OWN_WEBHOOKS = "webhook.kyverno.io/managed-by=kyverno"
# Served on every address unless told otherwise, disabled or not.
_OWN_METRICS = ("--disableMetrics=true", "--metricsHost=127.0.0.1")


def start(state: State, tools: Toolbox) -> str:
    """Starts the controller unless it runs; returns where its webhooks are served.

    The webhooks of a stopped sandbox stay in the cluster and fail closed: pods outside the excluded
    namespaces are refused until the controller answers again, on the port that the webhooks name.
    """
    kept = state.load("kyverno.json")
    port = kept["port"] if kept else processes.free_port()
    running = processes.find(state, NAME)
    if running is not None and running.alive:
        return f"https://127.0.0.1:{port}"
    crds = sorted((tools.assets("kyverno") / "crds").rglob("*.yaml"))
    cluster.apply(state, tools, *crds, cluster.MANIFESTS / "kyverno.yaml")
    if processes.answers(port):  # another process has taken the old port
        port = processes.free_port()
        _forget_webhooks(state, tools)
    state.save("kyverno.json", {"port": port})
    _run(state, tools, port)
    return f"https://127.0.0.1:{port}"


def restart(state: State, tools: Toolbox) -> None:
    """Ends the controller and starts it again; its webhooks stay registered."""
    stop(state)
    start_again(state, tools)


def start_again(state: State, tools: Toolbox) -> None:
    """Starts the controller unless it runs, where it served before."""
    _run(state, tools, (state.load("kyverno.json") or {})["port"])


def stop(state: State) -> None:
    """Ends the controller; its webhooks stay, as they do when all its pods are lost."""
    running = processes.find(state, NAME)
    if running is not None:
        processes.stop(state, running)


def start_reports(state: State, tools: Toolbox) -> None:
    """Starts the controller that makes policy reports of what was admitted and of what runs."""
    processes.start(
        state,
        REPORTS,
        [
            str(tools.path("reports-controller")),
            f"--kubeconfig={_kubeconfig(state, tools, REPORTS_ACCOUNT)}",
            *_OWN_METRICS,
            f"--metricsPort={processes.free_port()}",
            "--loggingFormat=json",
        ],
        environment=_environment(REPORTS_ACCOUNT),
        ready=lambda: _holds_lease(state, tools, REPORTS_ACCOUNT),
    )


def _holds_lease(state: State, tools: Toolbox, account: str) -> bool:
    """Whether the controller with that account has begun to work."""
    leases = cluster.kubectl(state, tools, "get", "leases", "-n", NAMESPACE, "-o", "json")
    return any(
        lease["metadata"]["name"] == account and lease["spec"].get("holderIdentity")
        for lease in json.loads(leases)["items"]
    )


def _environment(account: str) -> dict[str, str]:
    """What a pod's environment tells it; the names are those of sandbox/manifests/kyverno.yaml."""
    return {
        "KYVERNO_NAMESPACE": NAMESPACE,
        "KYVERNO_SERVICEACCOUNT_NAME": account,
        "KYVERNO_DEPLOYMENT": account,
        # The same at each start: the lease of a run that was ended is this run's own.
        "KYVERNO_POD_NAME": account,
        "KYVERNO_ROLE_NAME": "kyverno:admission-controller",
        "KYVERNO_SVC": "kyverno-svc",
        "INIT_CONFIG": "kyverno",
        "METRICS_CONFIG": "kyverno-metrics",
    }


def _run(state: State, tools: Toolbox, port: int) -> None:
    address = f"127.0.0.1:{port}"
    processes.start(
        state,
        NAME,
        [
            str(tools.path("kyverno")),
            f"--kubeconfig={_kubeconfig(state, tools, ACCOUNT)}",
            f"--serverIP={address}",
            "--webhookServerHost=127.0.0.1",
            f"--webhookServerPort={port}",
            "--caSecretName=kyverno-svc.kyverno.svc.kyverno-tls-ca",
            "--tlsSecretName=kyverno-svc.kyverno.svc.kyverno-tls-pair",
            "--tlsKeyAlgorithm=ECDSA",  # made sooner than RSA
            f"--backgroundServiceAccountName=system:serviceaccount:{NAMESPACE}:background",
            f"--reportsServiceAccountName=system:serviceaccount:{NAMESPACE}:{REPORTS_ACCOUNT}",
            *_OWN_METRICS,
            f"--metricsPort={processes.free_port()}",
            "--controllerRuntimeMetricsAddress=0",
            "--loggingFormat=json",
        ],
        environment=_environment(ACCOUNT),
        ready=lambda: _is_ready(address) and _is_registered(state, tools, address),
    )


def _is_ready(address: str) -> bool:
    """Whether it serves with its certificate; the port is open before."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # made by itself a moment ago
    try:
        with urllib.request.urlopen(
            f"https://{address}/health/readiness", context=trust, timeout=2
        ) as answer:
            return answer.status == 200
    except OSError:
        return False


def _is_registered(state: State, tools: Toolbox, address: str) -> bool:
    """Whether the API server asks this controller about policies."""
    text = cluster.kubectl(
        state, tools, "get", _WEBHOOK_KINDS.split(",")[0], "-l", _OWN_WEBHOOKS, "-o", "json"
    )
    return any(
        f"https://{address}/" in webhook["clientConfig"].get("url", "")
        for configuration in json.loads(text)["items"]
        if configuration["metadata"]["name"] == _POLICY_WEBHOOK
        for webhook in configuration["webhooks"]
    )


def _forget_webhooks(state: State, tools: Toolbox) -> None:
    cluster.kubectl(state, tools, "delete", _WEBHOOK_KINDS, "-l", _OWN_WEBHOOKS)


def _kubeconfig(state: State, tools: Toolbox, account: str) -> Path:
    """Access as the controller's own account, with the rights that its chart gives it."""
    token = cluster.kubectl(
        state, tools, "create", "token", account, "-n", NAMESPACE, "--duration", "87600h"
    )
    server = yaml.safe_load(state.kubeconfig.read_text())["clusters"][0]["cluster"]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": server}],
        "users": [{"name": account, "user": {"token": token.strip()}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": account}}],
        "current-context": "sandbox",
    }
    path = state.path("kyverno", f"{account}.kubeconfig")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        yaml.safe_dump(document, handle)
    return path
