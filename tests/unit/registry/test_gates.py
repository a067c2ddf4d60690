"""What a change of the registry would cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from components.registry import gates
from components.registry.gates import RunningImage
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ADMIN_PASSWORD, Registry

NOW = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
REPORT = "application/vnd.security.vulnerability.report; version=1.1"


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def web(letter: str) -> RunningImage:
    return RunningImage(repository="apps/web", digest=digest(letter), pods=("ward/web-1",))


def artifact(letter: str, *tags: str, age: int = 0, pulled: int | None = None, **more: Any) -> Any:
    pushed = NOW - dt.timedelta(days=age)
    return {
        "digest": digest(letter),
        "tags": [{"name": tag} for tag in tags] or None,
        "push_time": pushed.isoformat().replace("+00:00", "Z"),
        "pull_time": "0001-01-01T00:00:00.000Z"
        if pulled is None
        else (NOW - dt.timedelta(days=pulled)).isoformat(),
        **more,
    }


def scanned(severity: str, status: str = "Success") -> dict[str, Any]:
    return {"scan_overview": {REPORT: {"scan_status": status, "severity": severity}}}


# ---- quotas ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("quota", "used"), [(-1, 10**15), (100, 100), (100, 0)])
def test_a_quota_with_room_is_no_problem(quota: int, used: int) -> None:
    assert gates.quota_problem("apps", quota, used) is None


def test_a_quota_below_what_is_used_is_told_with_numbers() -> None:
    problem = gates.quota_problem("apps", 50 * 1024**3, 62 * 1024**3 + 512 * 1024**2)
    assert problem is not None
    assert "uses 62 GiB" in problem and "quota is 50 GiB" in problem and "12 GiB" in problem


# ---- blocking by severity -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "of", "why"),
    [
        ("high", scanned("Critical"), "a finding of critical"),
        ("high", scanned("High"), "a finding of high"),
        ("high", scanned("Medium"), None),
        ("high", scanned("None"), None),
        ("low", scanned("Low"), "a finding of low"),
        ("critical", {}, "never scanned"),
        ("critical", {"scan_overview": None}, "never scanned"),
        ("critical", scanned("", "Running"), "its scan is Running"),
        ("", scanned("Critical"), None),
    ],
)
def test_an_image_is_refused_as_harbor_would(
    severity: str, of: dict[str, Any], why: str | None
) -> None:
    refused = gates.refused_pulls(severity, [web("a")], {"apps/web": [artifact("a", **of)]})
    assert (refused == []) == (why is None)
    if why is not None:
        assert why in refused[0] and "pod ward/web-1" in refused[0] and "apps/web" in refused[0]


def test_an_allowed_finding_refuses_nothing() -> None:
    of = {"apps/web": [artifact("a", **scanned("Critical"))]}
    findings = {
        digest("a"): [
            {"id": "CVE-1", "severity": "Critical"},
            {"id": "CVE-2", "severity": "Low"},
        ]
    }
    assert gates.refused_pulls("high", [web("a")], of, findings, {"CVE-1"}) == []
    (refused,) = gates.refused_pulls("high", [web("a")], of, findings)
    assert "CVE-1" in refused and "CVE-2" not in refused


def test_a_platform_of_an_index_counts_as_the_index() -> None:
    index = artifact("a", references=[{"child_digest": digest("b")}], **scanned("Critical"))
    assert gates.refused_pulls("high", [web("b")], {"apps/web": [index]})


# ---- retention ------------------------------------------------------------------------------

LISTED = [
    artifact("a", "v1", age=90, pulled=1),
    artifact("b", "v2", age=30),
    artifact("c", "v3", "latest", age=2),
    artifact("d", age=1),
]


@pytest.mark.parametrize(
    ("rules", "deleted"),
    [
        ([{"template": "always"}], ""),
        ([{"template": "always", "untagged": False}], "d"),
        ([{"template": "latestPushedK", "number": 2}], "ab"),
        ([{"template": "latestPushedK", "number": 2, "untagged": False}], "ad"),
        ([{"template": "latestPulledN", "number": 1}], "bcd"),
        ([{"template": "nDaysSinceLastPush", "number": 7}], "ab"),
        ([{"template": "nDaysSinceLastPull", "number": 7}], "bcd"),
        ([{"template": "always", "tags": "v*", "untagged": False}], "d"),
        ([{"template": "always", "tags": "{v1,v2}", "untagged": False}], "cd"),
        ([{"template": "always", "tagsExcluded": "v*"}], "ab"),
        ([{"template": "always", "tagsExcluded": "v*", "untagged": False}], "abd"),
        (
            [
                {"template": "latestPushedK", "number": 1},
                {"template": "always", "tags": "v1", "untagged": False},
            ],
            "bc",
        ),
        ([{"template": "latestPushedK", "number": 1, "repositories": "base/**"}], ""),
        ([{"template": "latestPushedK", "number": 1, "repositoriesExcluded": "web"}], ""),
        ([{"template": "latestPushedK", "number": 1, "repositoriesExcluded": "base"}], "abc"),
    ],
)
def test_rules_delete_what_none_of_them_keeps(rules: list[dict[str, Any]], deleted: str) -> None:
    of = gates.deletions(rules, {"apps/web": LISTED}, now=NOW)
    assert of.digests.get("apps/web", frozenset()) == {digest(letter) for letter in deleted}
    assert of.number == len(deleted)


def test_a_digest_that_a_pod_runs_is_told() -> None:
    rules = [{"template": "latestPushedK", "number": 2}]
    of = gates.deletions(rules, {"apps/web": LISTED}, [web("a"), web("c")], now=NOW)
    assert of.running == (web("a"),)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        yield Registry(harbor).with_account()


def test_harbors_own_dry_run_agrees_and_deletes_nothing(registry: Registry) -> None:
    registry.create("Project", name="apps")
    rules = [{"template": "latestPushedK", "number": 1}]
    assert gates.retention_deletes(registry.api, "apps") == {}
    registry.create("Retention", project="apps", rules=rules)
    for letter, pushed in (("a", "2026-01-01"), ("b", "2026-01-02"), ("c", "2026-01-03")):
        time = f"{pushed}T00:00:00Z"
        registry.harbor.put_image("apps", "team/web", digest(letter), [letter], pushed=time)

    listed = gates.artifacts_of(registry.api, "apps")
    assert gates.deletions(rules, listed).digests == {"apps/team/web": {digest("a"), digest("b")}}
    for _ in range(2):
        assert gates.retention_deletes(registry.api, "apps") == {"apps/team/web": 2}
    assert gates.artifacts_of(registry.api, "apps") == listed


def test_what_a_project_uses_is_read(registry: Registry) -> None:
    registry.create("Project", name="apps")
    assert gates.used(registry.api, "apps") == 0
    assert gates.used(registry.api, "missing") is None
