"""Harbor is configured through the API server: kubectl's port-forward to the pod of core."""

from __future__ import annotations

import pytest

from components.kubernetes import kubectl
from components.registry.plugin.provider import RegistryProvider
from engine.stack import Stack
from sandbox import cluster
from sandbox.state import CONTEXT
from tests.sandbox.conftest import Sandbox

CONFIG = {
    "namespace": "harbor",
    "context": CONTEXT,
    "adminSecret": "harbor-minted-admin-password",
    "account": "sovereign",
    "accountSecret": "registry-account",
}


def test_the_first_objects_need_nothing_but_the_kubeconfig(
    sandbox: Sandbox, sovereign: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    del sovereign
    for name in ("KUBECONFIG", "PATH"):
        monkeypatch.setenv(name, sandbox.variables[name])
    secret = ("create", "secret", "generic", "registry-account", "--from-literal=password=Acc12345")
    cluster.kubectl(sandbox.state, sandbox.tools, *secret, "-n", "harbor")
    warnings: list[str] = []
    provider = RegistryProvider(lambda _urn, text: warnings.append(text))
    provider.set_up(CONFIG)
    try:
        account = {"name": "sovereign", "revision": "1"}
        assert provider.create("urn", "Account", account, preview=False)[1]["ready"]
        project = {"name": "reached", "scanOnPush": True}
        id_, outputs = provider.create("urn", "Project", project, preview=False)
        assert (id_, outputs["scanOnPush"]) == ("reached", True)
        provider.delete("urn", "Project", outputs)
        provider.delete("urn", "Account", {"name": "sovereign"})
    finally:
        provider.close()
        kubectl.close_all()
        gone = ("delete", "secret", "registry-account", "-n", "harbor")
        cluster.kubectl(sandbox.state, sandbox.tools, *gone)
    assert warnings == []
