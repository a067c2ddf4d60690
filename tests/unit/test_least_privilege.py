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
from policy.resource import RELEASE
from tests.support.builders import CACHES, Cluster
from tests.support.mocks import Engine, plain
from tests.support.monitoring import WIDE
from tests.support.project import ROOT
from tests.unit import test_program
from tests.unit.test_examples import EXAMPLES, sections
from tests.unit.test_program import BACKUP, CERTIFICATE_PATH, REQUIRE_POLICY, Program

FILE = ROOT / "docs/howto/deployer.yaml"
NAMESPACE = "harbor"
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
        [*asked, *NOT_REACHED],
        chart_kinds(),
        namespace=NAMESPACE,
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
                assert document["metadata"]["namespace"] == NAMESPACE


def test_every_role_is_bound_to_the_deployer(documents: list[dict[str, Any]]) -> None:
    def places(*kinds: str) -> list[str]:
        return [d["metadata"].get("namespace", "") for d in documents if d["kind"] in kinds]

    assert places("Role", "ClusterRole") == places("RoleBinding", "ClusterRoleBinding")


def test_the_certificate_is_read_through_one_service_alone() -> None:
    text = FILE.read_text()
    assert "services/proxy" in text
    assert CERTIFICATE_PATH.split("/services/")[1].split("/")[0] in text
