"""The real sealed-secrets controller, run beside the sandbox's cluster."""

from __future__ import annotations

import base64
import datetime as dt
import shlex
from urllib.parse import urlparse

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from sandbox import cluster, network, processes
from sandbox.state import State
from toolchain.build import Toolbox

NAME = "sealed-secrets"
NAMESPACE = "kube-system"
ACCOUNT = "sealed-secrets-controller"


def start(state: State, tools: Toolbox) -> None:
    """Starts the controller unless it runs, with a key pair that is known beforehand."""
    running = processes.find(state, NAME)
    if running is not None and running.alive:
        return
    _bring_own_key(state, tools)
    # A pod that KWOK sees before it manages the node, or knows its stages, stays Pending for ever.
    _wait_ready(state, tools, "node", "--all")
    cluster.apply(state, tools, cluster.MANIFESTS / "sealed-secrets.yaml")
    listen, metrics = processes.free_port(), processes.free_port()
    processes.start(
        state,
        NAME,
        _in_cluster(
            state,
            tools,
            [
                str(tools.path("sealed-secrets-controller")),
                f"--listen-addr=127.0.0.1:{listen}",
                f"--listen-metrics-addr=127.0.0.1:{metrics}",
                "--key-renew-period=0",
            ],
        ),
        ready=lambda: processes.answers(listen),
    )
    network.publish(state, f"{_pod_address(state, tools)}:8080", listen)


def _pod_address(state: State, tools: Toolbox) -> str:
    """The address that KWOK gave to the simulated pod of the controller."""
    pod = f"pod/{ACCOUNT}"
    _wait_ready(state, tools, pod, "-n", NAMESPACE)
    return cluster.kubectl(
        state, tools, "get", pod, "-n", NAMESPACE, "-o", "jsonpath={.status.podIP}"
    )


def _wait_ready(state: State, tools: Toolbox, *what: str) -> None:
    try:
        cluster.kubectl(state, tools, "wait", *what, "--for=condition=Ready", "--timeout=180s")
    except processes.SandboxError as error:
        raise processes.SandboxError(f"{error}\n{cluster.last_words(state)}") from None


def _in_cluster(state: State, tools: Toolbox, command: list[str]) -> list[str]:
    """The command with a pod's service-account files in a /var/run of its own (a mount namespace):
    the controller takes its access from that fixed path only."""
    account = state.directory("sealing", "account")
    token = cluster.kubectl(
        state, tools, "create", "token", ACCOUNT, "-n", NAMESPACE, "--duration", "87600h"
    )
    kubeconfig = yaml.safe_load(state.kubeconfig.read_text())["clusters"][0]["cluster"]
    (account / "token").write_text(token.strip())
    (account / "token").chmod(0o600)
    with open(kubeconfig["certificate-authority"]) as authority:
        (account / "ca.crt").write_text(authority.read())
    (account / "namespace").write_text(NAMESPACE)
    server = urlparse(kubeconfig["server"])
    target = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = (
        f"mount -t tmpfs tmpfs /var/run && mkdir -p {target} && "
        f"cp {shlex.quote(str(account))}/* {target}/ && "
        f"export KUBERNETES_SERVICE_HOST={server.hostname} && "
        f"export KUBERNETES_SERVICE_PORT={server.port} && "
        f"exec {shlex.join(command)}"
    )
    return ["unshare", "-Umr", "sh", "-c", script]


def _bring_own_key(state: State, tools: Toolbox) -> None:
    """A key pair made before the controller starts, so that sealing needs no cluster
    (sealed-secrets docs/bring-your-own-certificates.md)."""
    certificate, key = state.sealing_certificate, state.path("sealing", "tls.key")
    if not certificate.exists():
        _mint(state)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {
            "name": "sealed-secrets-own-key",
            "namespace": NAMESPACE,
            "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
        },
        "data": {
            "tls.crt": base64.b64encode(certificate.read_bytes()).decode(),
            "tls.key": base64.b64encode(key.read_bytes()).decode(),
        },
    }
    cluster.kubectl(state, tools, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(secret))


def _mint(state: State) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox-sealed-secrets")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    path = state.path("sealing", "tls.key")
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    state.sealing_certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
