"""What was seen on Harbor 2.14.3 without its exchange being kept: the fake is as strict.

Each row is one call with its status, and the end of the message where there is one. The calls of a
table follow each other in one Harbor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.fake_harbor import FakeHarbor
from sandbox.fake_harbor.server import Settings
from tests.support.harbor_client import ADMIN, Client, Reply

Row = tuple[str, str, Any, int, str]

UP = {"name": "up", "type": "docker-registry", "url": "http://upstream.test"}
PULL = [{"resource": "repository", "action": "pull"}]
GC = {"type": "Custom", "cron": "0 30 2 * * *"}
EVENTS = ["PUSH_ARTIFACT"]
STRONG = "Strong-Password-1"


def robot(**more: Any) -> dict[str, Any]:
    block = {"kind": "project", "namespace": "p", "access": PULL}
    return {"name": "r", "level": "project", "duration": -1, "permissions": [block], **more}


def retention(project: int = 2, **more: Any) -> dict[str, Any]:
    trigger = {"kind": "Schedule", "settings": {"cron": ""}}
    scope = {"level": "project", "ref": project}
    return {"algorithm": "or", "rules": [], "trigger": trigger, "scope": scope, **more}


def policy(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "src_registry": {"id": 1}, **more}


def scheduled(cron: str) -> dict[str, Any]:
    return {"type": "scheduled", "trigger_settings": {"cron": cron}}


def hook(*targets: dict[str, Any]) -> dict[str, Any]:
    return {"name": "t", "event_types": EVENTS, "targets": list(targets)}


TABLES: dict[str, Sequence[Row]] = {
    "names of projects": [
        ("POST", "/projects", {"project_name": name}, status, message)
        for names, status, message in (
            (("a", "12345", "a.b-c_d"), 201, ""),
            (
                ("Abc", "a/b", "abc-", "a..b", "a__b", "a--b", "a b", "a$b", "ü"),
                400,
                "project name is not in lower case or contains illegal characters",
            ),
            (("",), 400, "illegal in length. (greater than 255 or less than 1)"),
            (("x" * 256,), 422, ""),
        )
        for name in names
    ],
    "projects": [
        ("POST", "/projects", {"project_name": "p", "cve_allowlist": {"items": []}}, 201, ""),
        ("POST", "/projects", {"project_name": "q", "storage_limit": -2}, 400, "limit, value=-2"),
        ("POST", "/projects", {"project_name": "q", "storage_limit": 2**51}, 400, f"value={2**51}"),
        ("POST", "/projects", {"project_name": "q", "registry_id": 9}, 500, "server error"),
        ("POST", "/projects", {"project_name": "q", "registry_id": 0}, 400, "geater than 0"),
        ("POST", "/projects", {"project_name": "q", "metadata": {"public": "yes"}}, 400, "'yes'"),
        ("POST", "/projects", {"project_name": "q", "metadata": {"public": True}}, 422, "string"),
        (
            "POST",
            "/projects",
            {"project_name": "q", "metadata": {"retention_id": "1"}},
            400,
            "passing an empty string",
        ),
        ("POST", "/projects", None, 422, "project in body is required"),
        ("DELETE", "/projects/p", None, 200, ""),
        ("DELETE", "/projects/p", None, 404, "project p not found"),
        ("GET", "/projects?page_size=0", None, 200, ""),
        ("GET", "/projects/1", None, 200, ""),
        ("GET", "/projects/library/metadatas/foo", None, 200, ""),
        ("POST", "/projects/library/metadatas", {"proxy_speed_kb": "x"}, 400, "value: x"),
        (
            "POST",
            "/projects/library/metadatas",
            {"proxy_cache_local_on_not_found": "true"},
            400,
            "invalid key: proxy_cache_local_on_not_found",
        ),
        ("PUT", "/projects/library/metadatas/auto_scan", {"other": "x"}, 400, "invalid value: "),
        ("PUT", "/projects/library/scanner", {"uuid": "unknown"}, 200, ""),
    ],
    "quotas": [
        ("PUT", "/quotas/1", {"hard": {"count": 1}}, 400, "resource count not support"),
        ("PUT", "/quotas/1", {"hard": {"storage": 2**51}}, 400, f"value={2**51}"),
        ("PUT", "/quotas/1", {"hard": {"storage": -1}}, 200, ""),
        ("POST", "/quotas", {}, 405, ""),
        ("DELETE", "/quotas/1", None, 405, ""),
    ],
    "registries": [
        ("POST", "/registries", UP, 201, ""),
        ("POST", "/registries", {**UP, "name": "f", "url": "ftp://x"}, 400, "scheme: ftp"),
        ("POST", "/registries", {**UP, "name": "f", "url": ""}, 400, "empty string"),
        ("POST", "/registries", {**UP, "name": "f" * 65}, 400, "max length of name is 64"),
        ("POST", "/registries", {**UP, "name": ""}, 400, "name cannot be empty"),
        ("POST", "/registries", {**UP, "name": "f", "type": "x"}, 500, "internal server error"),
        ("POST", "/registries", {**UP, "name": "f", "type": "dtr"}, 500, ""),
        ("POST", "/registries", {**UP, "name": "f", "type": "google-gcr"}, 400, "unhealthy"),
        ("POST", "/registries", {**UP, "name": "f", "type": "quay"}, 201, ""),
        ("POST", "/registries/ping", {"id": 1}, 200, ""),
        ("POST", "/registries/ping", {"id": 77}, 404, "registry 77 not found"),
        ("POST", "/replication/policies", policy("uses"), 201, ""),
        ("DELETE", "/registries/1", None, 412, "by replication policies, cannot delete it"),
        ("DELETE", "/replication/policies/1", None, 200, ""),
        ("DELETE", "/registries/1", None, 200, ""),
        ("DELETE", "/registries/1", None, 404, "registry 1 not found"),
    ],
    "replication": [
        ("POST", "/registries", UP, 201, ""),
        ("POST", "/replication/policies", policy(""), 400, "empty name"),
        ("POST", "/replication/policies", {"name": "n"}, 400, "other one shouldn't be empty"),
        ("POST", "/replication/policies", policy("n", dest_registry={"id": 1}), 400, "be empty"),
        ("POST", "/replication/policies", {"name": "n", "src_registry": {"id": 9}}, 404, ""),
        ("POST", "/replication/policies", policy("n", trigger={}), 400, "invalid trigger type"),
        *(
            ("POST", "/replication/policies", policy("n", trigger=scheduled(text)), 400, message)
            for text, message in (
                ("", "cannot be empty when the trigger type is scheduled"),
                ("@daily", "invalid cron string for scheduled trigger: @daily"),
                ("0 60 * * * *", "invalid cron string for scheduled trigger: 0 60 * * * *"),
                ("*/5 0 0 * * *", "(indicating Seconds of time) of the cron setting must be 0"),
                ("00 0 0 * * *", "(indicating Seconds of time) of the cron setting must be 0"),
                (" 0 0 0 * * *", "(indicating Seconds of time) of the cron setting must be 0"),
            )
        ),
        ("POST", "/replication/policies", policy("m",
            trigger=scheduled("0 0  0 * * MON")), 201, ""),
        *(
            ("POST", "/replication/policies", policy("n", filters=[given]), 400, message)
            for given, message in (
                ({"type": "size", "value": "x"}, "invalid filter type"),
                ({"type": "name", "value": 1}, "the type of filter value isn't string"),
                ({"type": "label", "value": "x"}, "label filter value isn't string slice"),
                ({"type": "resource", "value": "chart"}, "invalid resource filter: chart"),
                (
                    {"type": "name", "value": "x", "decoration": "matches"},
                    "only tag and label filter support decoration",
                ),
                ({"type": "tag", "value": "x", "decoration": "without"}, "decoration, :without"),
            )
        ),
        ("POST", "/replication/policies", policy("n", dest_namespace="Mirror"), 400, ": Mirror"),
        ("POST", "/replication/policies", policy("s", dest_namespace="mirror/sub"), 201, ""),
        ("POST", "/replication/policies", policy("n", dest_namespace_replace_count=200), 422, ""),
        ("POST", "/replication/policies", policy("c", dest_namespace_replace_count=-5), 201, ""),
        ("POST", "/replication/policies", policy("n" * 257), 500, "internal server error"),
        (
            "POST",
            "/replication/policies",
            policy("n", single_active_replication=True, trigger={"type": "event_based"}),
            500,
            "internal server error",
        ),
        ("PUT", "/replication/policies/77", policy("n"), 404, "77 not found"),
        ("POST", "/replication/executions", {"policy_id": 1}, 412, "is disabled"),
    ],
    "retention": [
        ("POST", "/projects", {"project_name": "p"}, 201, ""),
        ("POST", "/retentions", retention(trigger={"kind": "Schedule",
            "settings": {"cron": "0 0 * * *"}}), 400,
            "0 0 * * *, error: expected exactly 6 fields, found 5: [0 0 * * *]"),
        ("POST", "/retentions", {k: v for k, v in retention().items() if k != "scope"}, 500, ""),
        ("POST", "/retentions", retention(trigger={"kind": "Schedule",
            "settings": {"cron": "0 * * * * *"}}), 201, ""),
        ("PUT", "/retentions/1", retention(1), 404, "the retention policy id 1 does not match"),
        ("PUT", "/retentions/77", retention(), 404, ""),
        ("DELETE", "/retentions/1", None, 200, ""),
        ("DELETE", "/retentions/1", None, 400, "no such Retention policy with id 1"),
        ("GET", "/retentions/1", None, 500, "internal server error"),
    ],
    "robots": [
        ("POST", "/projects", {"project_name": "p"}, 201, ""),
        ("POST", "/robots", robot(level="x"), 400, "bad request error level input: x"),
        ("POST", "/robots", robot(duration=2**40), 400, ""),
        ("POST", "/robots", robot(duration=None), 400, "-1(Never) or a positive integer"),
        ("POST", "/robots", robot(permissions=[]), 400, "bad request empty permission"),
        *(
            ("POST", "/robots", robot(permissions=[{"kind": "project", "namespace": name,
                "access": PULL}]), 404, f"project {name} not found")
            for name in ("*", "/", "2", "nope")
        ),
        ("POST", "/robots", robot(permissions=[{"kind": "project", "namespace": "p",
            "access": []}]), 400, "bad request empty access"),
        ("POST", "/robots", robot(permissions=[{"kind": "project", "namespace": "p",
            "access": [{"resource": "registry", "action": "list"}]}]), 400,
            "bad request permission: registry:list"),
        ("POST", "/robots", robot(permissions=[{"kind": "project", "namespace": "p",
            "access": [{"resource": "*", "action": "*"}]}]), 400, "permission: *:*"),
        ("POST", "/robots", robot(level="system", permissions=[{"kind": "system",
            "namespace": "x", "access": [{"resource": "project", "action": "list"}]}]), 400,
            "unknown namespace"),
        ("POST", "/robots", robot(name="Upper"), 400, ""),
        ("POST", "/robots", robot(description="d" * 1025), 500, "internal server error"),
        ("POST", "/robots", robot(), 201, ""),
        ("PUT", "/robots/1", robot(), 400, "cannot update the level or name of robot"),
        ("PUT", "/robots/1", robot(name="robot$p+r", permissions=[{"kind": "project",
            "namespace": "library", "access": PULL}]), 400,
            "cannot update the project id of robot"),
        ("PATCH", "/robots/1", {"secret": "weak"}, 400, "and 1 number"),
        ("PATCH", "/robots/1", {"secret": "Space : $ ü 1"}, 200, ""),
        ("GET", "/robots?q=name=r,x", None, 400, "the key/value cannot be empty"),
        ("DELETE", "/robots/1", None, 200, ""),
        ("DELETE", "/robots/1", None, 404, ""),
    ],
    "schedules": [
        ("PUT", "/system/gc/schedule", {}, 500, ""),
        ("PUT", "/system/scanAll/schedule", {}, 500, ""),
        ("PUT", "/system/purgeaudit/schedule", {}, 400, "schedule cann't be empty"),
        ("DELETE", "/system/gc/schedule", None, 405, ""),
        ("PUT", "/system/gc/schedule", {"schedule": GC, "parameters": {"workers": 11}}, 400,
            "Workers must be greater than 0 and less than or equal to 10."),
        ("PUT", "/system/gc/schedule", {"schedule": GC, "parameters": {"workers": 1.5}}, 400,
            "workers should be integer format"),
        ("PUT", "/system/gc/schedule", {"schedule": {"type": "None"}}, 200, ""),
        ("PUT", "/system/gc/schedule", {"schedule": {"type": "None"}}, 200, ""),
        ("PUT", "/system/purgeaudit/schedule", {"schedule": GC, "parameters": {
            "include_event_types": "x"}}, 400, "audit_retention_hour should provide"),
        ("PUT", "/system/purgeaudit/schedule", {"schedule": GC, "parameters": {
            "audit_retention_hour": 1, "include_operations": "x"}}, 400,
            "include_event_types should provide"),
        ("PUT", "/system/purgeaudit/schedule", {"schedule": GC, "parameters": {
            "audit_retention_hour": 240001, "include_event_types": "x"}}, 400,
            "should be less than 240000"),
        ("PUT", "/system/purgeaudit/schedule", {"schedule": GC, "parameters": {
            "audit_retention_hour": "168", "include_event_types": "nonsense"}}, 200, ""),
        ("PUT", "/system/scanAll/schedule", {"schedule": GC}, 200, ""),
        ("PUT", "/system/scanAll/schedule", {"schedule": {"type": "None"}}, 200, ""),
    ],
    "allowlist": [
        ("PUT", "/system/CVEAllowlist", {"items": [{"cve_id": ""}]}, 500, "server error"),
        ("PUT", "/system/CVEAllowlist", {"items": [{"cve_id": "a"}] * 2}, 500, "server error"),
        ("PUT", "/system/CVEAllowlist", {"items": None}, 200, ""),
    ],
    "webhooks": [
        ("POST", "/projects/library/webhook/policies", hook(target), 400, message)
        for target, message in (
            ({"type": "email", "address": "http://x"}, "target type email with policy t"),
            ({"type": "http", "address": ""}, "empty URL"),
            ({"type": "http", "address": "ftp://x"}, "invalid scheme: ftp"),
            ({"type": "http", "address": "http://x", "payload_format": "Z"}, "format type: Z"),
            (
                {"type": "slack", "address": "http://x", "payload_format": "Default"},
                "set payload format is not allowed for slack",
            ),
        )
    ],
    "labels": [
        ("POST", "/labels", {"name": "l", "scope": "x"}, 400, "unsupported label scope"),
        ("POST", "/labels", {"name": "l" * 129, "scope": "g"}, 500, "internal server error"),
        ("POST", "/labels", {"name": "l", "scope": "g", "color": "c" * 17}, 500, "server error"),
        ("POST", "/labels", {"name": "l", "scope": "g"}, 201, ""),
        ("POST", "/labels", {"name": "L", "scope": "g"}, 201, ""),
        ("POST", "/labels", {"name": "l", "scope": "g"}, 409, ""),
        ("GET", "/labels", None, 400, "invalid scope: "),
        ("PUT", "/labels/1", {"color": "#fff"}, 400, "cannot be empty"),
        ("DELETE", "/labels/1", None, 200, ""),
        ("DELETE", "/labels/1", None, 404, ""),
    ],
    "members and groups": [
        ("POST", "/projects/library/members", {"role_id": 2}, 500, "internal server error"),
        ("POST", "/projects/library/members", {"role_id": 2, "member_user": {
            "username": "nobody"}}, 404, "user nobody is not found"),
        ("POST", "/projects/library/members", {"role_id": 2, "member_group": {
            "group_name": "fresh", "group_type": 3}}, 404, "fresh not found: not supported"),
        ("POST", "/projects/library/members", {"role_id": 9, "member_user": {
            "username": "admin"}}, 409, "The project member specified already exist"),
        ("POST", "/usergroups", {"group_name": "g", "group_type": 3}, 201, ""),
        ("POST", "/usergroups", {"group_name": "g", "group_type": 3}, 409, "ldap group DN: "),
        ("POST", "/usergroups", {"group_type": 3}, 400, ""),
        ("POST", "/usergroups", {"group_name": "h"}, 500, "internal server error"),
        ("POST", "/projects/library/members", {"role_id": 6, "member_group": {"id": 1}}, 400,
            "Failed to update project member, role is not in 1,2,3"),
        ("POST", "/projects/library/members", {"role_id": 4, "member_group": {"id": 1}}, 201, ""),
        ("DELETE", "/projects/library/members/77", None, 200, ""),
        ("DELETE", "/users/1", None, 403, ""),
    ],
    "configurations": [
        ("PUT", "/configurations", {"session_timeout": 0}, 400, "value must be positive"),
        ("PUT", "/configurations", {"storage_per_project": 0}, 400, ""),
        ("PUT", "/configurations", {"auth_mode": "x"}, 400, ""),
        ("PUT", "/configurations", {"skip_audit_log_database": True}, 400, ""),
        ("PUT", "/configurations", {"ldap_url": ""}, 400, "value can not be empty"),
        ("PUT", "/configurations", {"robot_name_prefix": ""}, 200, ""),
        ("PUT", "/configurations", {"oidc_scope": "no openid"}, 200, ""),
        ("PUT", "/configurations", {"auth_mode": "oidc_auth"}, 200, ""),
        ("PUT", "/configurations", {"auth_mode": "db_auth"}, 200, ""),
        ("PUT", "/users/1/password", {"old_password": ADMIN[1], "new_password": STRONG}, 200, ""),
        ("GET", "/users/current", None, 401, "unauthorized"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
def test_a_call_is_answered_as_harbor_was_seen_to_answer(client: Client, rows: Any) -> None:
    for method, path, body, status, message in rows:
        reply = client.ask(method, path, body)
        assert reply.status == status, (method, path, body, reply.content)
        if message:
            assert reply.message.endswith(message), (method, path, body, reply.message)


def test_lists_are_pages_of_ten_with_a_total(client: Client) -> None:
    for number in range(12):
        client.ask("POST", "/projects", {"project_name": f"p{number:02}"})
    first = client.ask("GET", "/projects")
    assert (len(first.body), first.headers["X-Total-Count"]) == (10, "13")
    assert first.headers["Link"] == '</api/v2.0/projects?page=2&page_size=10>; rel="next"'
    assert len(client.ask("GET", "/projects?page=2").body) == 3
    assert client.ask("GET", "/projects?page=9").body == []
    assert len(client.ask("GET", "/projects?page_size=-1").body) == 13
    names = [p["name"] for p in client.ask("GET", "/projects?q=name=~p0&sort=-name").body]
    assert names == sorted(names, reverse=True) and len(names) == 10
    assert client.ask("GET", "/projects?q=foo=bar&page_size=0").headers["X-Total-Count"] == "13"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/projects", {"project_name": "race"}),
        ("/registries", UP),
        ("/robots", robot(level="system", permissions=robot()["permissions"])),
    ],
)
def test_of_twenty_creates_at_once_one_succeeds(client: Client, path: str, body: Any) -> None:
    statuses = at_once(20, lambda: client.ask("POST", path, body))
    assert sorted(statuses) == [201] + [409] * 19


def test_of_schedule_writes_at_once_some_lose_their_execution(client: Client) -> None:
    call = {"schedule": GC, "parameters": {"workers": 1}}
    statuses = at_once(20, lambda: client.ask("PUT", "/system/gc/schedule", call))
    assert set(statuses) == {200, 404}


def at_once(count: int, call: Callable[[], Reply]) -> list[int]:
    with ThreadPoolExecutor(count) as pool:
        replies = [pool.submit(call) for _ in range(count)]
        return [reply.result().status for reply in replies]


def test_a_date_that_never_comes_hangs_until_jobservice_is_restarted() -> None:
    with FakeHarbor(settings=Settings(seconds_of_a_hang=0.1)) as harbor:
        client = Client(harbor.url)
        never = {"schedule": {"type": "Custom", "cron": "0 0 0 31 2 *"}}
        daily = {"schedule": {"type": "Custom", "cron": "0 0 0 * * *"}}
        for call in (never, daily, {"schedule": {"type": "None"}}):
            with pytest.raises(ConnectionError):
                client.ask("PUT", "/system/gc/schedule", call)
        assert client.ask("GET", "/system/gc/schedule").content == b""
        harbor.restart()
        assert client.ask("PUT", "/system/gc/schedule", daily).status == 200


def test_core_dies_after_deleting_a_project_whose_retention_has_no_settings(
    harbor: FakeHarbor, client: Client
) -> None:
    client.ask("POST", "/projects", {"project_name": "p"})
    client.ask("POST", "/retentions", retention(trigger={"kind": "Schedule"}))
    assert client.ask("DELETE", "/projects/p").status == 200
    assert harbor.is_dead
    with pytest.raises(ConnectionError):
        client.ask("GET", "/ping")
    harbor.restart()
    assert client.ask("GET", "/projects/p").status == 404


def test_a_policy_that_ran_is_deleted_once_its_run_is_over() -> None:
    with FakeHarbor(settings=Settings(seconds_until_final=3600)) as harbor:
        client = Client(harbor.url)
        client.ask("POST", "/registries", UP)
        client.ask("POST", "/replication/policies", policy("p", enabled=True))
        run = client.ask("POST", "/replication/executions", {"policy_id": 1})
        assert run.headers["Location"] == "/api/v2.0/replication/executions/1"
        assert client.ask("GET", "/replication/executions/1").body["status"] == "InProgress"
        assert client.ask("DELETE", "/replication/policies/1").status == 412
        (ran,) = harbor.world.table("executions").values()
        ran["final_at"] = time.time()
        assert client.ask("GET", "/replication/executions/1").body["status"] == "Succeed"
        assert client.ask("DELETE", "/replication/policies/1").status == 200


def test_a_dry_run_of_a_retention_counts_and_deletes_nothing(
    harbor: FakeHarbor, client: Client
) -> None:
    client.ask("POST", "/projects", {"project_name": "p"})
    for number in (1, 2, 3):
        pushed = f"2026-01-0{number}T00:00:00.000Z"
        harbor.put_image("p", "app", f"sha256:{number}", [f"v{number}"], pushed=pushed)
    anything = {"kind": "doublestar", "pattern": "**"}
    rule = {
        "action": "retain",
        "template": "latestPushedK",
        "params": {"latestPushedK": 2},
        "tag_selectors": [{**anything, "decoration": "matches"}],
        "scope_selectors": {"repository": [{**anything, "decoration": "repoMatches"}]},
    }
    client.ask("POST", "/retentions", retention(rules=[rule]))
    client.ask("POST", "/retentions/1/executions", {"dry_run": True, "action": "run"})
    [task] = client.ask("GET", "/retentions/1/executions/1/tasks").body
    assert (task["repository"], task["total"], task["retained"]) == ("p/app", 3, 2)
    log = client.ask("GET", f"/retentions/1/executions/1/tasks/{task['id']}").body
    assert [line.split(" | ")[-1] for line in log.splitlines()[1:]] == [
        "DEL |",
        "RETAIN |",
        "RETAIN |",
    ]
    artifacts = "/projects/p/repositories/app/artifacts"
    assert len(client.ask("GET", artifacts).body) == 3
    client.ask("POST", "/retentions/1/executions", {"dry_run": False, "action": "run"})
    assert [a["digest"] for a in client.ask("GET", artifacts).body] == ["sha256:2", "sha256:3"]


@pytest.mark.parametrize(
    ("decoration", "extras", "kept"),
    [
        # src/lib/selector/selectors/doublestar/selector.go: New and Select
        ("matches", None, ["sha256:tagged", "sha256:untagged"]),
        ("matches", '{"untagged":true}', ["sha256:tagged", "sha256:untagged"]),
        ("matches", '{"untagged":false}', ["sha256:tagged"]),
        ("matches", "{}", ["sha256:tagged"]),
        ("matches", "nonsense", ["sha256:tagged", "sha256:untagged"]),
        ("excludes", None, ["sha256:other", "sha256:untagged"]),
        ("excludes", '{"untagged":true}', ["sha256:other"]),
        ("excludes", '{"untagged":false}', ["sha256:other", "sha256:untagged"]),
        ("excludes", "{}", ["sha256:other", "sha256:untagged"]),
        ("excludes", "nonsense", ["sha256:other", "sha256:untagged"]),
    ],
)
def test_whether_a_retention_counts_images_without_a_tag(
    decoration: str, extras: str | None, kept: list[str], harbor: FakeHarbor, client: Client
) -> None:
    client.ask("POST", "/projects", {"project_name": "p"})
    harbor.put_image("p", "app", "sha256:tagged", ["v1"])
    harbor.put_image("p", "app", "sha256:other", ["w1"])
    harbor.put_image("p", "app", "sha256:untagged", [])
    selector = {"kind": "doublestar", "decoration": decoration, "pattern": "v*"}
    rule = {
        "action": "retain",
        "template": "always",
        "params": {},
        "tag_selectors": [selector if extras is None else {**selector, "extras": extras}],
        "scope_selectors": {
            "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]
        },
    }
    client.ask("POST", "/retentions", retention(rules=[rule]))
    client.ask("POST", "/retentions/1/executions", {"dry_run": False, "action": "run"})
    left = client.ask("GET", "/projects/p/repositories/app/artifacts").body
    assert sorted(artifact["digest"] for artifact in left) == kept


def test_a_put_of_an_immutable_rule_renews_what_makes_it_unique(client: Client) -> None:
    """src/pkg/immutable/dao/dao.go: UpdateImmutableRule writes tag_filter, Toggle does not."""

    def rule(tags: str, **more: Any) -> dict[str, Any]:
        return {
            "action": "immutable",
            "template": "immutable_template",
            "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": tags}],
            "scope_selectors": {
                "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]
            },
            **more,
        }

    path = "/projects/p/immutabletagrules"
    client.ask("POST", "/projects", {"project_name": "p"})
    assert client.ask("POST", path, rule("v*")).status == 201
    assert client.ask("PUT", f"{path}/1", {**rule("w*"), "id": 1}).status == 200
    # Its id is part of the text since the PUT, so that an equal rule is no longer refused.
    assert client.ask("POST", path, rule("w*")).status == 201
    assert client.ask("POST", path, rule("v*")).status == 201
    assert client.ask("POST", path, rule("v*")).status == 409


def test_a_switched_off_immutable_rule_keeps_what_makes_it_unique(client: Client) -> None:
    path, rule = "/projects/p/immutabletagrules", {"action": "immutable", "template": "t"}
    client.ask("POST", "/projects", {"project_name": "p"})
    assert client.ask("POST", path, rule).status == 201
    assert client.ask("PUT", f"{path}/1", {**rule, "id": 1, "disabled": True}).status == 200
    assert client.ask("POST", path, rule).status == 409


def test_a_disabled_or_expired_robot_is_a_wrong_password(client: Client) -> None:
    client.ask("POST", "/projects", {"project_name": "p"})
    made = client.ask("POST", "/robots", robot(disable=True)).body
    as_robot = client.as_whom(made["name"], made["secret"])
    assert as_robot.ask("GET", "/users/current").status == 412
    off = robot(name="robot$p+r", disable=True)
    assert client.ask("PUT", "/robots/1", off).status == 200
    assert as_robot.ask("GET", "/users/current").status == 401


# Harbor 2.15.2 ----------------------------------------------------------------------------------

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


@pytest.fixture
def newer() -> Any:
    with FakeHarbor(admin_password=ADMIN[1], settings=Settings(version="2.15.2")) as harbor:
        yield Client(harbor.url)


def test_2_15_keeps_the_certificate_of_a_registry(client: Client, newer: Client) -> None:
    for asked, kept in ((client, None), (newer, CERTIFICATE)):
        given = {**UP, "ca_certificate": CERTIFICATE}
        assert asked.ask("POST", "/registries", given).status == 201
        assert asked.ask("GET", "/registries/1").body.get("ca_certificate") == kept
    refused = newer.ask("POST", "/registries", {**UP, "name": "x", "ca_certificate": "no"})
    assert refused.status == 400 and refused.message.endswith("found in PEM data")
    assert newer.ask("PUT", "/registries/1", {"description": "d"}).status == 200
    assert newer.ask("GET", "/registries/1").body["ca_certificate"] == CERTIFICATE
    assert newer.ask("PUT", "/registries/1", {"ca_certificate": ""}).status == 200
    assert "ca_certificate" not in newer.ask("GET", "/registries/1").body


def test_2_15_serves_a_proxy_cache_from_its_own_copy(client: Client, newer: Client) -> None:
    key = "proxy_cache_local_on_not_found"
    for asked, kept in ((client, None), (newer, "true")):
        given = {"project_name": "p", "metadata": {key: "true"}}
        assert asked.ask("POST", "/projects", given).status == 201
        assert asked.ask("GET", "/projects/p").body["metadata"].get(key) == kept


def test_2_15_deletes_tags_in_a_collection(client: Client, newer: Client) -> None:
    call = {"schedule": GC, "parameters": {"workers": 1, "delete_tag": True}}
    for asked, parameters in (
        (client, '{"delete_untagged":false,"workers":1}'),
        (newer, '{"delete_tag":true,"delete_untagged":false,"workers":1}'),
    ):
        assert asked.ask("PUT", "/system/gc/schedule", call).status == 200
        assert asked.ask("GET", "/system/gc/schedule").body["job_parameters"] == parameters


def test_the_version_is_told_to_those_who_log_in(client: Client, newer: Client) -> None:
    for asked, begin in ((client, "v2.14.3-"), (newer, "v2.15.2-")):
        assert asked.ask("GET", "/systeminfo").body["harbor_version"].startswith(begin)
