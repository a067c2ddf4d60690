"""What a gate would do to images that pods run, over Harbor's answers."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from components.registry import gates
from components.registry.kinds.retention import stored_retention
from sandbox.fake_harbor import images as fake
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.builders import pod
from tests.support.registry import ADMIN_PASSWORD, Registry

NOW = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
OURS = "registry.omantel.example/"


def days_ago(days: float) -> str:
    return (NOW - dt.timedelta(days=days)).isoformat().replace("+00:00", "Z")


def artifact(digest: str, *tags: str, pushed: float = 0, pulled: float = 0) -> dict[str, Any]:
    return {
        "digest": digest,
        "tags": [{"name": tag} for tag in tags] or None,
        "push_time": days_ago(pushed),
        "pull_time": days_ago(pulled),
    }


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (f"{OURS}apps/a:v1", ("apps", "a", "v1", "")),
        (f"{OURS}apps/a", ("apps", "a", "latest", "")),
        (f"{OURS}apps/team/a:v1@sha256:1", ("apps", "team/a", "v1", "sha256:1")),
        (f"{OURS}other/a:v1", None),
        ("docker.io/apps/a:v1", None),
        (f"{OURS}apps", None),
    ],
)
def test_an_image_of_a_pod_is_known_by_project_repository_and_digest(
    image: str, expected: tuple[str, ...] | None
) -> None:
    seen = gates.running_images([pod("shop", "web-1", web=image)], OURS, {"apps"})
    assert [(i.project, i.repository, i.reference, i.digest) for i in seen] == (
        [expected] if expected else []
    )


def test_an_image_that_is_pinned_is_pulled_by_its_digest() -> None:
    pinned = pod("shop", "web-1", web="")
    pinned["spec"]["containers"][0]["image"] = f"{OURS}apps/a:v1@sha256:1"
    (image,) = gates.running_images([pinned], OURS, {"apps"})
    assert (image.reference, image.digest, image.name) == (
        "sha256:1",
        "sha256:1",
        "apps/a@sha256:1",
    )


def test_a_pod_that_has_ended_counts_for_nothing() -> None:
    ended = pod("shop", "job-1", job=f"{OURS}apps/a:v1")
    ended["status"]["phase"] = "Succeeded"
    assert gates.running_images([ended], OURS, {"apps"}) == []


@pytest.mark.parametrize(
    ("before", "declared", "stricter"),
    [
        ("", "", False),
        ("", "critical", True),
        ("critical", "high", True),
        ("high", "high", False),
        ("high", "critical", False),
        ("low", "", False),
        ("none", "high", False),
    ],
)
def test_a_severity_that_stops_more_pulls_is_stricter(
    before: str, declared: str, stricter: bool
) -> None:
    assert gates.is_stricter(before, declared) is stricter


def scanned(severity: str, status: str = "Success") -> dict[str, Any]:
    return {"scan_overview": {"mime": {"scan_status": status, "severity": severity}}}


HIGH = {"id": "CVE-1", "severity": "High"}
LOW = {"id": "CVE-2", "severity": "Low"}


@pytest.mark.parametrize(
    ("of", "severity", "allowed", "report", "reason"),
    [
        ({}, "high", [], [], "it was not scanned"),
        (scanned("High", "Error"), "high", [], [], "it was not scanned"),
        (scanned("High"), "high", [], [], "its worst vulnerability is high"),
        (scanned("Critical"), "high", [], [], "its worst vulnerability is critical"),
        (scanned("Medium"), "high", [], [], ""),
        (scanned("None"), "low", [], [], ""),
        (scanned("High"), "high", ["CVE-1"], [HIGH, LOW], ""),
        (scanned("High"), "low", ["CVE-1"], [HIGH, LOW], "its worst vulnerability is low"),
    ],
)
def test_a_pull_is_refused_as_harbor_refuses_it(
    of: dict[str, Any], severity: str, allowed: list[str], report: list[Any], reason: str
) -> None:
    assert gates.pull_refused(of, severity, allowed, report) == reason


@pytest.mark.parametrize(
    ("pattern", "text", "does"),
    [
        ("**", "a/b", True),
        ("*", "a/b", False),
        ("*", "a", True),
        ("a/**", "a", True),
        ("a/**", "a/b/c", True),
        ("**/c", "c", True),
        ("**/c", "a/b/c", True),
        ("{a,b}/x", "b/x", True),
        ("{a,b}/x", "c/x", False),
        ("v1.?", "v1.2", True),
        ("v1.?", "v122", False),
        ("v[0-9]", "v7", True),
        ("v[!0-9]", "v7", False),
    ],
)
def test_a_pattern_matches_as_harbors_doublestar_does(pattern: str, text: str, does: bool) -> None:
    assert gates.matches(pattern, text) is does


def rule(template: str, number: int = 0, **others: Any) -> dict[str, Any]:
    return {"template": template, "number": number, **others}


ARTIFACTS = [
    artifact("sha256:1", "v1", pushed=30, pulled=1),
    artifact("sha256:2", "v2", "latest", pushed=20, pulled=9),
    artifact("sha256:3", pushed=10, pulled=8),
    artifact("sha256:4", "prod", pushed=40, pulled=40),
]

RULES = [
    ([rule("latestPushedK", 2)], ["1", "4"]),
    ([rule("latestPushedK", 1, tags="v*")], ["1", "2", "4"]),
    ([rule("latestPushedK", 1, tags="v*", untagged=False)], ["1", "3", "4"]),
    ([rule("latestPulledN", 1)], ["2", "3", "4"]),
    ([rule("nDaysSinceLastPush", 25)], ["1", "4"]),
    ([rule("nDaysSinceLastPull", 5)], ["2", "3", "4"]),
    ([rule("always", tags="prod", untagged=False)], ["1", "2", "3"]),
    ([rule("always", tagsExcluded="v*")], ["1"]),
    ([rule("always", tags="prod"), rule("latestPushedK", 1)], ["1", "2"]),
    ([rule("always", repositories="other")], []),
    ([rule("always", repositoriesExcluded="img")], []),
]


@pytest.mark.parametrize(("rules", "gone"), RULES)
def test_what_no_rule_keeps_is_deleted(rules: list[dict[str, Any]], gone: list[str]) -> None:
    lost = gates.deleted(rules, "img", ARTIFACTS, NOW)
    assert [of["digest"].removeprefix("sha256:") for of in lost] == gone


def test_an_immutable_tag_keeps_its_image() -> None:
    kept = artifact("sha256:1", "v1")
    kept["tags"][0]["immutable"] = True
    assert gates.deleted([rule("always", tags="prod", untagged=False)], "img", [kept], NOW) == []


def test_an_index_stands_for_the_images_of_its_platforms() -> None:
    index = {**artifact("sha256:1", "v1"), "references": [{"child_digest": "sha256:2"}]}
    assert gates.digests(index) == {"sha256:1", "sha256:2"}


@pytest.mark.parametrize(("used", "limit", "over"), [(5, 4, True), (4, 4, False), (5, -1, False)])
def test_a_quota_below_what_is_used_is_told_with_numbers(used: int, limit: int, over: bool) -> None:
    quotas = [{"ref": {"name": "apps"}, "used": {"storage": used}, "hard": {"storage": -1}}]
    told = gates.over_quota(quotas, {"apps": limit, "absent": 1})
    assert told == ({"apps": (limit, used)} if over else {})


def test_a_project_that_uses_nothing_is_within_its_quota() -> None:
    assert gates.over_quota([{"ref": {"name": "apps"}, "used": {}}], {"apps": 1}) == {}


def test_the_rules_are_applied_as_the_fake_of_harbor_applies_them() -> None:
    """The fake's own reading, which its dry runs show."""
    from components.registry.kinds.retention import _sent  # pyright: ignore[reportPrivateUsage]

    now = dt.datetime.now(dt.UTC)
    shift = now - NOW
    rows = [
        {
            "digest": of["digest"],
            "tags": gates.tags_of(of),
            "pushed": (dt.datetime.fromisoformat(of["push_time"]) + shift).isoformat(),
            "pulled": (dt.datetime.fromisoformat(of["pull_time"]) + shift).isoformat(),
        }
        for of in ARTIFACTS
    ]
    for rules, gone in RULES:
        kept = fake.kept([_sent(each) for each in rules], {"name": "apps/img", "artifacts": rows})
        lost = [row["digest"] for row in rows if row not in kept]
        assert [digest.removeprefix("sha256:") for digest in lost] == gone


