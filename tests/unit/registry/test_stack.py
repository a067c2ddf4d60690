"""The section `registry` from the stack's file into Harbor, over a fake of its API."""

from __future__ import annotations

import base64
import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from components.registry import api
from components.registry.component import Registry
from components.registry.errors import HarborError
from components.registry.kinds.base import HalfCreated
from sandbox.fake_harbor.faults import Fault
from sandbox.fake_harbor.server import FakeHarbor, Settings
from tests.support.builders import context_of
from tests.support.mocks import minted
from tests.support.registry import ADMIN_PASSWORD
from tests.support.registry_stack import Stack
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


@pytest.fixture
def program(sealing_certificate: str) -> Callable[..., Callable[[], Registry | None]]:
    """A program with that section `registry`."""

    def build(section: dict[str, Any], **sections: Any) -> Callable[[], Registry | None]:
        return lambda: registry(context_of(sealing_certificate), section, **sections)

    return build


Program = Callable[..., Callable[[], Registry | None]]


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
    section: dict[str, Any], stack: Stack, program: Program
) -> None:
    stack.up(program(section, harbor=HARBOR_2_15))
    assert {act for act, _ in stack.did} == {"create"}
    stack.up(program(section, harbor=HARBOR_2_15))
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


def test_what_is_taken_out_of_the_file_is_deleted(stack: Stack, program: Program) -> None:
    stack.up(program(SMALL))
    stack.up(program({}))
    deleted = [name for act, name in stack.did if act == "delete"]
    assert deleted.index("registry-robot-cluster") < deleted.index("registry-project-apps")
    project, endpoint = "registry-project-proxy-ghcr", "registry-endpoint-proxy-ghcr"
    assert deleted.index(project) < deleted.index(endpoint)


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
    fault: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_WAITS", (0.001, 0.001, 0.001, 0.001))
    monkeypatch.setattr(api, "_HEALTH_IS_LATE", 0.02)
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
