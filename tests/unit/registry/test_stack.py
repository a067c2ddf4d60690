"""The section `registry` from the stack's file into Harbor, over a fake of its API."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from components.registry.errors import HarborError, Refused
from components.registry.kinds.base import HalfCreated
from sandbox.fake_harbor.faults import Fault
from sandbox.fake_harbor.kinds import repositories
from sandbox.fake_harbor.server import FakeHarbor, Settings
from tests.support.builders import context_of
from tests.support.mocks import Engine, minted
from tests.support.registry import ADMIN_PASSWORD, Registry
from tests.support.registry_stack import Stack, ran
from tests.unit.registry.test_component import SMALL, WIDE, logins, registry
from tests.unit.settings.registry.test_estates import HARBOR_2_15, clinic, kestrel, prefecture

DAY = 86400


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    settings = Settings(
        version="2.15.1", issuers=["https://sso.test/realms/agents", "https://git.test"]
    )
    with FakeHarbor(admin_password=ADMIN_PASSWORD, settings=settings) as harbor:
        yield harbor


@pytest.fixture
def stack(harbor: FakeHarbor) -> Stack:
    return Stack(harbor)


Program = Callable[..., Engine]
"""Runs a program with that section `registry`."""


@pytest.fixture(scope="session")
def new_run(sealing_certificate: str) -> Program:
    def run(section: dict[str, Any], **sections: Any) -> Engine:
        return ran(lambda: registry(context_of(sealing_certificate), section, **sections))

    return run


@pytest.fixture(scope="session")
def program(new_run: Program) -> Program:
    """Remembers the runs. That the same sections declare the same again is asserted of new runs, in
    `test_a_second_up_changes_nothing`."""
    runs: dict[str, Engine] = {}

    def run(section: dict[str, Any], **sections: Any) -> Engine:
        key = json.dumps([section, sections])
        if key not in runs:
            runs[key] = new_run(section, **sections)
        return runs[key]

    return run


def logs_in(harbor: FakeHarbor, name: str, password: str) -> bool:
    """Whether Harbor takes this login of a robot: it answers 412 to one, and 401 to none."""
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    answer = urllib3.request(
        "GET",
        f"{harbor.url}/api/v2.0/users/current",
        headers={"Authorization": f"Basic {token}"},
        retries=False,
    )
    assert answer.status in (401, 412)
    return answer.status == 412


every_registry = pytest.mark.parametrize(
    "section",
    [
        pytest.param(SMALL, id="small"),
        pytest.param(WIDE, id="wide"),
        pytest.param(kestrel(), id="kestrel"),
        pytest.param(prefecture(), id="prefecture"),
        pytest.param(clinic(), id="clinic"),
    ],
)


@every_registry
def test_a_second_up_changes_nothing(
    section: dict[str, Any], stack: Stack, new_run: Program
) -> None:
    stack.up(new_run(section, harbor=HARBOR_2_15))
    assert {act for act, _ in stack.did} == {"create"}
    stack.up(new_run(section, harbor=HARBOR_2_15))
    assert stack.did == []


@every_registry
def test_a_lost_state_is_made_again_without_a_word(
    section: dict[str, Any], stack: Stack, program: Program
) -> None:
    stack.up(program(section, harbor=HARBOR_2_15))
    again = Stack(stack.harbor)
    again.up(program(section, harbor=HARBOR_2_15))
    assert again.state.keys() == stack.state.keys()
    again.up(program(section, harbor=HARBOR_2_15))
    assert again.did == []


@every_registry
def test_all_of_it_can_be_taken_out_of_the_file_again(
    section: dict[str, Any], stack: Stack, program: Program
) -> None:
    stack.up(program(section, harbor=HARBOR_2_15))
    stack.up(program({}, harbor=HARBOR_2_15))
    stack.up(program({}, harbor=HARBOR_2_15))
    assert stack.did == []
    kinds = {kept.kind for kept in stack.state.values()}
    assert kinds <= {"Account", "Schedule", "Configuration"}


@every_registry
def test_a_section_that_is_switched_off_stays_in_harbor_and_is_taken_again(
    section: dict[str, Any], stack: Stack, program: Program
) -> None:
    stack.up(program(section, harbor=HARBOR_2_15))
    names = set(stack.state)
    stack.harbor.calls(forget=True)

    stack.up(program({**section, "enabled": False}, harbor=HARBOR_2_15))
    assert stack.state == {} and stack.harbor.calls() == []
    (warning,) = stack.warnings
    assert warning.startswith("registry.enabled is false: everything")

    stack.up(program(section, harbor=HARBOR_2_15))
    assert {act for act, _ in stack.did} == {"create"} and set(stack.state) == names
    stack.up(program(section, harbor=HARBOR_2_15))
    assert stack.did == []


def test_a_registry_that_a_person_made_read_only_is_opened_before_anything_else(
    stack: Stack, program: Program
) -> None:
    person = Registry(stack.harbor)
    person.ask("PUT", "/configurations", {"read_only": True})
    with pytest.raises(HarborError, match=r"403 .*read-only mode .*`registry.system.readOnly: f"):
        stack.up(program(SMALL))
    assert stack.state == {}

    stack.up(program({**SMALL, "system": {"readOnly": False}, "adopt": True}))
    assert stack.did[0] == ("create", "registry-configuration-read-only")
    assert person.ask("GET", "/configurations")["read_only"]["value"] is False


def test_what_is_taken_out_of_the_file_is_deleted(stack: Stack, program: Program) -> None:
    stack.up(program(SMALL))
    stack.up(program({}))
    deleted = [name for act, name in stack.did if act == "delete"]
    assert deleted.index("registry-robot-cluster") < deleted.index("registry-project-apps")
    project, endpoint = "registry-project-proxy-ghcr", "registry-endpoint-proxy-ghcr"
    assert deleted.index(project) < deleted.index(endpoint)


CACHE: dict[str, Any] = {
    "proxyCaches": {"hub": {"upstream": {"type": "docker-registry", "url": "https://up.test"}}}
}

WITH_RULES: dict[str, Any] = {
    "projects": {
        "apps": {
            "retention": {"keep": [{"always": True, "tags": ["v*"]}]},
            "immutableTags": [{"tags": ["v*"]}],
            "labels": {"checked": {}},
            "webhooks": {"chat": {"url": "https://chat.test", "events": ["PUSH_ARTIFACT"]}},
            "robots": {"ci": {"permissions": ["push"]}},
        }
    }
}


def in_project(stack: Stack, project: str) -> dict[str, Any]:
    """What Harbor has in a project, by kind; None for what is gone with its project."""
    ask = Registry(stack.harbor).ask
    of = ask("GET", f"/projects/{project}")
    if of is None:
        return {}
    path, number = f"/projects/{project}", of["project_id"]
    return {
        "retention": (of.get("metadata") or {}).get("retention_id"),
        "immutable": len(ask("GET", f"{path}/immutabletagrules")),
        "members": len(ask("GET", f"{path}/members")),
        "webhooks": len(ask("GET", f"{path}/webhook/policies")),
        "labels": len(ask("GET", f"/labels?scope=p&project_id={number}")),
        "robots": len(ask("GET", f"/robots?q=Level%3Dproject,ProjectID%3D{number}")),
    }


def test_a_cache_with_images_that_leaves_the_file_stays_with_its_retention_and_endpoint(
    stack: Stack, program: Program
) -> None:
    stack.up(program(CACHE))
    repositories.put(stack.harbor.world, "hub", "library/app", "sha256:0", ["v1"])
    before = in_project(stack, "hub")

    stack.up(program({}))

    assert in_project(stack, "hub") == before
    assert [row["name"] for row in Registry(stack.harbor).ask("GET", "/registries")] == ["hub"]
    project, endpoint = stack.warnings
    assert project.startswith("project hub stays in Harbor")
    assert endpoint == (
        "endpoint hub stays in Harbor, since a proxy cache that stays reads from it: it is no "
        "longer managed"
    )
    stack.up(program({}))
    assert (stack.did, stack.warnings) == ([], [])
    stack.up(program(CACHE))
    stack.up(program(CACHE))
    assert stack.did == []


def test_in_a_project_that_stays_only_robots_end(stack: Stack, program: Program) -> None:
    stack.up(program(WITH_RULES))
    repositories.put(stack.harbor.world, "apps", "app", "sha256:0", ["v1"])
    before = in_project(stack, "apps")
    assert all(before.values())

    stack.up(program({}))

    assert in_project(stack, "apps") == {**before, "robots": 0}
    (warning,) = stack.warnings
    assert warning.startswith("project apps stays in Harbor")


def test_rules_that_leave_the_file_without_their_project_are_deleted(
    stack: Stack, program: Program
) -> None:
    stack.up(program(WITH_RULES))
    repositories.put(stack.harbor.world, "apps", "app", "sha256:0", ["v1"])
    stack.up(program({"projects": {"apps": {}}}))
    after = in_project(stack, "apps")
    assert [after[kind] for kind in ("retention", "immutable", "webhooks", "labels")] == [
        *(None, 0, 0, 0)
    ]


@pytest.mark.parametrize(
    ("section", "project"),
    [pytest.param(CACHE, "hub", id="cache"), pytest.param(WITH_RULES, "apps", id="project")],
)
def test_a_project_that_is_named_is_deleted_with_all_that_is_in_it(
    section: dict[str, Any], project: str, stack: Stack, program: Program
) -> None:
    stack.up(program(section))
    repositories.put(stack.harbor.world, project, "app", "sha256:0", ["v1"])
    stack.up(program({"deleteContents": [project]}))
    assert in_project(stack, project) == {}
    assert Registry(stack.harbor).ask("GET", "/registries") == []
    assert stack.warnings == []


ROTATED: dict[str, Any] = {
    "projects": {
        "apps": {
            "robots": {"ci": {"permissions": ["push"], "pullSecret": {"namespaces": ["build"]}}}
        }
    }
}


def rotated(**settings: Any) -> dict[str, Any]:
    robot = {**ROTATED["projects"]["apps"]["robots"]["ci"], **settings}
    return {"projects": {"apps": {"robots": {"ci": robot}}}}


def test_both_logins_work_within_the_grace_of_a_rotation(stack: Stack, program: Program) -> None:
    harbor = stack.harbor
    stack.up(program(rotated()))
    old = "robot$apps+ci", minted("registry-robot-apps/ci-secret")
    assert logs_in(harbor, *old)

    engine = stack.up(program(rotated(rotation=2)))
    new = "robot$apps+ci-2", minted("registry-robot-apps/ci-2-secret")
    assert logs_in(harbor, *old)
    assert logs_in(harbor, *new)
    assert stack.did == [
        ("create", "registry-robot-apps/ci-2"),
        ("update days", "registry-robot-apps/ci"),
    ]
    (login,) = logins(engine, "build", "registry-apps-ci").values()
    assert (login["username"], login["password"]) == new
    ends = stack.state["registry-robot-apps/ci"].outputs["expiresAt"]
    assert ends == pytest.approx(time.time() + 7 * DAY, abs=DAY)
    assert stack.state["registry-robot-apps/ci-2"].outputs["expiresAt"] == -1

    stack.up(program(rotated(rotation=2)))
    assert stack.did == []

    stack.up(program(rotated(rotation=3)))
    newest = "robot$apps+ci-3", minted("registry-robot-apps/ci-3-secret")
    assert [logs_in(harbor, *login) for login in (old, new, newest)] == [False, True, True]


def test_without_grace_the_old_login_ends_with_the_rotation(stack: Stack, program: Program) -> None:
    stack.up(program(rotated()))
    stack.up(program(rotated(rotation=2, graceDays=0)))
    assert stack.did == [
        ("create", "registry-robot-apps/ci-2"),
        ("delete", "registry-robot-apps/ci"),
    ]
    assert not logs_in(stack.harbor, "robot$apps+ci", minted("registry-robot-apps/ci-secret"))


def test_a_rotation_that_is_taken_back_gives_the_old_login_its_life_back(
    stack: Stack, program: Program
) -> None:
    stack.up(program(rotated()))
    stack.up(program(rotated(rotation=2)))
    stack.up(program(rotated()))
    assert logs_in(stack.harbor, "robot$apps+ci", minted("registry-robot-apps/ci-secret"))
    assert stack.state["registry-robot-apps/ci"].outputs["expiresAt"] == -1


# ---- The prefix of robots' logins ---------------------------------------------------------------


def with_prefix(prefix: str | None) -> dict[str, Any]:
    return {**rotated(), "system": {} if prefix is None else {"robotPrefix": prefix}}


def login_of(engine: Any) -> str:
    (login,) = logins(engine, "build", "registry-apps-ci").values()
    return login["username"]


def test_a_changed_prefix_reaches_robots_and_logins_in_the_same_up(
    stack: Stack, program: Program
) -> None:
    secret = minted("registry-robot-apps/ci-secret")
    stack.up(program(with_prefix(None)))
    robot = "registry-robot-apps/ci"
    engine = stack.up(program(with_prefix("bot$")))
    assert ("update prefix", robot) in stack.did
    assert stack.state[robot].outputs["fullName"] == login_of(engine) == "bot$apps+ci"
    assert logs_in(stack.harbor, "bot$apps+ci", secret)

    stack.up(program(with_prefix("bot$")))
    assert stack.did == []
    # Harbor keeps it when the line goes.
    stack.up(program(with_prefix(None)))
    assert robot not in {name for _, name in stack.did}
    assert stack.state[robot].outputs["fullName"] == "bot$apps+ci"
    stack.up(program(with_prefix(None)))
    assert stack.did == []


# ---- A Harbor that people have set up already ----------------------------------------------------


def set_up_by_a_person(harbor: FakeHarbor) -> dict[str, Any]:
    """What a person set, as Harbor shows it."""
    person = Registry(harbor)
    schedule = {"type": "Custom", "cron": "0 30 2 * * *"}
    for path, parameters in (
        ("/system/gc/schedule", {"delete_untagged": True, "workers": 5}),
        (
            "/system/purgeaudit/schedule",
            {"audit_retention_hour": 48, "include_event_types": "pull_artifact", "dry_run": True},
        ),
        ("/system/scanAll/schedule", {}),
    ):
        person.ask("PUT", path, {"schedule": schedule, "parameters": parameters})
    settings = {"session_timeout": 90, "robot_name_prefix": "site$", "storage_per_project": 1024}
    person.ask("PUT", "/configurations", settings)
    person.ask("PUT", "/system/CVEAllowlist", {"items": [{"cve_id": "CVE-1"}]})
    return of_a_person(harbor)


def of_a_person(harbor: FakeHarbor) -> dict[str, Any]:
    person = Registry(harbor)
    shown = {
        path: person.ask("GET", path)
        for path in (
            "/system/gc/schedule",
            "/system/purgeaudit/schedule",
            "/system/scanAll/schedule",
            "/system/CVEAllowlist",
        )
    }
    items = person.ask("GET", "/configurations")
    kept = {key: item.get("value") for key, item in items.items()}
    return {**shown, "items": {**kept, "project_creation_restriction": ""}}


@pytest.mark.parametrize("adopt", [False, True])
def test_a_harbor_that_people_set_up_keeps_what_the_file_does_not_state(
    stack: Stack, program: Program, *, adopt: bool
) -> None:
    before = set_up_by_a_person(stack.harbor)
    section = {**rotated(), "adopt": adopt}

    stack.up(program(section))
    assert of_a_person(stack.harbor) == before
    assert stack.state["registry-robot-apps/ci"].outputs["fullName"] == "site$apps+ci"
    assert len(stack.told) == 3 and stack.warnings == []
    stack.up(program(section))
    assert (stack.did, stack.told) == ([], [])

    stated = {"schedules": {"garbageCollection": {"workers": 2}}, **section}
    if not adopt:
        fresh = Stack(stack.harbor)
        with pytest.raises(Refused, match="schedule garbageCollection exists"):
            fresh.up(program(stated))
    stack.up(program(stated))
    gc = of_a_person(stack.harbor)["/system/gc/schedule"]
    assert gc["schedule"]["cron"] == "0 30 2 * * *"
    parameters = json.loads(gc["job_parameters"])
    assert (parameters["delete_untagged"], parameters["workers"]) == (True, 2)
    stack.up(program(stated))
    assert stack.did == []


def test_a_new_harbor_gets_the_defaults(stack: Stack, program: Program) -> None:
    stack.up(program({}))
    shown = of_a_person(stack.harbor)
    for path in ("/system/gc/schedule", "/system/purgeaudit/schedule", "/system/scanAll/schedule"):
        assert shown[path]["schedule"]["cron"]
    items = Registry(stack.harbor).ask("GET", "/configurations")
    assert items["project_creation_restriction"]["value"] == "adminonly"
    assert stack.told == []


# ---- the password of admin ------------------------------------------------------------------


FIRST, SECOND, THIRD = (
    minted(f"credentials-admin-password{number}") for number in ("", "-2", "-3")
)


def admin_logs_in(harbor: FakeHarbor, password: str) -> bool:
    token = base64.b64encode(f"admin:{password}".encode()).decode()
    answer = urllib3.request(
        "GET",
        f"{harbor.url}/api/v2.0/users/current",
        headers={"Authorization": f"Basic {token}"},
        retries=False,
    )
    return answer.status == 200


@pytest.fixture
def minted_admin() -> Iterator[Stack]:
    """A stack whose Harbor was started with the password that the program made."""
    with FakeHarbor(admin_password=FIRST) as harbor:
        yield Stack(harbor, mints_admin=True)


def test_admins_password_is_rotated(minted_admin: Stack, program: Program) -> None:
    stack = minted_admin
    stack.up(program(SMALL))
    stack.up(program(SMALL, rotation={"adminPassword": 2}))
    assert stack.did == [("create", "registry-admin-password")]
    assert admin_logs_in(stack.harbor, SECOND)
    assert not admin_logs_in(stack.harbor, FIRST)
    stack.up(program(SMALL, rotation={"adminPassword": 2}))
    assert stack.did == []
    stack.up(program(SMALL, rotation={"adminPassword": 3}))
    assert stack.did == [("update password", "registry-admin-password")]
    assert admin_logs_in(stack.harbor, THIRD)


def test_two_rotations_at_once_lock_nobody_out(minted_admin: Stack, program: Program) -> None:
    minted_admin.up(program(SMALL))
    minted_admin.up(program(SMALL, rotation={"adminPassword": 3}))
    assert admin_logs_in(minted_admin.harbor, THIRD)


def test_a_new_stack_may_begin_with_a_later_rotation(program: Program) -> None:
    with FakeHarbor(admin_password=SECOND) as harbor:
        stack = Stack(harbor, mints_admin=True)
        stack.up(program(SMALL, rotation={"adminPassword": 2}))
        assert admin_logs_in(harbor, SECOND)


@pytest.mark.parametrize("fault", ["500", "401", "reset before", "reset after"])
def test_a_rotation_that_is_interrupted_at_any_call_is_finished_by_the_next_run(
    fault: str, program: Program
) -> None:
    rotated = program({}, rotation={"adminPassword": 2})
    with FakeHarbor(admin_password=FIRST) as harbor:
        first = Stack(harbor, mints_admin=True)
        first.up(program({}))
        before = copy.deepcopy(first.state)
        password = harbor.world.table("users")[1]["password"]
        at = 0
        while True:
            at += 1
            harbor.world.table("users")[1]["password"] = password
            stack = Stack(harbor, mints_admin=True, patience=0.1, state=copy.deepcopy(before))
            harbor.calls(forget=True)
            harbor.plan(Fault(fault, at=at))
            with contextlib.suppress(HarborError, HalfCreated):
                stack.up(rotated)
            calls = len(harbor.calls())
            harbor.plan()
            assert any(admin_logs_in(harbor, known) for known in (FIRST, SECOND))
            stack.up(rotated)
            assert admin_logs_in(harbor, SECOND), f"{fault} at call {at}"
            if calls < at:
                return
