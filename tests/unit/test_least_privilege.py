"""docs/howto/deployer.yaml: the rights that the program needs in the cluster, and no others.

After an intended change: UPDATE_GOLDEN=1 .venv/bin/pytest tests/unit/test_least_privilege.py
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any, get_args

import pulumi
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from checks import deployer_role
from components.image_policy.require_harbor import PolicyKind
from components.registry.errors import HarborDown
from operations.doctor.sources import Sovereign, sources
from operations.drill_objects import PREPARED, RUN_ANNOTATION
from policy.resource import RELEASE
from tests.support import builders
from tests.support.builders import CACHES, Cluster
from tests.support.mocks import Engine, plain
from tests.support.monitoring import WIDE
from tests.support.project import ROOT
from tests.unit import test_program
from tests.unit.operations.test_drill_rights import Call, calls, is_allowed  # noqa: F401
from tests.unit.operations.test_restore_drill import registry, world  # noqa: F401
from tests.unit.test_examples import EXAMPLES, sections
from tests.unit.test_program import BACKUP, CERTIFICATE_PATH, REQUIRE_POLICY, Program

FILE = ROOT / "docs/howto/deployer.yaml"
DRILL_FILE = ROOT / "docs/howto/restore-drill.yaml"
NAMESPACE = "harbor"
DRILL_NAMESPACE = "harbor-drill"
OF_ENGINE = {"listing", "deployment", "history"}
"""Sources of the doctor that ask the backend, not the cluster."""
program = test_program.program

PUBLIC_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def images_of(kind: str) -> dict[str, Any]:
    """The image policies, all of them."""
    signatures = {"projects": ["platform"], "publicKey": PUBLIC_KEY}
    policies = {"kind": kind, "rewrite": {"enabled": True}, "signatures": signatures}
    return {"imagePolicy": policies, "registry": CACHES}


HA = {"profile": "ha"}
"""With disruption budgets."""
AUDIT = {"spec": {"validationActions": ["Audit"]}}
OWN = "labelSelector=app.kubernetes.io%2Fpart-of%3Dsovereign-harbor"
NOT_REACHED = (
    # Where the stack's file gives cluster.uid.
    "/api/v1/namespaces/kube-system",
    # Whether a claim may grow, and which pods a narrower policy would refuse.
    "/apis/storage.k8s.io/v1/storageclasses/standard",
    "/api/v1/pods?limit=500",
    "/api/v1/namespaces/harbor/persistentvolumeclaims/data",
    # When the last backup ended, where an upgrade waits for a fresh one.
    "/apis/postgresql.cnpg.io/v1/namespaces/harbor/backups",
    # Whether the volumes of a database are gone that a restore replaces.
    "/api/v1/namespaces/harbor/persistentvolumeclaims",
)
"""Paths that the program reads only in a cluster with a Harbor in it."""


def objects_of(engine: Engine) -> Iterator[deployer_role.Object]:
    for resource in engine.resources:
        match = re.fullmatch(r"kubernetes:(?:([^/:]+)/)?[^/:]+:(\w+)", resource.typ)
        if match is None or resource.typ == RELEASE:
            continue
        inputs = plain(resource.inputs)
        metadata = inputs.get("metadata") or {}
        yield deployer_role.Object(
            group="" if match[1] == "core" else match[1],
            kind=match[2],
            namespace=str(metadata.get("namespace") or ""),
            name=str(metadata.get("name") or ""),
        )


class Silent:
    """A Harbor that does not answer: how it is reached, the program's own runs show."""

    def send(self, method: str, path: str, *_: Any, **__: Any) -> Any:
        raise HarborDown(f"{method} {path}", "down")

    def secret(self, name: str, key: str) -> None:
        return None

    def close(self) -> None:
        pass


def asked_by_the_doctor() -> list[str]:
    """Paths of the cluster that the doctor reads, for a stack with all that it looks at."""
    settings = builders.settings(
        database={"mode": "dedicated"},
        backup=builders.BACKUP,
        imagePolicy={"enabled": True},
        registry={"projects": {"apps": {}}},
    )
    sealed = {"items": [{"metadata": {"name": "harbor-minted-admin-password"}}]}
    primary = {"status": {"currentPrimary": "harbor-pg-1"}}
    cluster = Cluster(
        objects={
            "/apis/postgresql.cnpg.io/v1/namespaces/harbor/clusters/harbor-pg": primary,
            f"/apis/bitnami.com/v1alpha1/namespaces/harbor/sealedsecrets?{OWN}": sealed,
        }
    )
    client: Any = cluster
    connection: Any = Silent()
    of = Sovereign(
        stack="omantel", settings=settings, environment={}, client=client, connection=connection
    )
    asked: list[str] = []
    text = cluster.text

    def recorded(path: str) -> str:
        asked.append(path)
        return text(path)

    client.text = recorded
    for name, source in sources(of).items():
        if name not in OF_ENGINE:
            with contextlib.suppress(Exception):  # most of it is not there
                source()
    return [*cluster.asked, *asked]


def chart_kinds() -> set[tuple[str, str]]:
    """The kinds that the chart's templates name."""
    folder = ROOT / "offline/harbor-chart/templates"
    text = "".join(file.read_text() for file in (*folder.glob("*.yaml"), *folder.glob("*.tpl")))
    named = re.findall(r"apiVersion: (\S+)\nkind: (\w+)", text)
    return {(version.rpartition("/")[0], kind) for version, kind in named}


