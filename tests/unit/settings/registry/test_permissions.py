"""What a robot may do, beside the dictionary that a running Harbor gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.settings.registry import permissions

RECORDED = Path(__file__).parent / "permissions.json"
"""The answer of a v2.14.3 to GET /permissions."""


def dictionary(entries: list[dict[str, str]]) -> set[str]:
    return {f"{entry['resource']}:{entry['action']}" for entry in entries}


def test_the_dictionary_is_the_one_of_a_running_harbor() -> None:
    recorded: dict[str, Any] = json.loads(RECORDED.read_text())
    for ours, kind in ((permissions.PROJECT, "project"), (permissions.SYSTEM, "system")):
        rights = {
            f"{resource}:{action}" for resource, actions in ours.items() for action in actions
        }
        assert rights == dictionary(recorded[kind])


@pytest.mark.parametrize("preset", permissions.PRESETS)
def test_a_preset_is_made_of_rights_that_harbor_knows(preset: str) -> None:
    for right in permissions.PRESETS[preset]:
        assert permissions.IN_PROJECT.check is not None
        assert permissions.IN_PROJECT.check(right) is None


def test_who_may_push_may_pull() -> None:
    assert permissions.in_project("apps", ["push"]).access == ("repository:pull", "repository:push")


def test_all_stands_for_the_declared_projects_and_keeps_the_rights_on_named_ones() -> None:
    access = permissions.in_projects({"*": ["pull"], "b": ["tag:list"]}, ["b", "a"])
    assert [(each.namespace, each.access) for each in access] == [
        ("a", ("repository:pull",)),
        ("b", ("repository:pull", "tag:list")),
    ]


def test_no_right_on_users_is_taken() -> None:
    for action in permissions.SYSTEM["user"]:
        assert permissions.IN_SYSTEM.check is not None
        assert permissions.IN_SYSTEM.check(f"user:{action}")
    assert permissions.IN_SYSTEM.check is not None
    assert permissions.IN_SYSTEM.check("user-group:list") is None
