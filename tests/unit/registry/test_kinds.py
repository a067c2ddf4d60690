"""What every kind does, over a fake of Harbor's API: made, unchanged, mended, taken, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.registry.kinds import KINDS
from components.registry.kinds.base import UNKNOWN
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ADMIN_PASSWORD, Registry

PULL = {"kind": "project", "namespace": "apps", "access": ["repository:pull"]}
PUSH = {**PULL, "access": ["repository:push", "repository:pull"]}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A resource. `before`: what it needs. `other`: field → another value that it can have.

    `by_hand`: method, path and body by which a person changes it, where `{id}` is its number;
    `seen`: the field that this changes, "" for one that Harbor never shows.
    """

    kind: str
    id: str
    inputs: dict[str, Any]
    before: tuple[tuple[str, dict[str, Any]], ...] = ()
    other: dict[str, Any] = field(default_factory=dict[str, Any])
    by_hand: tuple[str, str, Any]
    seen: str


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
]


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        yield harbor


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
    registry.ask(method, path.replace("{id}", str(outputs["harborId"])), body)


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


@every_case
def test_what_was_deleted_by_hand_is_gone_after_a_refresh(registry: Registry, case: Case) -> None:
    outputs = made(registry, case)
    registry.delete(case.kind, outputs)

    assert registry.read(case.kind, case.id, outputs) is None
    registry.delete(case.kind, outputs)


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
    assert imported.outputs["harborId"] == outputs["harborId"]


@every_case
def test_no_secret_is_in_the_outputs(registry: Registry, case: Case) -> None:
    outputs = made(registry, case)
    for name in KINDS[case.kind].secrets & case.inputs.keys():
        assert str(case.inputs[name]) not in str(outputs)


@every_case
def test_a_preview_shows_what_is_known(registry: Registry, case: Case) -> None:
    for kind, inputs in case.before:
        registry.create(kind, **inputs)
    shown = registry.preview(case.kind, **case.inputs)

    assert shown["harborId"] is UNKNOWN
    of = KINDS[case.kind]
    for name in case.inputs.keys() - of.secrets:
        assert shown[name] == case.inputs[name]
