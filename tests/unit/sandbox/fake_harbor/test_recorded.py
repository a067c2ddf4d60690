"""The fake answers as Harbor 2.14.3 was recorded to answer, and a real one still does.

The same exchanges with a real, empty Harbor, which is changed by it:

    SANDBOX_HARBOR_API=http://host:port SANDBOX_HARBOR_ADMIN_PASSWORD=… \
        .venv/bin/pytest --no-cov tests/unit/sandbox/fake_harbor/test_recorded.py
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.fake_harbor import FakeHarbor
from sandbox.fake_harbor.server import Settings
from tests.support import harbor_replay
from tests.support.harbor_client import ADMIN, Client
from tests.support.harbor_replay import Recording, Replay

RECORDINGS = harbor_replay.recordings()
BY_NAME = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r.name)


@BY_NAME
def test_the_fake_answers_as_recorded(recording: Recording) -> None:
    with FakeHarbor(admin_password=ADMIN[1], settings=Settings(**recording.settings)) as harbor:

        def act(what: Mapping[str, Any]) -> None:
            if "down" in what:
                harbor.settings.down = set(what["down"])
            if "image" in what:
                harbor.put_image(*what["image"])

        replay = Replay(Client(harbor.url), act)
        assert "\n".join(replay.differences(recording)) == ""


@BY_NAME
def test_a_real_harbor_answers_as_recorded(recording: Recording) -> None:
    address = os.environ.get("SANDBOX_HARBOR_API")
    if not address:
        pytest.skip("SANDBOX_HARBOR_API and SANDBOX_HARBOR_ADMIN_PASSWORD name no real Harbor")
    if recording.not_on_a_real_one:
        pytest.skip(recording.not_on_a_real_one)
    password = os.environ["SANDBOX_HARBOR_ADMIN_PASSWORD"]
    replay = Replay(Client(address, ("admin", password)))
    assert "\n".join(replay.differences(recording)) == ""


def test_most_of_what_was_recorded_is_replayed_and_the_rest_has_a_reason() -> None:
    assert sum(len(recording.replayed) for recording in RECORDINGS) >= 360
    for recording in RECORDINGS:
        for line in recording.lines:
            treated = line.get("replay", {})
            if {"not", "only", "ignore", "fake_only"} & set(treated):
                assert treated.get("not") or treated.get("why"), (recording.name, line["what"])
