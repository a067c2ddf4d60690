"""Harbor comes into a namespace in which others live, with its database in a Cluster of theirs, and
goes again. Whatever they have there is the same object before and after, byte for byte.

The estate has a namespace and a backend of its own. Its CloudNativePG is the sandbox's stand-in.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from engine import scratch
from engine.stack import Stack
from sandbox import cluster
from sandbox.state import STACK
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import objects, without_sovereign

NAMESPACE, CLUSTER = "gitlab", "gitlab-postgres"
KINDS = (
    "pods,services,secrets,serviceaccounts,configmaps,networkpolicies,deployments,limitranges,"
    "resourcequotas,clusters.postgresql.cnpg.io,poolers.postgresql.cnpg.io"
)
OF_THE_OPERATOR = "databases.postgresql.cnpg.io,databaseroles.postgresql.cnpg.io"


def theirs() -> list[dict[str, Any]]:
    """What GitLab has in the namespace."""

    def of(kind: str, version: str, name: str, **rest: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": "gitlab"}}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}

    pod = {"containers": [{"name": "web", "image": "gitlab.example.com/web:17"}]}
    labels = {"matchLabels": {"app": "gitlab"}}
    template = {"metadata": {"labels": {"app": "gitlab"}}, "spec": pod}
    return [
        of("Pod", "v1", "gitlab-toolbox", spec=pod),
        of("Deployment", "apps/v1", "gitlab-web", spec={"selector": labels, "template": template}),
        of(
            "Service",
            "v1",
            "gitlab",
            spec={"selector": {"app": "gitlab"}, "ports": [{"name": "http", "port": 80}]},
        ),
        of("Secret", "v1", "gitlab-secrets", stringData={"key": "of gitlab"}),
        of("ServiceAccount", "v1", "gitlab"),
        of("ConfigMap", "v1", "gitlab", data={"host": "gitlab.example.com"}),
        of(
            "NetworkPolicy",
            "networking.k8s.io/v1",
            "deny-all",
            spec={"podSelector": {}, "policyTypes": ["Ingress"]},
        ),
        of(
            "LimitRange",
            "v1",
            "gitlab",
            spec={"limits": [{"type": "Container", "default": {"memory": "2Gi"}}]},
        ),
        of("ResourceQuota", "v1", "gitlab", spec={"hard": {"count/cronjobs.batch": "7"}}),
        of("Cluster", "postgresql.cnpg.io/v1", CLUSTER, spec={"instances": 2}),
        of(
            "Pooler",
            "postgresql.cnpg.io/v1",
            "gitlab-postgres-pooler",
            spec={"cluster": {"name": CLUSTER}, "pgbouncer": {"poolMode": "transaction"}},
        ),
    ]


@dataclass(frozen=True)
class Estate:
    sandbox: Sandbox
    stack: Stack

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        sandbox = self.sandbox
        return cluster.kubectl(sandbox.state, sandbox.tools, *arguments, stdin=stdin)

    def of_others(self) -> dict[str, Any]:
        """The namespace itself, and all objects in it that have GitLab's label or are the
        cluster's own, as the API server has them."""
        space = json.loads(self.kubectl("get", "namespace", NAMESPACE, "-o", "json"))
        known = {f"Namespace/{NAMESPACE}": space}
        for item in objects(self.sandbox, KINDS, NAMESPACE):
            name, labels = item["metadata"]["name"], item["metadata"].get("labels") or {}
            is_the_cluster_s = name in ("default", "kube-root-ca.crt")
            if labels.get("app") == "gitlab" or is_the_cluster_s:
                known[f"{item['kind']}/{name}"] = item
        return known

    def refused(self, **sections: Any) -> str:
        """The words with which a preview is refused."""
        with self.sandbox.configured(**sections):
            run = self.stack.run("preview", "-s", STACK, check=False)
        assert run.code != 0
        return " ".join(run.text.split())


HARBOR: dict[str, Any] = {"namespace": NAMESPACE, "sharedNamespace": True}
DATABASE: dict[str, Any] = {
    "mode": "shared",
    "create": {"cluster": CLUSTER, "namespace": NAMESPACE},
    "name": "harbor",
}


