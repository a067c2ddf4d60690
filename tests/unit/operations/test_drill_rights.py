"""docs/howto/restore-drill.yaml: the rights that a scheduled drill needs, and no others."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from operations.drill_objects import PREPARED, RUN_ANNOTATION
from operations.restore_drill import MINUTES
from tests.support.builders import BACKUP, settings
from tests.support.project import ROOT
from tests.unit.operations.test_restore_drill import (
    DRILL,
    World,
    never_ready,
    registry,  # noqa: F401
    world,  # noqa: F401
)

FILE = ROOT / "docs/howto/restore-drill.yaml"
VERBS = {"POST": "create", "APPLY": "patch", "DELETE": "delete"}
Call = tuple[str, str, str, str, str]
"""Namespace ("" for the cluster), API group, resource, name ("" for a collection), verb."""
STREAMS: list[Call] = [
    ("harbor-drill", "", "pods", "harbor-pg-drill-1", "get"),
    ("harbor-drill", "", "pods/exec", "harbor-pg-drill-1", "create"),
    ("harbor", "", "pods", "harbor-registry-1", "get"),
    ("harbor", "", "pods/portforward", "harbor-registry-1", "create"),
    # Server-side apply of an object that does not exist yet.
    ("harbor", "", "configmaps", "harbor-recorded-metrics", "create"),
]
"""What kubectl and the API server ask besides the drill's own calls."""


def documents() -> list[dict[str, Any]]:
    return [*yaml.safe_load_all(FILE.read_text())]


def of_call(call: str) -> Call:
    """What the API server authorises for a call of the drill's."""
    method, _, path = call.partition(" ")
    path = path.partition("?")[0]
    match = re.fullmatch(
        r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
        r"(?:/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?)?",
        path,
    )
    assert match is not None, path
    group, namespace, resource, name = (match[part] or "" for part in match.re.groupindex)
    if not resource:  # a namespace itself
        resource, name, namespace = "namespaces", namespace, ""
    verb = VERBS.get(method) or ("get" if name else "list")
    return namespace, group, resource, name, verb


def is_allowed(call: Call, rule: dict[str, Any]) -> bool:
    _, group, resource, name, verb = call
    return (
        group in rule["apiGroups"]
        and resource in rule["resources"]
        and verb in rule["verbs"]
        and name in rule.get("resourceNames", [name])
    )


def rules_of(namespace: str) -> list[dict[str, Any]]:
    kind = "Role" if namespace else "ClusterRole"
    return [
        rule
        for each in documents()
        if each["kind"] == kind and each["metadata"].get("namespace", "") == namespace
        for rule in each["rules"]
    ]


@pytest.fixture
def calls(world: World) -> set[Call]:  # noqa: F811
    """All that drills ask for in a prepared namespace: one that passes, one that does not."""
    network = {"cni": "cilium", "gateway": {"kind": "cilium"}}
    cluster = {"name": "omantel", "uid": "9d1c6b0e-0000-4000-8000-000000000000"}
    world.settings = settings(backup=BACKUP, networkPolicies=network, cluster=cluster)
    world.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": cluster["uid"]}}
    world.cluster.objects[DRILL] = {"metadata": {"annotations": {RUN_ANNOTATION: PREPARED}}}
    claim = {"spec": {"volumeName": "pv-1"}}
    world.cluster.objects[f"{DRILL}/persistentvolumeclaims"] = {"items": [claim]}
    assert world.drill() == 0
    never_ready(world)
    world.drill(minutes=0)
    return {*map(of_call, world.cluster.calls), *STREAMS}


def test_a_scheduled_drill_has_the_rights_it_needs(calls: set[Call]) -> None:
    refused = [
        call for call in sorted(calls) if not any(is_allowed(call, r) for r in rules_of(call[0]))
    ]
    assert refused == []


def test_a_scheduled_drill_has_no_other_rights(calls: set[Call]) -> None:
    for namespace in ("", "harbor", "harbor-drill"):
        here = [call for call in calls if call[0] == namespace]
        for rule in rules_of(namespace):
            single = [
                {**rule, "verbs": [verb], "resources": [resource], "resourceNames": names}
                for verb in rule["verbs"]
                for resource in rule["resources"]
                for names in ([[name] for name in rule.get("resourceNames", [])] or [None])
            ]
            for each in single:
                if each["resourceNames"] is None:
                    del each["resourceNames"]
                assert any(is_allowed(call, each) for call in here), each


def test_the_namespace_is_prepared_and_the_job_outlives_its_drill() -> None:
    kinds = {each["kind"]: each for each in documents()}
    assert kinds["Namespace"]["metadata"]["annotations"] == {RUN_ANNOTATION: PREPARED}
    job = kinds["CronJob"]["spec"]["jobTemplate"]["spec"]
    assert job["activeDeadlineSeconds"] > MINUTES * 60
    (container,) = job["template"]["spec"]["containers"]
    assert container["command"][-1] == str(MINUTES)
