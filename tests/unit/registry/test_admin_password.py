"""The rotation of admin's password: nobody is locked out, wherever a run is interrupted."""

from __future__ import annotations

import pytest

from components.registry.api import ADMIN_PASSWORD_KEY, PREVIOUS_ADMIN_PASSWORD_KEY
from components.registry.errors import HarborError, Refused
from components.registry.kinds.base import HalfCreated
from sandbox.fake_harbor.faults import KINDS, Fault
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ADMIN_PASSWORD, Registry

NEW = "Rotated12345"


def with_secret(registry: Registry, password: str, previous: str = "") -> Registry:
    """The Secret as the cluster has it."""
    registry.connection.secrets["admin", ADMIN_PASSWORD_KEY] = password
    registry.connection.secrets["admin", PREVIOUS_ADMIN_PASSWORD_KEY] = previous
    return registry


def test_the_first_password_is_the_one_that_harbor_started_with(
    harbor: FakeHarbor, registry: Registry
) -> None:
    harbor.calls(forget=True)
    outputs = registry.create("AdminPassword", password=ADMIN_PASSWORD)
    assert outputs["works"] and ADMIN_PASSWORD not in str(outputs)
    assert all(call.method == "GET" for call in harbor.calls())
    assert registry.changed("AdminPassword", outputs, password=ADMIN_PASSWORD) == ()


@pytest.mark.parametrize(
    ("in_secret", "previous"),
    [(NEW, ADMIN_PASSWORD), (ADMIN_PASSWORD, ""), (ADMIN_PASSWORD, "Older12345")],
    ids=["the-secret-has-it", "the-secret-is-behind", "the-secret-is-behind-again"],
)
def test_a_new_password_is_set_and_proven(
    registry: Registry, in_secret: str, previous: str
) -> None:
    outputs = registry.create("AdminPassword", password=ADMIN_PASSWORD)
    with_secret(registry, in_secret, previous)
    assert registry.changed("AdminPassword", outputs, password=NEW) == ("password",)
    outputs = registry.update("AdminPassword", outputs, password=NEW)
    assert outputs["works"]
    assert registry.changed("AdminPassword", outputs, password=NEW) == ()
    assert registry.api.accepts("admin", NEW)
    assert not registry.api.accepts("admin", ADMIN_PASSWORD)
    registry.create("CveAllowlist", items=["CVE-1"])


def test_admin_works_while_the_secret_is_ahead_of_harbor(
    harbor: FakeHarbor, registry: Registry
) -> None:
    ahead = with_secret(Registry(harbor), NEW, ADMIN_PASSWORD)
    ahead.create("CveAllowlist", items=["CVE-1"])


def test_a_run_that_was_interrupted_after_the_change_is_finished(
    harbor: FakeHarbor, registry: Registry
) -> None:
    outputs = registry.create("AdminPassword", password=ADMIN_PASSWORD)
    registry.update("AdminPassword", outputs, password=NEW)
    # The state still has the outputs before it.
    behind = with_secret(Registry(harbor), NEW, ADMIN_PASSWORD)
    harbor.calls(forget=True)
    assert behind.update("AdminPassword", outputs, password=NEW)["works"]
    assert all(call.method == "GET" for call in harbor.calls())


def told(registry: Registry) -> str:
    """What a run that sets the new password says and keeps when it fails."""
    try:
        registry.create("AdminPassword", password=NEW)
    except HalfCreated as half:
        return f"{half} {half.outputs}"
    except HarborError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "delay"])
def test_a_fault_at_any_call_locks_nobody_out(kind: str) -> None:
    at = 0
    while True:
        at += 1
        with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
            registry = with_secret(Registry(harbor, patience=0.1), NEW, ADMIN_PASSWORD)
            harbor.plan(Fault(kind, at=at))
            assert NEW not in told(registry)
            calls = len(harbor.calls())
            harbor.plan()
            again = with_secret(Registry(harbor), NEW, ADMIN_PASSWORD)
            assert again.create("AdminPassword", password=NEW)["works"]
            changes = [c for c in harbor.calls() if c.method == "PUT" and c.status == 200]
            assert len(changes) <= 1, f"{kind} at call {at}: changed twice"
        if calls < at:
            return


def test_an_answer_that_was_lost_is_no_failure(harbor: FakeHarbor, registry: Registry) -> None:
    with_secret(registry, NEW, ADMIN_PASSWORD)
    harbor.plan(Fault("reset after", path=".*/users/1/password"))
    assert registry.create("AdminPassword", password=NEW)["works"]
    assert len([call for call in harbor.calls() if "password" in call.path]) == 1


def test_a_password_that_somebody_changed_in_harbor_is_told(registry: Registry) -> None:
    outputs = registry.create("AdminPassword", password=ADMIN_PASSWORD)
    registry.api.change_admin_password(ADMIN_PASSWORD, "Theirs12345")

    refreshed = registry.read("AdminPassword", "admin", outputs)
    assert refreshed is not None
    assert refreshed == {**outputs, "works": False}
    assert registry.changed("AdminPassword", refreshed, password=ADMIN_PASSWORD) == ("works",)
    with pytest.raises(Refused, match="Secret admin, key HARBOR_ADMIN_PASSWORD"):
        registry.update("AdminPassword", refreshed, password=ADMIN_PASSWORD)


def test_a_password_that_harbor_would_refuse_is_refused_in_preview(registry: Registry) -> None:
    for password in ("weak", "alllower12345", "Nodigitsatall"):
        (problem,) = registry.refused("AdminPassword", password=password)
        assert password not in str(problem)
