"""Stacks whose config the tests of settings load."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pulumi
import pytest
from pulumi.runtime.settings import reset_options
from pulumi.runtime.stack import wait_for_rpcs

from tests.support.loading import Stack


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield Stack(monkeypatch, loop)
    loop.run_until_complete(wait_for_rpcs())
    reset_options()
    pulumi.runtime.set_all_config({}, [])
    asyncio.set_event_loop(None)
    loop.close()
