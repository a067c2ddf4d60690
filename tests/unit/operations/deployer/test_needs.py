"""The rights that are made from a stack's settings are those that the program needs, and no others.

The program runs here under mocks, with each optional section, and so do preflight and doctor; what
they write and read is compared with `make deployer-role`, both ways.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pulumi
import pytest

from components.image_policy.require_harbor import PolicyKind
from components.kubernetes.naming import RECORDED_METRICS
from components.preflight import beside
from components.settings.model import Settings
from operations.bundle import settings_of
from operations.deployer import needs
from operations.deployer.rights import Object, Rights
from tests.support.builders import Cluster
from tests.support.mocks import NAMESPACE, PROJECT, Engine
from tests.support.monitoring import WIDE
from tests.unit import test_program
from tests.unit.test_least_privilege import HA, images_of, objects_of
from tests.unit.test_program import (
    BACKUP,
    BESIDE_OTHERS,
    EXTERNAL,
    READY,
    SANDBOX,
    SECTION_OF,
    SHARED,
    STACKS,
    STORED,
    TENANT,
    VARIANTS,
    Program,
    config_of,
)

program = test_program.program

Right = tuple[str, str, str, str, str]
"""Namespace ("" for the cluster), API group, resource, name ("" for all), verb."""

ROBOTS = {
    "projects": {"apps": {}},
    "robots": {
        "puller": {
            "permissions": {"apps": ["pull"]},
            "pullSecret": {"namespaces": ["web"], "serviceAccounts": {"web": ["default"]}},
        }
    },
}
STORE_HERE = {"delivery": "external", "store": {"kind": "SecretStore", "name": "own"}}
INGRESS = {"kind": "ingress", "className": "nginx"}
BEHIND = {
    "networkPolicies": {
        "apiServer": {"cidr": "10.20.0.0/24", "port": 6443},
        "gateway": {"kind": "namespace", "namespace": "ingress-nginx"},
    }
}
UID = "9d1c6b0e-0000-4000-8000-000000000000"
LIKE_OTHERS = {
    "a locked bucket",
    "aws without a key",
    "a key file",
    "an identity for a key",
    "shared cache, filesystem",
    "many replicas",
}
"""Variants of what is no matter of the cluster, or of what other variants have."""
OF_THE_CLUSTER = {
    "/api/v1/namespaces/kube-system": {"metadata": {"uid": UID}},
    **{
        f"/apis/external-secrets.io/v1/namespaces/{each}/secretstores/own": READY
        for each in ("harbor", "flux-system", "web")
    },
}
"""With an object that other tests do not ask for: a run that was kept would ask for nothing."""
SECTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, sections) for name, sections in VARIANTS if name not in LIKE_OTHERS),
    *((f"images by {kind}", images_of(kind)) for kind in get_args(PolicyKind)),
    (
        "signatures that refuse",
        {
            "registry": images_of("ValidatingPolicy")["registry"],
            "imagePolicy": {
                **images_of("ValidatingPolicy")["imagePolicy"],
                "enforcement": "Enforce",
                "signatures": {
                    **images_of("ValidatingPolicy")["imagePolicy"]["signatures"],
                    "action": "Enforce",
                    "acceptRefusals": True,
                },
            },
        },
    ),
    ("no image policy", {"imagePolicy": {"enabled": False}}),
    ("disruption budgets", HA),
    ("a namespace that goes with the stack", {"retainData": False, "protect": False}),
    ("robots in other namespaces", {"registry": ROBOTS}),
    ("robots from the store", {**EXTERNAL, "registry": ROBOTS}),
    ("a store in each namespace", {**EXTERNAL, "delivered": STORE_HERE, "registry": ROBOTS}),
    ("a registry that is not configured", {"registry": {"enabled": False}}),
    ("an address of Harbor's API", {"registry": {"api": {"url": "https://harbor.example.com"}}}),
    ("a tenant from the store", {**EXTERNAL, "database": TENANT}),
    ("others around a dedicated database", {**BESIDE_OTHERS, **BACKUP, **WIDE}),
    ("others and the store", {**BESIDE_OTHERS, **EXTERNAL, **STORED}),
    ("others and shared services", {**BESIDE_OTHERS, **SHARED}),
    ("an ingress", {"exposure": {**INGRESS, "clusterIssuer": "letsencrypt"}, **BEHIND}),
    ("an ingress of an issuer", {"exposure": {**INGRESS, "issuer": {"name": "own"}}, **BEHIND}),
    ("an ingress with a Secret", {"exposure": {**INGRESS, "tlsSecret": "registry-tls"}, **BEHIND}),
    ("no network policies", {"networkPolicies": {"enabled": False}}),
    ("no scanner", {"trivy": {"enabled": False}}),
    ("a known cluster", {**BACKUP, "cluster": {"name": "otech", "uid": UID}}),
    (
        "backups without Velero",
        {**BACKUP, "backup": {**BACKUP["backup"], "velero": {"enabled": False}}},
    ),
]


def settings_with(stack: str, sections: dict[str, Any]) -> Settings:
    changed = {f"{PROJECT}:{SECTION_OF.get(key, key)}": value for key, value in sections.items()}
    config = {**config_of(stack), **changed}
    parts = {key.partition(":")[2]: value for key, value in config.items()}
    project = {key.partition(":")[2] for key in config if key.startswith(f"{PROJECT}:")}
    return Settings.model_validate(
        {key: value for key, value in parts.items() if key in project and value != {}}
    )


def flat(rights: Rights) -> set[Right]:
    return {
        (role["metadata"].get("namespace", ""), group, resource, name, verb)
        for role in rights.roles()
        for rule in role.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def of_chart(settings: Settings) -> Iterator[Object]:
    """What Helm writes; tests/render/test_beside.py compares the list with the real chart."""
    harbor = settings.harbor.namespace
    for kind, name in beside._of_chart(settings):  # pyright: ignore[reportPrivateUsage]
        if not name.startswith("data-"):  # of a controller's
            group = beside.path(kind, harbor, name).split("/")[2]
            is_core = beside.path(kind, harbor, name).startswith("/api/")
            yield Object(group="" if is_core else group, kind=kind, namespace=harbor, name=name)


def needed(
    program: Program, stack: str, settings: Settings, sections: dict[str, Any]
) -> set[Right]:
    """What a run of the program writes and reads."""
    asked: list[str] = []
    get, text = Cluster.get, Cluster.text

    def recorded_get(self: Cluster, path: str) -> Any:
        asked.append(path)
        return get(self, path)

    def recorded_text(self: Cluster, path: str) -> str:
        asked.append(path)
        return text(self, path)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Cluster, "get", recorded_get)
        monkeypatch.setattr(Cluster, "text", recorded_text)
        engine = program.run(stack, **sections, objects=OF_THE_CLUSTER)
        with contextlib.suppress(pulumi.RunError, AssertionError):
            program.refusal(stack, is_equipped=False, **sections)
    rights = Rights(harbor=settings.harbor.namespace, is_shared=settings.harbor.shared_namespace)
    for each in (*written(engine), *of_chart(settings), *by_hand(settings)):
        rights.write(each)
    rights.reach_harbor(by_forward=settings.registry.api.url is None)
    for path in (*asked, *needs.later(settings), *examined(settings, stack)):
        rights.read(path)
    for document in needs.drill(settings):
        if document["kind"] != "Namespace":
            rights.grant(document)
    return flat(rights)


def written(engine: Engine) -> Iterator[Object]:
    for each in objects_of(engine):
        stays = each.kind != "Namespace" or engine.one(NAMESPACE).retain
        yield replace(each, retain=stays)


def by_hand(settings: Settings) -> Iterator[Object]:
    """Besides: the figures that the doctor records, and the names of Secrets that a person may
    give. Where others live they are changed by name."""
    harbor = settings.harbor.namespace
    yield Object(group="", kind="ConfigMap", namespace=harbor, name=RECORDED_METRICS)
    if settings.harbor.shared_namespace:
        for kind, name in beside.of_secret(settings, "harbor-given-secret-key"):
            group = beside.path(kind, harbor, name).split("/")[2]
            is_core = beside.path(kind, harbor, name).startswith("/api/")
            yield Object(group="" if is_core else group, kind=kind, namespace=harbor, name=name)


def examined(settings: Settings, stack: str) -> list[str]:
    paths: list[str] = []
    for answer in (None, {}):
        cluster = needs.Recorded(settings.cluster.name, answer)
        needs._examine(cluster, settings, stack)  # pyright: ignore[reportPrivateUsage]
        paths += cluster.paths
    return paths


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_s_rights_are_those_that_it_uses(
    stack: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SANDBOX.items():
        monkeypatch.setenv(f"SANDBOX_{name}", value)
    settings = settings_of(stack)
    granted = flat(needs.rights(settings, stack))
    used = needed(program, stack, settings, {})
    assert (sorted(used - granted), sorted(granted - used)) == ([], [])


@pytest.mark.parametrize(
    "sections", [sections for _, sections in SECTIONS], ids=[name for name, _ in SECTIONS]
)
def test_the_rights_with_a_section_are_those_that_it_uses(
    sections: dict[str, Any], program: Program
) -> None:
    settings = settings_with("otech", sections)
    granted = flat(needs.rights(settings, "otech"))
    used = needed(program, "otech", settings, sections)
    assert (sorted(used - granted), sorted(granted - used)) == ([], [])
