"""A fake Harbor and the plugin's provider over it, one for each test; and waits that are short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.registry import api
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ADMIN_PASSWORD, Registry


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        yield harbor


@pytest.fixture
def fake(harbor: FakeHarbor) -> FakeHarbor:
    """The same, for tests that call the plugin's client `harbor`."""
    return harbor


@pytest.fixture
def registry(harbor: FakeHarbor) -> Registry:
    return Registry(harbor).with_account()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is what the client does after a wait, not how long the wait is."""
    monkeypatch.setattr(api, "_WAITS", (0.001, 0.001, 0.001, 0.001))
    # Longer than the patience of a run that a fault is to end.
    monkeypatch.setattr(api, "_PAUSE", 0.15)
    monkeypatch.setattr(api, "_HEALTH_IS_LATE", 0.02)
    monkeypatch.setattr(api, "PREVIEW_PATIENCE", 0.4)
