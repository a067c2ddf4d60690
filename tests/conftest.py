"""For all tests: the environment of whoever runs them decides nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

from tests.support.project import ROOT

# How long an example takes is the machine's affair: no test judges times. Each run has the same
# examples, so that no change is blamed for another's fault.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# `make fuzz`: other examples each time; pytest prints the seed.
settings.register_profile(
    "fuzz",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fuzz" if os.environ.get("FUZZ_CASES") else "suite")

_READ_ON_PURPOSE = {
    "SANDBOX_KILL_SEED",
    "SANDBOX_HARBOR_API",
    "SANDBOX_HARBOR_ADMIN_PASSWORD",
    "SANDBOX_HARBOR_UPSTREAM",
}
"""By tests/sandbox/test_interruptions.py, to repeat a run, and by test_recorded.py, which compares
a real Harbor with the recordings."""

_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""How wide rich and argparse write, and whether in colours. CI services set some of these."""

CHARTS = {"TEST_HARBOR_CHART": "HARBOR_CHART", "TEST_HARBOR_CHART_NEXT": "HARBOR_CHART_NEXT"}
"""Name goharbor's chart, and that of the newest line, for the tests: a folder or a .tgz."""


def _clean_environment() -> None:
    """Takes a shell's cluster, backend, cloud, sandbox (make env) and terminal out of the
    environment."""
    for name in [*os.environ]:
        is_users = name in ("KUBECONFIG", *CHARTS.values(), *_TERMINAL) or name.startswith(
            ("AWS_", "PULUMI_", "SANDBOX_")
        )
        if is_users and name not in _READ_ON_PURPOSE:
            del os.environ[name]
    # A run is many short processes: where this is set, each would compile all that it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # The temporary folder of `make env` is inside the project, where pulumi and git find it.
    if Path(os.environ.get("TMPDIR") or "/").is_relative_to(ROOT):
        del os.environ["TMPDIR"]
        tempfile.tempdir = None
    # By these names the sandbox, the program and the tests read them.
    for given, name in CHARTS.items():
        if chart := os.environ.get(given):
            os.environ[name] = chart


# Here and not in a fixture: test modules read the environment when they are imported.
_clean_environment()
