"""A few faults of `make chaos`, the same ones each time: every one of them is got over.

The long run is `make chaos CHAOS_SECONDS=3600`; docs/reference/reliability.md has its figures.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chaos import attempt
from chaos.attempt import REPAIRED, SKIPPED, SURVIVED
from chaos.faults import KINDS
from chaos.trial import Trial, opened
from engine.stack import Stack
from tests.sandbox.conftest import Sandbox

TRIED = (
    ("engine-killed-at-call", "rotation"),
    ("disk-full", "policies"),
    ("api-one-call", "release"),
    ("api-killed", "policies"),
    ("harbor-one-call", "registry"),
)
"""Fault and what the run changes. It is to take two minutes at most, so not all of KINDS."""


@pytest.fixture(scope="module")
def trial(sandbox: Sandbox, sovereign: Stack) -> Iterator[Trial]:
    with opened(sandbox) as made:
        attempt.prepared(made)
        yield made
        # The next file finds a Sovereign that is well, and a bucket without this one's blob.
        attempt.begun_anew(made)
        made.take_sentinel()


@pytest.mark.parametrize(("name", "change"), TRIED, ids=[name for name, _ in TRIED])
def test_the_next_run_converges_and_nothing_is_lost(trial: Trial, name: str, change: str) -> None:
    # What one try has lost is not to be told by the others too.
    attempt.begun_anew(trial)
    kind = replace(KINDS[name], changes=(change,))
    *missed, tried = attempt.tried(trial, kind, random.Random(f"two minutes/{name}"))
    assert not [problem for each in missed for problem in each.problems]
    if tried.outcome == SKIPPED:
        pytest.skip("; ".join(tried.problems))
    assert tried.problems == ()
    assert tried.faults
    assert tried.outcome in (SURVIVED, REPAIRED)
