"""What becomes of Secrets when sealing goes wrong, and the runbook docs/runbooks/sealing-key.md."""

from __future__ import annotations

import base64
import datetime as dt
import re
import time
from collections.abc import Iterator

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from components.sealing.crypto import certificate_fingerprint, load_certificate
from engine.stack import Stack
from sandbox import cluster, processes, sealing
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support import runbook
from tests.support.certificates import certificate_of
from tests.support.sandbox import NAMESPACE, generations, unsealed

SECRET = "harbor-minted-csrf-key"


def kubectl(sandbox: Sandbox, *arguments: str, stdin: str | None = None) -> str:
    return cluster.kubectl(sandbox.state, sandbox.tools, *arguments, stdin=stdin)


def stop_controller(sandbox: Sandbox) -> None:
    running = processes.find(sandbox.state, sealing.NAME)
    assert running is not None
    processes.stop(sandbox.state, running)


def restart_controller(sandbox: Sandbox) -> None:
    running = processes.find(sandbox.state, sealing.NAME)
    if running is not None and running.alive:
        processes.stop(sandbox.state, running)
    sealing.start(sandbox.state, sandbox.tools)


def put_key(sandbox: Sandbox, name: str) -> str:
    """Gives the controller another key, as its renewal does; the certificate's fingerprint."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    # The controller takes the one whose certificate begins last.
    pem = certificate_of(key, begins=dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
        },
        "data": {
            "tls.crt": base64.b64encode(pem.encode()).decode(),
            "tls.key": base64.b64encode(private).decode(),
        },
    }
    time.sleep(1.1)  # times in certificates are whole seconds
    kubectl(sandbox, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(secret))
    restart_controller(sandbox)
    return certificate_fingerprint(load_certificate(pem))


def refused(stack: Stack, *command: str) -> str:
    said = stack.run(*command, "-s", stack.name, check=False)
    assert said.code != 0, said.text
    assert "Traceback" not in said.text
    return " ".join(said.text.split())


UP = ("up", "--yes", "--skip-preview")
SHORT = {"certificate": "${SANDBOX_SEALING_CERTIFICATE}", "timeoutSeconds": 5}


def test_the_certificate_of_another_key_is_no_success(sandbox: Sandbox, sovereign: Stack) -> None:
    before, running = unsealed(sandbox), generations(sandbox)
    other = sandbox.project / "other.pem"
    other.write_text(certificate_of(rsa.generate_private_key(65537, 2048)))
    with sandbox.configured(sealing={**SHORT, "certificate": "other.pem"}):
        said = refused(sovereign, *UP)
        assert "no key could decrypt secret" in said
        assert "docs/runbooks/sealing-key.md" in said
        assert "not unsealed" in refused(sovereign, *UP), "the next run tries again"
    sovereign.up()
    assert (unsealed(sandbox), generations(sandbox)) == (before, running)


def test_a_sealed_secret_that_nobody_opened_is_no_success(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    before = unsealed(sandbox)
    stop_controller(sandbox)
    try:
        kubectl(sandbox, "delete", "sealedsecret", SECRET, "-n", NAMESPACE)
        assert wait_until(lambda: SECRET not in unsealed(sandbox), seconds=180, pause=0.2)
        sovereign.run("refresh", "-s", sovereign.name, "--yes", "--skip-preview")
        with sandbox.configured(sealing=SHORT):
            assert "is sealed-secrets running" in refused(sovereign, *UP)
    finally:
        sealing.start(sandbox.state, sandbox.tools)
    sovereign.up()
    assert unsealed(sandbox) == before


def test_a_plain_up_brings_back_what_somebody_changed(sandbox: Sandbox, sovereign: Stack) -> None:
    before = unsealed(sandbox)
    change = '{"data": {"CSRF_KEY": "eA=="}}'
    kubectl(sandbox, "patch", "secret", SECRET, "-n", NAMESPACE, "--type", "merge", "-p", change)
    # Nothing else: what the tests before did has left no difference.
    preview = sovereign.run("preview", "-s", sovereign.name).text
    assert re.search(r"^Resources:\n +~ 1 to update\n +\d+ unchanged$", preview, re.M), preview
    sovereign.up()
    assert unsealed(sandbox) == before
    sovereign.up(expect_no_changes=True)


def test_a_kind_that_was_removed_and_installed_again_is_noticed(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    before = unsealed(sandbox)
    name = "sealedsecrets.bitnami.com"
    kind = yaml.safe_load(kubectl(sandbox, "get", "crd", name, "-o", "yaml"))
    kind["metadata"] = {"name": name}
    kind.pop("status", None)
    kubectl(sandbox, "delete", "crd", name)
    kubectl(sandbox, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(kind))
    kubectl(sandbox, "wait", "--for=condition=Established", "--timeout=180s", f"crd/{name}")
    restart_controller(sandbox)
    said = refused(sovereign, "preview")
    assert f"pulumi refresh -s {sovereign.name}, and then pulumi up -s {sovereign.name}" in said
    sovereign.run("refresh", "-s", sovereign.name, "--yes", "--skip-preview")
    sovereign.up()
    assert unsealed(sandbox) == before
    sovereign.up(expect_no_changes=True)


def test_a_plain_secret_in_the_way_is_refused_with_the_command_that_mends_it(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    before = unsealed(sandbox)
    stop_controller(sandbox)
    kubectl(sandbox, "delete", "secret", SECRET, "-n", NAMESPACE)
    kubectl(sandbox, "create", "secret", "generic", SECRET, "-n", NAMESPACE)
    sealing.start(sandbox.state, sandbox.tools)
    said = refused(sovereign, "preview")
    command = (
        f"kubectl annotate secret {SECRET} -n {NAMESPACE} sealedsecrets.bitnami.com/managed=true"
    )
    assert command in said
    kubectl(sandbox, *command.split()[1:])
    sovereign.up()
    assert unsealed(sandbox) == before


@pytest.fixture(scope="module")
def unpinned(sandbox: Sandbox, sovereign: Stack) -> Iterator[Stack]:
    """The Sovereign without a pinned certificate; afterwards with the sandbox's own key again.

    No `up` comes first: without a pin the same certificate is fetched (test_lifecycle.py).
    """
    restart_controller(sandbox)
    with sandbox.configured(sealing={"timeoutSeconds": 30}):
        yield sovereign
    restart_controller(sandbox)
    sovereign.up()


def test_a_renewed_key_needs_consent_and_restarts_nothing(
    sandbox: Sandbox, unpinned: Stack
) -> None:
    before, running = unsealed(sandbox), generations(sandbox)
    new = put_key(sandbox, "sealed-secrets-renewed")
    said = refused(unpinned, *UP)
    assert f"now: {new}" in said
    command = f"pulumi config set --path 'sealing.acceptedFingerprint' {new} -s {unpinned.name}"
    assert command in said
    assert "another certificate than before" in said

    blocks = runbook.commands("sealing-key")
    listed = runbook.run(unpinned, blocks["Print the fingerprints of the controller's keys"], {})
    assert listed.splitlines()[-1] == f"sealed-secrets-renewed {new}"
    variables = {"STACK": unpinned.name, "FINGERPRINT": new}
    done = runbook.run(unpinned, blocks["Renewed"], variables)
    previewed, _, _ = done.partition("\nUpdating (")
    for name in ("cache-server", "harbor-release", "database-cluster"):
        assert name not in previewed, previewed
    assert "replace" not in previewed
    assert (unsealed(sandbox), generations(sandbox)) == (before, running)
    unpinned.up(expect_no_changes=True)


def test_after_a_lost_key_all_is_sealed_again_by_the_runbook(
    sandbox: Sandbox, unpinned: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, running = unsealed(sandbox), generations(sandbox)
    # The sandbox would bring its own key back with each start of the controller.
    monkeypatch.setattr(sealing, "_bring_own_key", lambda *_: None)
    labelled = "sealedsecrets.bitnami.com/sealed-secrets-key"
    kubectl(sandbox, "delete", "secret", "-n", "kube-system", "-l", labelled)
    new = put_key(sandbox, "sealed-secrets-new")
    kubectl(sandbox, "delete", "secret", SECRET, "-n", NAMESPACE)
    assert "another certificate than before" in refused(unpinned, "preview")
    assert SECRET not in unsealed(sandbox), "its key is lost"
    block = runbook.commands("sealing-key")["Lost"]
    runbook.run(unpinned, block, {"STACK": unpinned.name, "FINGERPRINT": new})
    assert (unsealed(sandbox), generations(sandbox)) == (before, running)
    unpinned.up(expect_no_changes=True)
