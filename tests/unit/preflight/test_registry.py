"""Gates are closed on evidence: a fake of Harbor's API, and pods that run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from components.preflight import registry as evidence
from components.registry.api import ADMIN_PASSWORD_KEY
from components.registry.errors import HarborDown
from components.settings.database import SecretRef
from sandbox.fake_harbor.server import FakeHarbor
from tests.support import builders
from tests.support.builders import Cluster, pod
from tests.support.registry import ADMIN_PASSWORD, Direct, Registry

OURS = "registry.omantel.omani.works/"
ADMIN = "harbor-minted-admin-password"
DIGEST = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64
OLD = (dt.datetime.now(dt.UTC) - dt.timedelta(days=100)).isoformat()


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        Registry(harbor).ask("POST", "/projects", {"project_name": "apps"})
        harbor.calls(forget=True)
        yield harbor


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the preview tells: level → lines."""
    lines: dict[str, list[str]] = {"warn": [], "info": []}
    for level, listed in lines.items():
        monkeypatch.setattr(pulumi.log, level, listed.append)
    return lines


def cluster(*pods: dict[str, Any]) -> Cluster:
    running = Cluster({"/api/v1/pods?limit=500": {"items": list(pods)}})
    running.put_secret(
        SecretRef(namespace="harbor", name=ADMIN, key=ADMIN_PASSWORD_KEY), ADMIN_PASSWORD
    )
    return running


def problems(harbor: FakeHarbor, running: Cluster, **registry: Any) -> list[str]:
    connection = Direct(namespace="harbor", api_url=harbor.url)
    connection.secrets = {(ADMIN, ADMIN_PASSWORD_KEY): ADMIN_PASSWORD}
    client: Any = running
    settings = builders.settings(registry=registry)
    return evidence.problems(client, settings, lambda _client, _settings: connection)


WEB = pod("shop", "web-1", web=f"{OURS}apps/web:v1@{DIGEST}")
BLOCKS = {"projects": {"apps": {"blockSeverity": "high"}}}
ALLOWS = {
    "projects": {"apps": {"blockSeverity": "high", "cveAllowlist": {"items": ["CVE-2026-1"]}}}
}
CRITICAL = {"CVE-2026-1": "Critical", "CVE-2026-2": "Low"}


@pytest.mark.parametrize(
    ("vulnerabilities", "registry", "reason"),
    [
        (CRITICAL, BLOCKS, "its worst vulnerability is critical"),
        (None, BLOCKS, "it was not scanned"),
        ({"CVE-2026-2": "Low"}, BLOCKS, ""),
        (CRITICAL, ALLOWS, ""),
        (CRITICAL, {**BLOCKS, "acceptRefusals": True}, ""),
        (CRITICAL, {"projects": {"apps": {"blockSeverity": "off"}}}, ""),
        (CRITICAL, {"enabled": False}, ""),
    ],
)
def test_a_gate_that_would_stop_what_runs_is_refused(
    harbor: FakeHarbor,
    said: dict[str, list[str]],
    vulnerabilities: dict[str, str] | None,
    registry: dict[str, Any],
    reason: str,
) -> None:
    harbor.put_image("apps", "web", DIGEST, ["v1"], vulnerabilities=vulnerabilities)
    refused = problems(harbor, cluster(WEB), **registry)
    assert said["warn"] == []
    if not reason:
        assert refused == []
        return
    (text,) = refused
    assert f"  shop/web-1: apps/web:v1, {reason}" in text
    assert "sovereign-harbor:registry.projects.apps.blockSeverity = high" in text
    assert "pulumi config set --path 'registry.projects.apps.blockSeverity' off" in text
    assert "pulumi config set --path 'registry.acceptRefusals' true" in text


def test_a_gate_that_is_closed_already_is_not_asked_about(
    harbor: FakeHarbor, said: dict[str, list[str]]
) -> None:
    harbor.put_image("apps", "web", DIGEST, ["v1"], vulnerabilities=CRITICAL)
    metadata = {"prevent_vul": "true", "severity": "High"}
    Registry(harbor).ask("PUT", "/projects/apps", {"metadata": metadata})
    running = cluster(WEB)
    assert problems(harbor, running, **BLOCKS) == []
    assert not any("pods" in path for path in running.asked)
    (stricter,) = problems(harbor, running, projects={"apps": {"blockSeverity": "low"}})
    assert "registry.projects.apps.blockSeverity' high" in stricter
    assert said == {"warn": [], "info": []}


def test_of_a_project_that_is_new_nothing_is_asked(harbor: FakeHarbor) -> None:
    assert problems(harbor, cluster(WEB), projects={"new": {"blockSeverity": "high"}}) == []


