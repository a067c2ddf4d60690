"""The program's requests to a real API server, as a ServiceAccount with few rights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.kubernetes import kubectl
from components.kubernetes.client import ClusterClient, fetch_certificate
from components.kubernetes.unreachable import ClusterUnreachable
from sandbox import cluster
from tests.sandbox.conftest import Sandbox

MAPS = "/api/v1/namespaces/default/configmaps"
RIGHTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: default}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, create, patch, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer, namespace: default}]
"""


@pytest.fixture
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PATH", sandbox.variables["PATH"])
    monkeypatch.setenv("KUBECONFIG", sandbox.variables["KUBECONFIG"])
    yield
    kubectl.close_all()


@pytest.fixture
def deployer(
    sandbox: Sandbox, environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ClusterClient:
    """A client whose token a credential plugin gives, from the second file of KUBECONFIG."""
    cluster.kubectl(sandbox.state, sandbox.tools, "apply", "-f", "-", stdin=RIGHTS)
    token = cluster.kubectl(sandbox.state, sandbox.tools, "create", "token", "deployer")
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token.strip()},
    }
    (tmp_path / "credential.json").write_text(json.dumps(credential))
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "cat",
            "args": [str(tmp_path / "credential.json")],
            "interactiveMode": "Never",
        }
    }
    made = yaml.safe_load(sandbox.state.kubeconfig.read_text())
    entry = made["clusters"][0]["name"]
    second = {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": "deployer", "context": {"cluster": entry, "user": "deployer"}}],
        "users": [{"name": "deployer", "user": user}],
    }
    (tmp_path / "second").write_text(yaml.safe_dump(second))
    monkeypatch.setenv("KUBECONFIG", f"{sandbox.state.kubeconfig}:{tmp_path / 'second'}")
    client = ClusterClient("deployer")
    assert client.cluster_name == entry
    return client


def test_an_object_is_made_read_changed_and_deleted(deployer: ClusterClient) -> None:
    one = f"{MAPS}/one"
    deployer.delete(one)
    assert deployer.get(one) is None
    made = {"metadata": {"name": "one"}, "data": {"a": "1", "b": "2"}}
    assert deployer.post(MAPS, made)["data"] == {"a": "1", "b": "2"}
    with pytest.raises(ClusterUnreachable, match="already exists") as refused:
        deployer.post(MAPS, made)
    assert refused.value.status == 409
    assert deployer.patch(one, {"data": {"a": None, "c": "3"}})["data"] == {"b": "2", "c": "3"}
    assert deployer.get(one)["data"] == {"b": "2", "c": "3"}
    deployer.delete(one)
    with pytest.raises(ClusterUnreachable, match="not found") as missing:
        deployer.patch(one, {"data": {}})
    assert missing.value.status == 404


def test_what_the_account_may_not_see_is_a_refusal_and_not_absent(deployer: ClusterClient) -> None:
    with pytest.raises(ClusterUnreachable, match="system:serviceaccount:default:deployer") as no:
        deployer.get("/api/v1/namespaces/default/secrets/one")
    assert no.value.status == 403


def test_a_group_that_is_not_served_is_absent(environment: None) -> None:
    client = ClusterClient(None)
    assert client.get("/apis/no.such.group/v1") is None
    assert client.get("/apis/apps/v1")["kind"] == "APIResourceList"


def test_the_sealing_certificate_comes_through_the_service(environment: None) -> None:
    name = "sealed-secrets-controller"
    pem = fetch_certificate(ClusterClient(None), namespace="kube-system", name=name)
    assert pem.startswith("-----BEGIN CERTIFICATE-----")