@pytest.fixture(scope="module")
def documents(program: Program) -> Iterator[list[dict[str, Any]]]:
    """The manifests that the program's runs make."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield made(program, monkeypatch)


def made(program: Program, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    asked: set[str] = set()
    get, text = Cluster.get, Cluster.text

    def recorded_get(self: Cluster, path: str) -> Any:
        asked.add(path)
        return get(self, path)

    def recorded_text(self: Cluster, path: str) -> str:
        asked.add(path)
        return text(self, path)

    monkeypatch.setattr(Cluster, "get", recorded_get)
    monkeypatch.setattr(Cluster, "text", recorded_text)
    examples = [sections(file.read_text()) for file in EXAMPLES]
    # `cluster`, `fqdn` and the services stay those of the stack that runs.
    kept = [
        {
            **{key: each[key] for key in ("exposure", "networkPolicies") if key in each},
            "database": {"mode": "dedicated"},
        }
        for each in examples
        if "apiServer" in each.get("networkPolicies", {})
    ]
    refused = {"imagePolicy": {"enforcement": "Enforce"}}
    with contextlib.suppress(pulumi.RunError):  # for want of reports, which it asked for
        program.run("otech", **refused, objects={REQUIRE_POLICY: AUDIT})
    kept.append(BACKUP)
    images = [images_of(kind) for kind in get_args(PolicyKind)]
    # Without a namespace of Grafana's own, in which few estates want a Role.
    monitoring = {**WIDE["monitoring"], "dashboardNamespace": None}
    watched = {"metrics": WIDE["metrics"], "monitoring": monitoring}
    variants = (*images, *kept, watched, HA)
    runs = [("local", {}), ("omantel", {}), *(("otech", each) for each in variants)]
    types: set[deployer_role.Object] = set()
    for index, (stack, changed) in enumerate(runs):
        # A run that was kept would ask for nothing: another label is another run.
        engine = program.run(stack, **changed, objects={f"/run/{index}": {}})
        types |= set(objects_of(engine))
    written = deployer_role.manifests(
        types,
        [*asked, *NOT_REACHED, *asked_by_the_doctor()],
        chart_kinds(),
        namespace=NAMESPACE,
        drill=yaml.safe_load_all(DRILL_FILE.read_text()),
    )
    if os.environ.get("UPDATE_GOLDEN"):
        FILE.write_text(written)
    assert written == FILE.read_text(), "UPDATE_GOLDEN=1 if this is intended"
    return list(yaml.safe_load_all(written))


def test_the_rights_are_those_that_the_program_uses(documents: list[dict[str, Any]]) -> None:
    rules = [rule for document in documents for rule in document.get("rules", [])]
    assert rules
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_secrets_are_read_in_the_sovereign_s_namespaces_only(
    documents: list[dict[str, Any]],
) -> None:
    for document in documents:
        for rule in document.get("rules", []):
            if "secrets" in rule["resources"] and "resourceNames" not in rule:
                assert document["kind"] == "Role"
                assert document["metadata"]["namespace"] in (NAMESPACE, DRILL_NAMESPACE)


def is_granted(documents: list[dict[str, Any]], call: Call) -> bool:
    """Whether a Role of the call's namespace, or the ClusterRole, allows it."""
    return any(
        is_allowed(call, rule)
        for document in documents
        if document["kind"] == "ClusterRole"
        or (document["kind"] == "Role" and document["metadata"]["namespace"] == call[0])
        for rule in document["rules"]
    )


def test_the_deployer_may_drill_in_the_namespace_that_is_made_with_the_file(
    documents: list[dict[str, Any]],
    calls: set[Call],  # noqa: F811
) -> None:
    assert [call for call in sorted(calls) if not is_granted(documents, call)] == []
    assert len(calls) > 15
    namespaces = {d["metadata"]["name"]: d for d in documents if d["kind"] == "Namespace"}
    assert namespaces[DRILL_NAMESPACE]["metadata"]["annotations"] == {RUN_ANNOTATION: PREPARED}
    assert not is_granted(documents, ("", "", "namespaces", "", "create"))
    assert not is_granted(documents, (NAMESPACE, "", "pods/exec", "", "create"))


@pytest.mark.parametrize(
    "call",
    [
        (NAMESPACE, "", "pods/proxy", "harbor-pg-1:9187", "get"),
        (NAMESPACE, "bitnami.com", "sealedsecrets", "", "list"),
        ("flux-system", "bitnami.com", "sealedsecrets", "", "list"),
        ("", "wgpolicyk8s.io", "policyreports", "", "list"),
        (NAMESPACE, "", "configmaps", "", "create"),
        (NAMESPACE, "", "configmaps", "harbor-recorded-metrics", "patch"),
        ("velero", "velero.io", "schedules", "harbor", "get"),
    ],
)
def test_the_deployer_may_examine_and_record(documents: list[dict[str, Any]], call: Call) -> None:
    """The doctor with RECORD=1."""
    assert is_granted(documents, call)


def test_every_role_is_bound_to_the_deployer(documents: list[dict[str, Any]]) -> None:
    def places(*kinds: str) -> list[str]:
        return [d["metadata"].get("namespace", "") for d in documents if d["kind"] in kinds]

    assert places("Role", "ClusterRole") == places("RoleBinding", "ClusterRoleBinding")


def test_the_certificate_is_read_through_one_service_alone() -> None:
    text = FILE.read_text()
    assert "services/proxy" in text
    assert CERTIFICATE_PATH.split("/services/")[1].split("/")[0] in text
