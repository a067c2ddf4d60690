"""A fault at each call of a whole apply: the next run converges, without a second object."""

from __future__ import annotations

from typing import Any

import pytest

from components.registry import api
from sandbox.fake_harbor.faults import KINDS, Fault
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ACCOUNT, ADMIN_PASSWORD, Registry
from tests.support.registry_runs import Runs

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

FAULTS = [kind for kind in KINDS if kind != "delay"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_WAITS", (0.001, 0.001, 0.001, 0.001))
    monkeypatch.setattr(api, "_HEALTH_IS_LATE", 0.02)


def fresh() -> FakeHarbor:
    harbor = FakeHarbor(admin_password=ADMIN_PASSWORD)
    harbor.start()
    group = {"group_name": "devs", "group_type": 3}
    Registry(harbor).ask("POST", "/usergroups", group)
    harbor.calls(forget=True)
    return harbor


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
def test_the_next_run_converges_after_a_fault_at_any_call(kind: str, times: int) -> None:
    harbor = fresh()
    assert Runs(DECLARED).up(harbor)
    calls = len(harbor.calls())
    expected = described(harbor)
    harbor.stop()

    # Each call is hit by one kind of fault or another.
    for at in range(1 + FAULTS.index(kind), calls + 1, len(FAULTS)):
        harbor = fresh()
        try:
            state = Runs(DECLARED)
            harbor.plan(Fault(kind, at=at, times=times))
            state.up(harbor)
            harbor.plan()
            runs = 1
            while not state.up(harbor):
                runs += 1
                assert runs < 3, f"{kind} at call {at}: no run converges"
            assert described(harbor) == expected, f"{kind} at call {at}"
            harbor.calls(forget=True)
            assert state.up(harbor)
            assert harbor.calls() == [], f"{kind} at call {at}: the next run changes something"
        finally:
            harbor.stop()
