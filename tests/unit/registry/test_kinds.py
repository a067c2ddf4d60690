"""What every kind does, over a fake of Harbor's API: made, unchanged, mended, taken, deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from components.registry.kinds import KINDS, selectors
from components.registry.kinds.base import UNKNOWN
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import Registry

PULL = {"kind": "project", "namespace": "apps", "access": ["repository:pull"]}
PUSH = {**PULL, "access": ["repository:push", "repository:pull"]}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A resource. `before`: what it needs. `other`: field → another value that it can have.

    `by_hand`: method, path and body by which a person changes it, where `{id}` is its number;
    `seen`: the field that this changes, "" for one that Harbor never shows. `always_exists`: a
    setting of Harbor, not an object in it.
    """

    kind: str
    id: str
    inputs: dict[str, Any]
    before: tuple[tuple[str, dict[str, Any]], ...] = ()
    other: dict[str, Any] = field(default_factory=dict[str, Any])
    by_hand: tuple[str, str, Any]
    seen: str
    always_exists: bool = False


APPS = ("Project", {"name": "apps"})
GHCR = ("Endpoint", {"name": "ghcr", "type": "github-ghcr", "url": "https://ghcr.io"})

CASES = [
    Case(
        kind="Project",
        id="apps",
        inputs={"name": "apps", "scanOnPush": True, "quota": 50 * 1024**3},
        other={
            "public": True,
            "scanOnPush": False,
            "sbomOnPush": True,
            "blockSeverity": "high",
            "requireCosign": True,
            "quota": 1024**3,
            "allowlist": {"items": ["CVE-2", "CVE-1"], "expires": 1893456000, "useSystem": True},
        },
        by_hand=("PUT", "/projects/apps", {"metadata": {"auto_scan": "false"}}),
        seen="scanOnPush",
    ),
    Case(
        kind="Project",
        id="cache",
        inputs={"name": "cache", "endpoint": "ghcr", "speedLimit": 1024},
        before=(GHCR,),
        other={"public": True, "speedLimit": 2048, "maxConnections": 4},
        by_hand=("PUT", "/projects/cache", {"metadata": {"public": "true"}}),
        seen="public",
    ),
    Case(
        kind="Endpoint",
        id="up",
        inputs={
            "name": "up",
            "type": "docker-registry",
            "url": "https://up.test/v2/",
            "username": "u",
            "password": "Secret12345",
        },
        other={
            "name": "upstream",
            "url": "https://other.test",
            "username": "v",
            "password": "Other12345",
            "tlsVerify": False,
            "description": "ours",
        },
        by_hand=("PUT", "/registries/{id}", {"description": "theirs"}),
        seen="description",
    ),
    Case(
        kind="Robot",
        id="apps+ci",
        inputs={
            "name": "ci",
            "project": "apps",
            "days": 30,
            "permissions": [PUSH],
            "secret": "Secret12345",
        },
        before=(APPS,),
        other={
            "description": "of the build",
            "days": 60,
            "enabled": False,
            "permissions": [PULL],
            "secret": "Other12345",
        },
        by_hand=(
            "PUT",
            "/robots/{id}",
            {
                "name": "robot$apps+ci",
                "level": "project",
                "duration": 30,
                "disable": True,
                "permissions": [
                    {
                        "kind": "project",
                        "namespace": "apps",
                        "access": [
                            {"resource": "repository", "action": "pull"},
                            {"resource": "repository", "action": "push"},
                        ],
                    }
                ],
            },
        ),
        seen="enabled",
    ),
    Case(
        kind="Robot",
        id="cluster",
        inputs={
            "name": "cluster",
            "permissions": [
                PULL,
                {"kind": "system", "namespace": "/", "access": ["project:list", "registry:read"]},
            ],
            "secret": "Secret12345",
        },
        before=(APPS,),
        other={"permissions": [PULL], "secret": "Other12345", "description": "of cluster a"},
        by_hand=("PATCH", "/robots/{id}", {"secret": "Theirs12345"}),
        seen="",
    ),
    Case(
        kind="Label",
        id="apps/approved",
        inputs={"name": "approved", "project": "apps", "color": "#00aa55"},
        before=(APPS,),
        other={"color": "", "description": "by the board"},
        by_hand=("PUT", "/labels/{id}", {"name": "approved", "color": "#ff0000"}),
        seen="color",
    ),
    Case(
        kind="Label",
        id="/of/all",
        inputs={"name": "of/all"},
        other={"color": "#00aa55", "description": "by the board"},
        by_hand=("PUT", "/labels/{id}", {"name": "of/all", "description": "theirs"}),
        seen="description",
    ),
    Case(
        kind="Member",
        id="apps/group//dsi/urbanisme",
        inputs={
            "project": "apps",
            "kind": "group",
            "name": "/dsi/urbanisme",
            "role": "maintainer",
        },
        before=(APPS,),
        other={"role": "limitedGuest"},
        by_hand=("PUT", "/projects/apps/members/{id}", {"role_id": 1}),
        seen="role",
    ),
    Case(
        kind="Member",
        id="apps/user/dora",
        inputs={"project": "apps", "kind": "user", "name": "dora", "role": "developer"},
        before=(APPS,),
        other={"role": "guest"},
        by_hand=("PUT", "/projects/apps/members/{id}", {"role_id": 4}),
        seen="role",
    ),
    Case(
        kind="Webhook",
        id="apps/build",
        inputs={
            "project": "apps",
            "name": "build",
            "url": "https://hooks.test/x",
            "events": ["PUSH_ARTIFACT", "DELETE_ARTIFACT"],
            "authorization": "Bearer topsecret",
        },
        before=(APPS,),
        other={
            "url": "https://hooks.test/y",
            "kind": "slack",
            "events": ["PULL_ARTIFACT"],
            "authorization": "Bearer othersecret",
            "format": "CloudEvents",
            "tlsVerify": False,
            "enabled": False,
            "description": "of the build",
        },
        by_hand=(
            "PUT",
            "/projects/apps/webhook/policies/{id}",
            {
                "name": "build",
                "enabled": True,
                "event_types": ["PUSH_ARTIFACT", "DELETE_ARTIFACT"],
                "targets": [{"type": "http", "address": "https://hooks.test/x"}],
            },
        ),
        seen="authorizationIsDeclared",
    ),
    Case(
        kind="ImmutableTags",
        id="apps",
        inputs={
            "project": "apps",
            "rules": [
                {"repositories": "**", "tags": "v*"},
                {"repositories": "base/*", "tagsExcluded": "sha256-*", "enabled": False},
            ],
        },
        before=(APPS,),
        other={
            "rules": [
                {"repositories": "**", "tags": "v*", "enabled": False},
                {"tags": "release-*"},
                {"repositoriesExcluded": "scratch/**", "tags": "r*"},
            ],
        },
        by_hand=(
            "POST",
            "/projects/apps/immutabletagrules",
            {
                "action": "immutable",
                "template": "immutable_template",
                "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "x"}],
                "scope_selectors": {
                    "repository": [
                        {"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}
                    ]
                },
            },
        ),
        seen="rules",
    ),
    Case(
        kind="Retention",
        id="apps",
        inputs={
            "project": "apps",
            "cron": "0 0 3 * * *",
            "rules": [
                {"template": "latestPushedK", "number": 10},
                {"template": "always", "repositories": "base", "tags": "{v*,prod}"},
            ],
        },
        before=(APPS,),
        other={
            "cron": "",
            "rules": [
                {"template": "nDaysSinceLastPull", "number": 5, "untagged": False},
                {"template": "latestPulledN", "number": 2, "tagsExcluded": "tmp-*"},
            ],
        },
        by_hand=(
            "PUT",
            "/retentions/{id}",
            {
                "algorithm": "or",
                "rules": [],
                "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 3 * * *"}},
                "scope": {"level": "project", "ref": 2},
            },
        ),
        seen="rules",
    ),
    Case(
        kind="ReplicationPolicy",
        id="mirror",
        inputs={
            "name": "mirror",
            "direction": "pull",
            "endpoint": "ghcr",
            "repositories": "org/{app,tool}",
            "tags": "v*",
            "into": "mirror/sub",
            "trigger": "scheduled",
            "cron": "0 0 */6 * * *",
        },
        before=(GHCR, ("Endpoint", {"name": "dr", "type": "harbor", "url": "https://dr.test"})),
        other={
            "direction": "push",
            "endpoint": "dr",
            "repositories": "",
            "tags": "",
            "tagsExcluded": "*-rc*",
            "labels": ["b", "a"],
            "into": "",
            "replaceCount": -1,
            "cron": "0 30 */6 * * *",
            "overwrite": False,
            "deletions": True,
            "speed": 1024,
            "chunked": True,
            "oneAtATime": True,
            "enabled": False,
            "runNow": True,
            "description": "from CI",
        },
        by_hand=(
            "PUT",
            "/replication/policies/{id}",
            {
                "name": "mirror",
                "src_registry": {"id": 1},
                "dest_namespace": "mirror/sub",
                "dest_namespace_replace_count": 0,
                "enabled": True,
                "override": True,
                "filters": [
                    {"type": "name", "value": "org/{app,tool}"},
                    {"type": "tag", "decoration": "matches", "value": "v*"},
                    {"type": "resource", "value": "image"},
                ],
                "trigger": {
                    "type": "scheduled",
                    "trigger_settings": {"cron": "0 0 */6 * * *"},
                },
            },
        ),
        seen="otherFilters",
    ),
    Case(
        kind="Configuration",
        id="system",
        inputs={
            "part": "system",
            "values": {
                "session_timeout": 77,
                "notification_enable": False,
                "banner_message": '{"message":"Hello","closable":true}',
            },
        },
        other={
            "values": {"session_timeout": 60, "storage_per_project": 1024**3},
            "defaults": {"project_creation_restriction": "adminonly"},
        },
        by_hand=("PUT", "/configurations", {"session_timeout": 5}),
        seen="values",
        always_exists=True,
    ),
    Case(
        kind="Configuration",
        id="readOnly",
        inputs={"part": "readOnly", "values": {"read_only": True}},
        other={"values": {"read_only": False}},
        by_hand=("PUT", "/configurations", {"read_only": False}),
        seen="values",
        always_exists=True,
    ),
    Case(
        kind="Schedule",
        id="garbageCollection",
        inputs={
            "what": "garbageCollection",
            "cron": "0 0 3 * * 0",
            "parameters": {"delete_untagged": True, "workers": 2},
        },
        other={
            "cron": "0 30 3 * * *",
            "parameters": {"delete_untagged": False, "workers": 3},
        },
        by_hand=(
            "PUT",
            "/system/gc/schedule",
            {
                "schedule": {"type": "Custom", "cron": "0 0 3 * * 0"},
                "parameters": {"delete_untagged": True, "workers": 9},
            },
        ),
        seen="parameters",
        always_exists=True,
    ),
    Case(
        kind="Schedule",
        id="auditPurge",
        inputs={
            "what": "auditPurge",
            "cron": "0 0 3 * * 0",
            "parameters": {
                "audit_retention_hour": 168,
                "include_event_types": "create_artifact,delete_artifact",
            },
        },
        other={"cron": "", "parameters": {"audit_retention_hour": 24, "include_event_types": "x"}},
        by_hand=(
            "PUT",
            "/system/purgeaudit/schedule",
            {
                "schedule": {"type": "None"},
                "parameters": {"audit_retention_hour": 1, "include_event_types": "x"},
            },
        ),
        seen="cron",
        always_exists=True,
    ),
    Case(
        kind="Schedule",
        id="scanAll",
        inputs={"what": "scanAll", "cron": "0 0 0 * * *"},
        other={"cron": "0 0 1 * * *"},
        by_hand=(
            "PUT",
            "/system/scanAll/schedule",
            {"schedule": {"type": "Hourly", "cron": "0 0 * * * *"}},
        ),
        seen="cron",
        always_exists=True,
    ),
    Case(
        kind="CveAllowlist",
        id="system",
        inputs={"items": ["CVE-2024-3094", "CVE-2023-1"], "expires": 1893456000},
        other={"items": ["CVE-2024-3094"], "expires": -1},
        by_hand=(
            "PUT",
            "/system/CVEAllowlist",
            {"items": [{"cve_id": "CVE-2024-3094"}], "expires_at": 1893456000},
        ),
        seen="items",
        always_exists=True,
    ),
]


