"""The fake answers as Harbor 2.14.3 was recorded to answer, and a real one still does.

The same exchanges with a real Harbor, which must be empty, is changed, and is emptied again:

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
    replay_and_empty(recording, Client(address, ("admin", password)))


def replay_and_empty(recording: Recording, client: Client) -> None:
    """Replays on a Harbor that other recordings follow on; refuses one that holds anything."""
    names = harbor_replay.contents(client).values()
    assert not names, f"this Harbor is not empty, and would be emptied: {', '.join(names)}"
    before, replay = harbor_replay.configuration(client), Replay(client)
    try:
        assert "\n".join(replay.differences(recording)) == ""
    finally:
        harbor_replay.empty(client, before, replay.made("labels"))


def test_a_harbor_that_holds_something_is_not_touched(client: Client) -> None:
    client.ask("POST", "/projects", {"project_name": "own"})
    with pytest.raises(AssertionError, match="is not empty, and would be emptied: own"):
        replay_and_empty(RECORDINGS[0], client)
    assert client.ask("GET", "/projects/own").status == 200


def test_one_harbor_answers_recording_after_recording() -> None:
    """As a real one would: with other ids each time, and without what only a fake does."""
    with FakeHarbor(
        admin_password=ADMIN[1], settings=Settings(reachable=[], seconds_until_final=5)
    ) as harbor:
        for recording in RECORDINGS:
            if not recording.not_on_a_real_one:
                replay_and_empty(recording, Client(harbor.url))


def test_most_of_what_was_recorded_is_replayed_and_the_rest_has_a_reason() -> None:
    assert sum(len(recording.replayed) for recording in RECORDINGS) >= 360
    for recording in RECORDINGS:
        for line in recording.lines:
            treated = line.get("replay", {})
            if {"not", "only", "ignore", "fake_only"} & set(treated):
                assert treated.get("not") or treated.get("why"), (recording.name, line["what"])
