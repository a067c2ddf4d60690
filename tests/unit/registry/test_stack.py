"""The section `registry` from the stack's file into Harbor, over a fake of its API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.registry.component import Registry
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.builders import context_of
from tests.support.mocks import minted
from tests.support.registry import ADMIN_PASSWORD
from tests.support.registry import Registry as Plugin
from tests.support.registry_stack import Stack
from tests.unit.registry.test_component import SMALL, logins, registry

DAY = 86400


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
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
    """Whether Harbor takes this login of a robot."""
    plugin: Any = Plugin(harbor).provider._session  # pyright: ignore[reportPrivateUsage]
    return plugin.harbor.accepts(name, password)


def test_a_second_up_changes_nothing(stack: Stack, program: Program) -> None:
    stack.up(program(SMALL))
    assert {act for act, _ in stack.did} == {"create"}
    stack.up(program(SMALL))
    assert stack.did == []


def test_a_lost_state_is_made_again_without_a_word(stack: Stack, program: Program) -> None:
    stack.up(program(SMALL))
    again = Stack(stack.harbor)
    again.up(program(SMALL))
    assert again.state.keys() == stack.state.keys()
    again.up(program(SMALL))
    assert again.did == []


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