@pytest.fixture
def registry(harbor: FakeHarbor) -> Registry:
    registry = Registry(harbor).with_account()
    # Groups are made by their first use where people log in by OIDC, and users before.
    dora = {"username": "dora", "realname": "Dora", "email": "d@x.test", "password": "Dora12345"}
    registry.ask("POST", "/usergroups", {"group_name": "/dsi/urbanisme", "group_type": 3})
    registry.ask("POST", "/users", dora)
    return registry


def made(registry: Registry, case: Case) -> dict[str, Any]:
    for kind, inputs in case.before:
        registry.create(kind, **inputs)
    return registry.create(case.kind, **case.inputs)


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.id}")
every_field = pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(case, name, id=f"{case.kind}-{case.id}-{name}")
        for case in CASES
        for name in case.other
    ],
)


def by_hand(registry: Registry, case: Case, outputs: dict[str, Any]) -> None:
    method, path, body = case.by_hand
    registry.ask(method, path.replace("{id}", str(outputs.get("harborId"))), body)


@every_case
def test_what_was_made_is_unchanged_in_the_next_run_and_after_a_refresh(
    registry: Registry, case: Case
) -> None:
    outputs = made(registry, case)

    assert registry.changed(case.kind, outputs, **case.inputs) == ()
    refreshed = registry.read(case.kind, case.id, outputs)
    assert refreshed == outputs


