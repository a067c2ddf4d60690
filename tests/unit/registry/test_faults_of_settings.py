"""A fault at each call of an apply of policies, rules, schedules and settings: the next run
converges, without a second object, and nobody is locked out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.registry.kinds import schedule
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ACCOUNT, ADMIN_PASSWORD, Registry
from tests.support.registry_runs import (
    FAULTS,
    Runs,
    Undisturbed,
    assert_converges,
    undisturbed,
)

ISSUER = "https://sso.test"

BEFORE: list[tuple[str, dict[str, Any]]] = [
    ("Account", {"name": ACCOUNT}),
    ("Endpoint", {"name": "up", "type": "docker-registry", "url": "https://up.test"}),
    ("Project", {"name": "apps"}),
    ("Project", {"name": "cache", "endpoint": "up"}),
]

KEEP = [{"template": "nDaysSinceLastPull", "number": 30}]

DECLARED: list[tuple[str, dict[str, Any]]] = [
    ("ReplicationPolicy", {"name": "m", "direction": "pull", "endpoint": "up", "runNow": True}),
    ("Retention", {"project": "apps", "cron": "0 0 3 * * *", "rules": KEEP}),
    ("Retention", {"project": "cache", "rules": KEEP}),
    ("ImmutableTags", {"project": "apps", "rules": [{"tags": "v*"}, {"tags": "w*"}]}),
    (
        "ImmutableTags",
        {"project": "cache", "rules": [{"tags": "v*", "enabled": False}]},
    ),
    (
        "Webhook",
        {
            "project": "apps",
            "name": "build",
            "url": "https://hooks.test",
            "events": ["PUSH_ARTIFACT"],
            "authorization": "Bearer topsecret",
        },
    ),
    (
        "Schedule",
        {
            "what": "garbageCollection",
            "cron": "0 0 3 * * 0",
            "parameters": {"delete_untagged": True, "workers": 2},
        },
    ),
    ("Schedule", {"what": "scanAll", "cron": "0 0 0 * * *"}),
    ("CveAllowlist", {"items": ["CVE-1"]}),
    (
        "Configuration",
        {
            "part": "system",
            "values": {"session_timeout": 30},
            "defaults": {"project_creation_restriction": "adminonly"},
        },
    ),
    (
        "Configuration",
        {
            "part": "login",
            "values": {"auth_mode": "oidc_auth", "oidc_endpoint": ISSUER},
            "secrets": {"oidc_client_secret": "clientsecret"},
        },
    ),
    ("Configuration", {"part": "readOnly", "values": {"read_only": True}}),
]


@pytest.fixture(autouse=True)
def quick_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_SECONDS", 0.1)


@pytest.fixture(scope="module")
def works() -> Iterator[Undisturbed]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        harbor.settings.issuers.append(ISSUER)
        harbor.settings.seconds_of_a_schedule_write = 0
        assert Runs(BEFORE).up(harbor)
        yield undisturbed(harbor, DECLARED, described)


def described(harbor: FakeHarbor) -> dict[str, Any]:
    """What Harbor has in the end, without ids and times."""
    ask = Registry(harbor).ask
    kept = {key: item.get("value") for key, item in ask("GET", "/configurations").items()}
    rules = {
        project: [
            (rule["tag_selectors"][0]["pattern"], rule.get("disabled", False))
            for rule in ask("GET", f"/projects/{project}/immutabletagrules")
        ]
        for project in ("apps", "cache")
    }
    return {
        "configurations": kept,
        "rules": rules,
        "policies": [p["name"] for p in ask("GET", "/replication/policies")],
        "retentions": sorted(
            str(row["rules"][0]["params"]) for row in harbor.world.table("retentions").values()
        ),
        "webhooks": [
            (w["name"], w["targets"]) for w in ask("GET", "/projects/apps/webhook/policies")
        ],
        "crons": sorted(row["cron"] for row in harbor.world["schedules"].values()),
        "allowlist": ask("GET", "/system/CVEAllowlist")["items"],
        "secret": harbor.world["secrets"]["oidc_client_secret"]
        == harbor.world.digest("clientsecret"),
    }


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("times", [1, 40], ids=["once", "for-a-while"])
def test_the_next_run_converges_after_a_fault_at_any_call(
    kind: str, times: int, works: Undisturbed
) -> None:
    assert_converges(works, kind, times=times)
