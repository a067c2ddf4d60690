"""Stacks that earlier versions brought up, previewed with this code: nothing that lasts is lost.

A new version's state, from a clean clone at its tag:

    make up && .venv/bin/python -m tests.support.recording v1.2.3
"""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.project import ROOT
from review.plan import Plan
from tests.support import recording

PASSWORD = "random:index/randomPassword:RandomPassword"
PRIVATE_KEY = "tls:index/privateKey:PrivateKey"


def lost(plan: Plan) -> list[str]:
    """What would not be there any more, or not be the same."""
    lasting = (PASSWORD, PRIVATE_KEY)
    return [
        f"{change.act} {change.name}"
        for change in plan.changes
        if change.act in ("delete", "replace") and (change.data or change.type in lasting)
    ]


@pytest.mark.parametrize("tag", recording.tags())
def test_an_upgrade_replaces_nothing_that_holds_data_and_mints_nothing_anew(
    tag: str, tmp_path: Path
) -> None:
    plan = recording.preview(tag, tmp_path)
    assert plan.errors == ()
    assert plan.count("same") > 40, "the state was really compared with the program"
    assert lost(plan) == []


def test_a_change_that_would_lose_data_is_found(tmp_path: Path) -> None:
    plan = recording.preview(recording.tags()[-1], tmp_path, config={"harbor.namespace": "other"})
    assert {"replace namespace", "replace database-cluster"} <= set(lost(plan))


@pytest.mark.parametrize("tag", recording.tags())
def test_a_recorded_state_names_no_machine_and_shows_no_secret(tag: str) -> None:
    text = str(recording.state_of(tag))
    for machine in ("/home/", "/root/", "/Users/", "/tmp/", str(ROOT)):
        assert machine not in text
    assert "plaintext" not in text
    assert "PRIVATE KEY" not in text