@every_field
def test_each_field_can_be_changed_and_is_then_unchanged(
    registry: Registry, case: Case, name: str
) -> None:
    outputs = made(registry, case)
    inputs = {**case.inputs, name: case.other[name]}

    assert registry.changed(case.kind, outputs, **inputs) == (name,)
    outputs = registry.update(case.kind, outputs, **inputs)
    assert registry.changed(case.kind, outputs, **inputs) == ()
    assert registry.read(case.kind, case.id, outputs) == outputs


@every_case
def test_a_change_by_hand_is_found_by_a_refresh_and_mended(registry: Registry, case: Case) -> None:
    outputs = made(registry, case)
    by_hand(registry, case, outputs)

    refreshed = registry.read(case.kind, case.id, outputs)
    assert refreshed is not None
    if not case.seen:  # Harbor does not show it.
        assert refreshed == outputs
        return
    assert registry.changed(case.kind, refreshed, **case.inputs) == (case.seen,)
    mended = registry.update(case.kind, refreshed, **case.inputs)
    assert mended[case.seen] == outputs[case.seen]


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=f"{c.kind}-{c.id}") for c in CASES if not c.always_exists],
)
def test_what_was_deleted_by_hand_is_gone_after_a_refresh(registry: Registry, case: Case) -> None:
    outputs = made(registry, case)
    registry.delete(case.kind, outputs)

    assert registry.read(case.kind, case.id, outputs) is None
    registry.delete(case.kind, outputs)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=f"{c.kind}-{c.id}")
        for c in CASES
        # Settings stay as they are.
        if c.always_exists and c.kind != "Configuration"
    ],
)
def test_a_setting_that_is_no_longer_declared_is_as_in_a_new_harbor(
    registry: Registry, case: Case
) -> None:
    outputs = made(registry, case)
    registry.delete(case.kind, outputs)

    refreshed = registry.read(case.kind, case.id, outputs)
    of = KINDS[case.kind]
    assert refreshed is not None
    for name in set(of.fields) - {"what", "parameters"}:
        assert of.equal(name, refreshed[name], of.fields[name].of_harbor)


