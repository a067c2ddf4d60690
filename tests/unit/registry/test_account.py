"""The program's own account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.registry.api import ACCOUNT_PASSWORD_KEY
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ACCOUNT, ADMIN_PASSWORD, Registry


@pytest.fixture
def registry() -> Iterator[Registry]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        yield Registry(harbor)


def test_the_account_gets_every_right_but_those_over_users(registry: Registry) -> None:
    outputs = registry.create("Account", name=ACCOUNT)

    assert outputs["ready"]
    assert outputs["fullName"] == f"robot${ACCOUNT}"
    (robot,) = registry.ask("GET", "/robots")
    rights = {right["resource"] for block in robot["permissions"] for right in block["access"]}
    assert {"project", "robot", "registry", "user-group"} <= rights
    assert "user" not in rights


def test_an_account_that_was_disabled_by_hand_is_mended(registry: Registry) -> None:
    outputs = registry.create("Account", name=ACCOUNT)
    (robot,) = registry.ask("GET", "/robots")
    registry.ask("PUT", f"/robots/{robot['id']}", {**robot, "disable": True})

    refreshed = registry.read("Account", ACCOUNT, outputs)
    assert refreshed is not None and not refreshed["ready"]
    assert registry.changed("Account", refreshed, name=ACCOUNT) == ("ready",)
    assert registry.update("Account", refreshed, name=ACCOUNT)["ready"]


def test_an_account_that_was_disabled_works_again_in_the_same_run(registry: Registry) -> None:
    """A refresh before it had its login refused, which is remembered for a while."""
    outputs = registry.create("Account", name=ACCOUNT)
    project = registry.create("Project", name="apps")
    (robot,) = registry.ask("GET", "/robots")
    registry.ask("PUT", f"/robots/{robot['id']}", {**robot, "disable": True})

    run = Registry(registry.harbor)
    assert run.read("Project", "apps", project) == project
    refreshed = run.read("Account", ACCOUNT, outputs)
    assert refreshed is not None
    run.update("Account", refreshed, name=ACCOUNT)
    run.create("Project", name="after")


def test_a_new_password_is_set_and_used(registry: Registry) -> None:
    outputs = registry.create("Account", name=ACCOUNT, revision="1")
    registry.create("Project", name="before")
    registry.connection.secrets["account", ACCOUNT_PASSWORD_KEY] = "Fresh12345"

    assert registry.changed("Account", outputs, name=ACCOUNT, revision="2") == ("revision",)
    outputs = registry.update("Account", outputs, name=ACCOUNT, revision="2")

    assert outputs["revision"] == "2" and outputs["ready"]
    registry.create("Project", name="after")
