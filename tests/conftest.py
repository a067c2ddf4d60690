"""For all tests: the environment of whoever runs them decides nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair: no test judges times.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_READ_ON_PURPOSE = {"SANDBOX_KILL_SEED"}
"""By tests/sandbox/test_interruptions.py, to repeat a run."""


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Takes a shell's cluster, backend and sandbox out of the environment.

    HARBOR_CHART stays: render tests (tests/support/rendering.py, when it is imported) and the
    sandbox (sandbox/chart.py, when it starts) use the chart it names. Unit tests of settings delete
    it themselves.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            is_users = name == "KUBECONFIG" or name.startswith(("PULUMI_", "SANDBOX_"))
            if is_users and name not in _READ_ON_PURPOSE:
                patch.delenv(name)
        yield
