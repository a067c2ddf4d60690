"""A fault at each call of a whole apply: the next run converges, without a second object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ACCOUNT, ADMIN_PASSWORD, Registry
from tests.support.registry_runs import FAULTS, Undisturbed, assert_converges, undisturbed

PULL = {"kind": "project", "namespace": "apps", "access": ["repository:pull"]}

DECLARED: list[tuple[str, dict[str, Any]]] = [
    ("Account", {"name": ACCOUNT, "revision": "1"}),
    (
        "Endpoint",
        {
            "name": "up",
            "type": "docker-registry",
            "url": "https://up.test",
            "username": "u",
            "password": "Upstream12345",
        },
    ),
    ("Project", {"name": "apps", "scanOnPush": True, "quota": 1024**3}),
    (
        "Project",
        {
            "name": "cache",
            "endpoint": "up",
            "allowlist": {"items": ["CVE-1"], "expires": None, "useSystem": False},
        },
    ),
    (
        "Robot",
        {
            "name": "ci",
            "project": "apps",
            "permissions": [PULL],
            "enabled": False,
            "secret": "Secret12345",
        },
    ),
    ("Robot", {"name": "cluster", "permissions": [PULL], "secret": "Secret12345"}),
    ("Label", {"name": "approved", "project": "apps", "color": "#00aa55"}),
    ("Member", {"project": "apps", "kind": "group", "name": "devs", "role": "guest"}),
]


@pytest.fixture(scope="module")
def works() -> Iterator[Undisturbed]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        group = {"group_name": "devs", "group_type": 3}
        Registry(harbor).ask("POST", "/usergroups", group)
        yield undisturbed(harbor, DECLARED, described)


def described(fake: FakeHarbor) -> dict[str, Any]:
    """What Harbor has in the end, without ids and times."""
    registry = Registry(fake)
    robots = fake.world.table("robots").values()
    return {
        "projects": sorted(p["name"] for p in registry.ask("GET", "/projects")),
        "registries": [r["name"] for r in registry.ask("GET", "/registries")],
        "robots": sorted((r["name"], r["disable"]) for r in robots),
        "labels": len(fake.world.table("labels")),
        "members": sorted(
            m["role"] for m in fake.world.table("members").values() if m["type"] == "g"
        ),
        "login": registry.api.accepts("robot$cluster", "Secret12345"),
    }


@pytest.mark.parametrize("times", [1, 40], ids=["once", "for-a-while"])
@pytest.mark.parametrize("kind", FAULTS)
def test_the_next_run_converges_after_a_fault_at_any_call(
    kind: str, times: int, works: Undisturbed
) -> None:
    assert_converges(works, kind, times=times)
