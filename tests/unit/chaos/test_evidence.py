"""What is lost, changed or orphaned after a fault is told, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chaos.evidence import Evidence, left_behind, of_a_first_up, problems

BEFORE = Evidence(
    secrets={"harbor/a": "1", "harbor/b": "2"},
    own=frozenset({"Secret harbor/a", "Namespace harbor"}),
    known=frozenset({"Secret harbor/a", "Namespace harbor"}),
    objects=frozenset({"Secret harbor/a", "Deployment harbor/harbor-core"}),
    harbor={"projects apps": "", "robots ci": "digest"},
    blobs={"local-harbor": "", "local-harbor/blob": "etag 1"},
    pending=0,
)


def test_nothing_is_told_of_what_is_as_before() -> None:
    assert problems(BEFORE, BEFORE) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"secrets": {"harbor/a": "1", "harbor/b": "3"}}, "Secret harbor/b changed"),
        ({"secrets": {"harbor/a": "1"}}, "Secret harbor/b is lost"),
        ({"secrets": {**BEFORE.secrets, "harbor/c": "3"}}, "Secret harbor/c is new"),
        (
            {"own": BEFORE.own | {"Job harbor/x"}},
            "Job harbor/x is in the cluster and not in the state",
        ),
        (
            {"known": BEFORE.known | {"Job harbor/x"}},
            "Job harbor/x is in the state and not in the cluster",
        ),
        (
            {"objects": BEFORE.objects - {"Deployment harbor/harbor-core"}},
            "Deployment harbor/harbor-core is lost",
        ),
        ({"objects": BEFORE.objects | {"Job harbor/x"}}, "Job harbor/x is orphaned"),
        (
            {"harbor": {"projects apps": "", "robots ci": "another"}},
            "Harbor's robots ci is lost or has another secret",
        ),
        ({"harbor": {**BEFORE.harbor, "robots x": ""}}, "Harbor's robots x is new"),
        ({"blobs": {"local-harbor": ""}}, "blob local-harbor/blob is lost or changed"),
        (
            {"blobs": {**BEFORE.blobs, "local-harbor/blob": "etag 2"}},
            "blob local-harbor/blob is lost or changed",
        ),
        ({"blobs": {**BEFORE.blobs, "other": ""}}, "blob other is new"),
        ({"pending": 2}, "2 operations are pending in the state"),
    ],
)
def test_what_is_not_as_before_is_told(changes: dict[str, Any], told: str) -> None:
    assert problems(BEFORE, replace(BEFORE, **changes)) == [told]


def test_a_rotated_secret_has_to_differ() -> None:
    rotated = frozenset({"harbor/b"})
    after = replace(BEFORE, secrets={"harbor/a": "1", "harbor/b": "3"})
    assert problems(BEFORE, after, rotated=rotated) == []
    assert problems(BEFORE, BEFORE, rotated=rotated) == [
        "Secret harbor/b was to be rotated and is as before"
    ]


NOTHING = Evidence(
    secrets={},
    own=frozenset(),
    known=frozenset(),
    objects=frozenset(),
    harbor={},
    blobs={},
    pending=0,
)


def test_a_destroy_leaves_nothing_behind() -> None:
    assert left_behind(NOTHING) == []
    assert left_behind(replace(BEFORE, known=frozenset())) == [
        "Namespace harbor is left in the cluster",
        "Secret harbor/a is left in the cluster",
        "bucket local-harbor is left",
    ]


def test_a_first_up_may_mint_anew_only_until_harbor_runs() -> None:
    after = replace(BEFORE, secrets={"harbor/a": "7", "harbor/b": "8"}, blobs={"local-harbor": ""})
    assert problems(of_a_first_up(BEFORE, NOTHING, after), after) == []
    started = replace(BEFORE, secrets={"harbor/a": "7", "harbor/b": "6"})
    assert problems(of_a_first_up(BEFORE, started, after), after) == ["Secret harbor/b changed"]
    less = replace(after, secrets={"harbor/a": "7"})
    assert problems(of_a_first_up(BEFORE, NOTHING, less), less) == ["Secret harbor/b is lost"]
