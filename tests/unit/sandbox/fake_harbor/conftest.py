"""A fake and its client, one for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.fake_harbor import FakeHarbor
from tests.support.harbor_client import ADMIN, Client


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    with FakeHarbor(admin_password=ADMIN[1]) as running:
        yield running


@pytest.fixture
def client(harbor: FakeHarbor) -> Client:
    return Client(harbor.url)