def keeps(**rule: Any) -> dict[str, Any]:
    return {"projects": {"apps": {"scanOnPush": False, "retention": {"keep": [rule]}}}}


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        ({"lastPushed": 1}, True),
        ({"daysSincePush": 30}, True),
        ({"always": True, "tags": ["v*"]}, False),
        ({"lastPushed": 2}, False),
        ({"lastPushed": 1, "repositories": ["other"]}, False),
    ],
)
@pytest.mark.parametrize("moved", [False, True], ids=["by-its-tag", "by-its-digest"])
def test_rules_that_would_delete_what_runs_are_refused(
    harbor: FakeHarbor, said: dict[str, list[str]], rule: dict[str, Any], gone: bool, moved: bool
) -> None:
    harbor.put_image("apps", "team/web", DIGEST, ["v0" if moved else "v1"], pushed=OLD)
    harbor.put_image("apps", "team/web", OTHER, ["v2"])
    running = cluster(pod("shop", "web-1", web=f"{OURS}apps/team/web:v1@{DIGEST}"))
    refused = problems(harbor, running, **keeps(**rule))
    assert bool(refused) is gone
    if gone:
        assert "  shop/web-1: apps/team/web:v1\n" in refused[0]
        assert "would keep 1 images and delete 1 if it ran now" in said["info"][0]
        assert problems(harbor, running, acceptRefusals=True, **keeps(**rule)) == []
    assert all(row.method == "GET" for row in harbor.calls())


def test_rules_that_harbor_has_already_are_only_warned_of(
    harbor: FakeHarbor, said: dict[str, list[str]]
) -> None:
    harbor.put_image("apps", "web", DIGEST, ["v1"], pushed=OLD)
    harbor.put_image("apps", "web", OTHER, ["v2"])
    registry = Registry(harbor).with_account()
    kept = {"template": "latestPushedK", "number": 1}
    registry.create("Retention", project="apps", cron="0 0 0 * * *", rules=[kept])
    assert problems(harbor, cluster(WEB), **keeps(lastPushed=1)) == []
    (warning,) = said["warn"]
    assert "shop/web-1: apps/web:v1" in warning


def test_rules_without_a_schedule_delete_nothing(harbor: FakeHarbor) -> None:
    harbor.put_image("apps", "web", DIGEST, ["v1"], pushed=OLD)
    keep = {"schedule": "none", "keep": [{"daysSincePush": 1}]}
    projects = {"apps": {"scanOnPush": False, "retention": keep}}
    assert problems(harbor, cluster(WEB), projects=projects) == []


def test_a_quota_below_what_is_used_is_warned_of_with_numbers(
    harbor: FakeHarbor, said: dict[str, list[str]]
) -> None:
    for quota in harbor.world.table("quotas").values():
        quota["used"] = 3 * 1024**3
    assert (
        problems(harbor, cluster(), projects={"apps": {"scanOnPush": False, "quota": "1Gi"}}) == []
    )
    (warning,) = said["warn"]
    assert "project apps uses 3 GiB, and its quota is 1 GiB" in warning
    assert "registry.projects.apps.quota" in warning


def test_before_the_first_installation_there_is_nothing_to_check(
    harbor: FakeHarbor, said: dict[str, list[str]]
) -> None:
    harbor.calls(forget=True)
    assert problems(harbor, Cluster(), **BLOCKS) == []
    assert harbor.calls() == []
    assert said == {"warn": [], "info": []}


def test_a_harbor_that_does_not_answer_is_warned_of_once(
    harbor: FakeHarbor, said: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise HarborDown("GET /projects", "no pod of harbor-core is Ready")

    monkeypatch.setattr("components.registry.api.PREVIEW_PATIENCE", 0.1)
    monkeypatch.setattr(Direct, "send", down)
    assert problems(harbor, cluster(WEB), **BLOCKS) == []
    (warning,) = said["warn"]
    assert "not checked: whether blockSeverity" in warning
    assert "no pod of harbor-core is Ready" in warning


def test_what_is_not_declared_is_named_if_asked_for(
    harbor: FakeHarbor, said: dict[str, list[str]]
) -> None:
    registry = Registry(harbor, account="sovereign-harbor")
    registry.create("Account", name="sovereign-harbor")
    registry.create("Endpoint", name="ghcr", type="github-ghcr", url="https://ghcr.io")
    pull = {"kind": "project", "namespace": "apps", "access": ["repository:pull"]}
    for name in ("ci", "old", "kept-2"):
        registry.create(
            "Robot", name=name, project="apps", permissions=[pull], secret="Secret12345"
        )
    registry.create("Robot", name="cluster", permissions=[pull], secret="Secret12345")
    robots = {
        "ci": {"permissions": ["pull"]},
        "kept": {"permissions": ["pull"], "rotation": 2},
    }
    declared = {"projects": {"apps": {"scanOnPush": False, "robots": robots}}}
    assert problems(harbor, cluster(), showUndeclared=True, **declared) == []
    (told,) = said["info"]
    assert told.splitlines()[1:4] == [
        "  projects: library",
        "  endpoints: ghcr",
        "  robots: apps+old, cluster",
    ]
    assert "make registry-export STACK=" in told
    assert problems(harbor, cluster(), **declared) == []
    assert len(said["info"]) == 1