def test_a_tag_that_was_pushed_again_counts_from_then() -> None:
    moved = artifact("sha256:1", "v1", pushed=30)
    moved["tags"][0]["push_time"] = days_ago(1)
    assert gates.deleted([rule("nDaysSinceLastPush", 5)], "img", [moved], NOW) == []


def dry_run(registry: Registry, project: str) -> dict[str, int]:
    """Repository → artifacts that Harbor's own dry run of the stored policy would delete."""
    stored = stored_retention(registry.api, project)
    assert stored is not None
    path = f"/retentions/{stored['id']}/executions"
    registry.api.post(path, {"dry_run": True})
    run = max(registry.api.listed(path), key=lambda row: row["id"])
    assert (run["status"], run["dry_run"]) == ("Succeed", True)
    tasks = registry.api.listed(f"{path}/{run['id']}/tasks")
    return {task["repository"]: task["total"] - task["retained"] for task in tasks}


def test_harbors_own_dry_run_agrees_and_deletes_nothing() -> None:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        registry = Registry(harbor).with_account()
        registry.create("Project", name="apps")
        rules = [rule("latestPushedK", 1)]
        registry.create("Retention", project="apps", rules=rules)
        for tag in ("1", "2", "3"):
            time = f"2026-01-0{tag}T00:00:00Z"
            harbor.put_image("apps", "team/web", f"sha256:{tag * 64}", [tag], pushed=time)
        path = "/projects/apps/repositories/team%252Fweb/artifacts"
        listed = registry.api.listed(path)
        assert len(gates.deleted(rules, "team/web", listed, NOW)) == 2
        for _ in range(2):
            assert dry_run(registry, "apps") == {"apps/team/web": 2}
        assert registry.api.listed(path) == listed