@pytest.fixture(scope="module")
def estate(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    folder = tmp_path_factory.mktemp("beside")
    backend = f"{(folder / 'backend').as_uri()}?metadata=skip"
    (folder / "backend").mkdir()
    own = dataclasses.replace(
        sandbox,
        project=scratch.project(folder / "project"),
        variables={**sandbox.variables, "PULUMI_BACKEND_URL": backend},
    )
    own.configure(
        storage={"kind": "filesystem", "size": "1Gi"},
        s3AccessKey=None,
        s3SecretKey=None,
        imagePolicy={"enabled": False},
        # The fake of Harbor's API is the Harbor of another namespace.
        registry={"enabled": False},
        harbor=HARBOR,
        database=DATABASE,
    )
    # The image policy of a Sovereign that other files left would refuse GitLab's images.
    with without_sovereign(sandbox):
        made = Estate(own, own.stack())
        made.kubectl("create", "namespace", NAMESPACE)
        made.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(theirs()))
        made.stack.ensure()
        yield made
        made.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def settled(estate: Estate) -> dict[str, Any]:
    """Once controllers have written what they write into new objects."""
    seen: list[dict[str, Any]] = [{}]

    def is_still() -> bool:
        seen.append(estate.of_others())
        return seen[-1] == seen[-2]

    assert wait_until(is_still, seconds=180, pause=3)
    return seen[-1]


def test_without_the_key_the_namespace_of_others_is_refused(estate: Estate) -> None:
    said = estate.refused(harbor={"namespace": NAMESPACE})
    assert f"harbor.namespace = {NAMESPACE}: the namespace exists" in said
    assert "pulumi config set --path 'harbor.sharedNamespace' true -s local" in said


def test_their_pooler_in_transaction_mode_is_refused(estate: Estate) -> None:
    said = estate.refused(database={**DATABASE, "host": "gitlab-postgres-pooler"})
    assert "a Pooler of CloudNativePG in transaction mode" in said
    assert "'database.host' gitlab-postgres-rw -s local" in said


def test_an_object_of_theirs_by_a_name_of_ours_is_refused(estate: Estate) -> None:
    estate.kubectl("create", "configmap", "harbor-core", "-n", NAMESPACE)
    try:
        said = estate.refused()
    finally:
        estate.kubectl("delete", "configmap", "harbor-core", "-n", NAMESPACE)
    assert "would lose them: ConfigMap harbor-core" in said


def test_their_database_by_the_name_of_ours_is_refused(estate: Estate) -> None:
    spec = {"name": "harbor", "owner": "gitlab", "cluster": {"name": CLUSTER}}
    metadata = {"name": "of-gitlab", "namespace": NAMESPACE}
    database = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Database", "metadata": metadata}
    estate.kubectl("create", "-f", "-", stdin=json.dumps({**database, "spec": spec}))
    try:
        said = estate.refused()
    finally:
        estate.kubectl("delete", "database.postgresql.cnpg.io", "of-gitlab", "-n", NAMESPACE)
    assert "it is not this Sovereign's: Database of-gitlab" in said


def test_up_and_destroy_leave_all_of_others_as_it_was(estate: Estate) -> None:
    before = settled(estate)
    own = {f"{item['kind']}/{item['metadata']['name']}" for item in theirs()}
    of_the_cluster = {f"Namespace/{NAMESPACE}", "ConfigMap/kube-root-ca.crt"}
    assert own | of_the_cluster <= set(before)
    estate.stack.up()
    assert objects(estate.sandbox, "deployments", NAMESPACE)
    made = {item["kind"]: item for item in objects(estate.sandbox, OF_THE_OPERATOR, NAMESPACE)}
    assert made["Database"]["spec"]["owner"] == made["DatabaseRole"]["spec"]["name"] == "harbor"
    assert estate.of_others() == before

    estate.stack.up(expect_no_changes=True)
    assert estate.of_others() == before

    estate.stack.run("destroy", "-s", STACK, "--yes", "--skip-preview")
    assert estate.of_others() == before
    left = objects(estate.sandbox, OF_THE_OPERATOR, NAMESPACE)
    assert [item["kind"] for item in left] == ["Database"]
    labels = [
        item["metadata"].get("labels") or {}
        for item in objects(
            estate.sandbox, "deployments,services,networkpolicies,configmaps", NAMESPACE
        )
    ]
    assert all("app.kubernetes.io/part-of" not in each for each in labels)