@every_case
def test_a_run_that_lost_its_state_takes_what_is_as_declared(
    registry: Registry, case: Case
) -> None:
    before = made(registry, case)
    after = registry.create(case.kind, **case.inputs)

    digests = {name for name in before if name.endswith("Digest")}
    assert {k: v for k, v in after.items() if k not in digests} == {
        k: v for k, v in before.items() if k not in digests
    }


@every_case
def test_an_id_is_enough_to_import(registry: Registry, case: Case) -> None:
    outputs = made(registry, case)
    imported = registry.provider.read("urn", case.kind, case.id, {}, {})

    assert imported is not None
    for name, value in case.inputs.items():
        if name not in KINDS[case.kind].secrets:
            assert KINDS[case.kind].equal(name, imported.inputs[name], value)
    assert imported.outputs.get("harborId") == outputs.get("harborId")


@every_case
def test_no_secret_is_in_the_outputs(registry: Registry, case: Case) -> None:
    outputs = made(registry, case)
    for name in KINDS[case.kind].secrets & case.inputs.keys():
        assert str(case.inputs[name]) not in str(outputs)


@every_case
def test_a_preview_shows_what_is_known(registry: Registry, case: Case) -> None:
    for kind, inputs in case.before:
        registry.create(kind, **inputs)
    registry.harbor.calls(forget=True)
    shown = registry.preview(case.kind, **case.inputs)
    assert {call.method for call in registry.harbor.calls()} == {"GET"}

    of = KINDS[case.kind]
    assert "harborId" not in of.computed or shown["harborId"] is UNKNOWN
    for name in case.inputs.keys() - of.secrets:
        assert shown[name] == case.inputs[name]


