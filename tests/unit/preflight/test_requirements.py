"""Before anything is created: the right cluster, and one that has what is needed."""

from __future__ import annotations

from typing import Any

import pytest

from components.preflight import identity, requirements
from components.settings.cluster import ClusterSettings
from components.settings.model import Settings
from tests.support import builders
from tests.support.builders import BUCKET, FILESYSTEM, settings

UID = "11111111-2222-3333-4444-555555555555"


SHARED = {
    "mode": "shared",
    "host": "pg.db",
    "username": "harbor",
    "secret": {"namespace": "db", "name": "pg-app"},
}


def cluster_with(objects: dict[str, Any], name: str = "omantel") -> Any:
    """In place of a ClusterClient."""
    return builders.Cluster(objects, cluster_name=name)


def paths(stack: Settings) -> set[str]:
    return {requirement.path for requirement in requirements.requirements(stack)}


def test_a_cluster_that_has_everything_is_accepted() -> None:
    stack = settings(storage=BUCKET)
    client = cluster_with({path: {} for path in paths(stack)})
    assert requirements.problems(client, stack) == []


def test_all_that_is_missing_is_named_at_once_with_how_to_get_it() -> None:
    stack = settings(storage=BUCKET)
    lines = requirements.problems(cluster_with({}), stack)
    text = "\n".join(lines)
    assert len(lines) == len(requirements.requirements(stack))
    for part in ("bitnami.com/v1alpha1", "postgresql.cnpg.io/v1", "flux-system", "fix: install"):
        assert part in text


@pytest.mark.parametrize(
    ("section", "path", "is_needed"),
    [
        ({}, "/apis/postgresql.cnpg.io/v1", True),
        ({"database": SHARED}, "/apis/postgresql.cnpg.io/v1", False),
        ({"storage": BUCKET}, "/api/v1/namespaces/flux-system", True),
        ({"storage": FILESYSTEM}, "/api/v1/namespaces/flux-system", False),
        (
            {"sealing": {"controllerNamespace": "sealing", "controllerName": "ss"}},
            "/api/v1/namespaces/sealing/services/ss",
            True,
        ),
    ],
)
def test_only_what_the_settings_use_is_required(
    section: dict[str, Any], path: str, is_needed: bool
) -> None:
    assert (path in paths(settings(**section))) is is_needed


@pytest.mark.parametrize(
    ("cluster", "reached", "uid", "word"),
    [
        (ClusterSettings(name="omantel"), "omantel", UID, None),
        (ClusterSettings(name="omantel", uid=UID), "omantel", UID, None),
        (ClusterSettings(), "whatever", UID, None),
        (ClusterSettings(name="omantel"), "otech", UID, "reaches cluster otech"),
        (
            ClusterSettings(name="omantel", uid=UID),
            "omantel",
            UID[::-1],
            "another cluster of the same",
        ),
    ],
)
def test_a_stack_touches_only_the_cluster_that_it_names(
    cluster: ClusterSettings, reached: str, uid: str, word: str | None
) -> None:
    system = {"/api/v1/namespaces/kube-system": {"metadata": {"uid": uid}}}
    problems = identity.problems(cluster_with(system, reached), cluster)
    assert len(problems) == (0 if word is None else 1)
    assert word is None or word in problems[0]