def test_a_severity_that_blocks_nothing_is_shown_as_none(registry: Registry) -> None:
    """Harbor keeps it when somebody switches blocking off."""
    outputs = registry.create("Project", name="apps", blockSeverity="critical")
    for is_blocking, shown in (("true", "critical"), ("false", "")):
        metadata = {"prevent_vul": is_blocking, "severity": "critical"}
        registry.ask("PUT", "/projects/apps", {"metadata": metadata})
        read = registry.read("Project", "apps", outputs)
        assert read is not None
        assert read["blockSeverity"] == shown


@pytest.mark.parametrize(
    ("kind", "stored", "shown"),
    [
        pytest.param(
            "ReplicationPolicy",
            {"id": 7, "name": "up", "dest_registry": {"id": 1, "name": "far"}},
            {
                **{"name": "up", "direction": "push", "endpoint": "far", "harborId": 7},
                **{"repositories": "", "tags": "", "tagsExcluded": "", "labels": []},
                # Without a count, Harbor drops the whole path.
                **{"otherFilters": [], "into": "", "replaceCount": -1},
                **{"trigger": "manual", "cron": "", "speed": 0, "description": ""},
                **{"overwrite": False, "deletions": False, "chunked": False},
                **{"oneAtATime": False, "enabled": False},
            },
            id="replication",
        ),
        pytest.param(
            "ReplicationPolicy",
            {"id": 7, "name": "up", "src_registry": {"id": 1}, "trigger": {"type": ""}},
            {"direction": "pull", "endpoint": "", "trigger": "manual", "cron": ""},
            id="replication of an endpoint without a name",
        ),
        pytest.param(
            "Endpoint",
            {"id": 7, "name": "up", "type": "harbor", "url": "https://up.test"},
            {
                **{"name": "up", "type": "harbor", "url": "https://up.test", "harborId": 7},
                **{"username": "", "tlsVerify": True, "caCertificate": "", "description": ""},
            },
            id="endpoint",
        ),
        pytest.param(
            "Webhook",
            {"id": 7, "name": "hook", "project": "apps"},
            {
                **{"project": "apps", "name": "hook", "harborId": 7, "targets": 0},
                **{"url": "", "kind": "", "events": [], "format": "", "tlsVerify": True},
                **{"enabled": False, "description": ""},
            },
            id="webhook",
        ),
        pytest.param(
            "Webhook",
            {"id": 7, "name": "hook", "project": "apps", "targets": [{}, {"type": "slack"}]},
            {"url": "", "kind": "", "format": "", "tlsVerify": True, "targets": 2},
            id="webhook with an empty target",
        ),
        pytest.param(
            "Retention",
            {"id": 7, "project": "apps"},
            {"project": "apps", "cron": "", "rules": [], "harborId": 7},
            id="retention",
        ),
        pytest.param(
            "Label",
            {"id": 7, "name": "approved", "project": ""},
            {"project": "", "name": "approved", "color": "", "description": "", "harborId": 7},
            id="label",
        ),
        pytest.param("CveAllowlist", {}, {"items": [], "expires": -1}, id="allowlist"),
        pytest.param(
            "ImmutableTags",
            {"project": "apps", "rules": [{"id": 7}]},
            {
                "project": "apps",
                "rules": [
                    {
                        **{"repositories": "", "repositoriesExcluded": ""},
                        **{"tags": "", "tagsExcluded": "", "enabled": True},
                    }
                ],
            },
            id="immutable rule",
        ),
        pytest.param(
            "Robot",
            {
                **{"id": 7, "name": "robot$ci", "duration": 30, "expires_at": 9},
                "permissions": [],
            },
            {
                **{"name": "ci", "project": "", "description": "", "days": 30, "enabled": True},
                **{"permissions": [], "prefix": "robot$", "harborId": 7, "fullName": "robot$ci"},
                **{"expiresAt": 9, "duration": 30},
            },
            id="robot",
        ),
    ],
)
def test_what_harbor_leaves_out_is_shown_as_its_default(
    registry: Registry, kind: str, stored: dict[str, Any], shown: dict[str, Any]
) -> None:
    """Its JSON has no key of some empty values, and null for others."""
    session = registry.provider.session
    assert session is not None
    seen = KINDS[kind].shown(session, stored, {})
    assert {name: seen[name] for name in shown} == shown


def test_a_project_of_which_harbor_says_nothing_has_every_guard_off(registry: Registry) -> None:
    registry.create("Project", name="apps")
    (kept,) = registry.ask("GET", "/projects?name=apps")
    session = registry.provider.session
    assert session is not None
    bare = {"name": "apps", "project_id": kept["project_id"]}
    shown = KINDS["Project"].shown(session, bare, {})
    assert {name: value for name, value in shown.items() if value is True} == {}
    assert shown["blockSeverity"] == ""
    assert shown["allowlist"] == {"items": [], "expires": None, "useSystem": False}
    assert (shown["endpoint"], shown["quota"]) == ("", -1)


@pytest.mark.parametrize(
    ("selector", "repositories"),
    [
        ({"kind": "doublestar", "decoration": "repoMatches", "pattern": "a/**"}, "a/**"),
        ({"kind": "regex", "decoration": "repoMatches", "pattern": "a.*"}, "repoMatches a.*"),
        ({"kind": "doublestar", "decoration": "matches", "pattern": "a"}, "matches a"),
        ({"kind": "doublestar", "decoration": "repoMatches"}, ""),
    ],
)
def test_a_pattern_that_the_program_would_not_write_is_shown_with_its_sort(
    selector: dict[str, Any], repositories: str
) -> None:
    shown = selectors.shown({"scope_selectors": {"repository": [selector]}})
    assert (shown["repositories"], shown["repositoriesExcluded"]) == (repositories, "")


def test_patterns_of_one_sort_are_shown_together() -> None:
    rule = {
        "tag_selectors": [
            {"kind": "doublestar", "decoration": decoration, "pattern": pattern}
            for decoration, pattern in (("matches", "v1"), ("excludes", "dev"), ("matches", "v2"))
        ]
    }
    shown = selectors.shown(rule)
    assert (shown["tags"], shown["tagsExcluded"]) == ("v1 and v2", "dev")


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        ({}, True),
        ({"tag_selectors": None}, True),
        ({"tag_selectors": [{"decoration": "matches"}]}, True),
        ({"tag_selectors": [{"decoration": "matches", "extras": '{"untagged": true}'}]}, True),
        ({"tag_selectors": [{"decoration": "matches", "extras": '{"untagged": false}'}]}, False),
        ({"tag_selectors": [{"decoration": "matches", "extras": "{}"}]}, False),
        ({"tag_selectors": [{"decoration": "excludes", "extras": '{"untagged": true}'}]}, False),
        ({"tag_selectors": [{"decoration": "excludes", "extras": '{"untagged": false}'}]}, True),
        ({"tag_selectors": [{"decoration": "matches", "extras": "neither"}]}, "neither"),
        ({"tag_selectors": [{"decoration": "matches", "extras": "[1]"}]}, "[1]"),
    ],
)
def test_whether_a_rule_counts_images_without_a_tag_is_read_from_its_selector(
    rule: dict[str, Any], counts: Any
) -> None:
    assert selectors.untagged(rule) == counts
