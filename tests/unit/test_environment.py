"""The environment of whoever runs the tests decides nothing, also in the shell of `make env`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.environment import as_shell
from tests.support.project import ROOT

OF_THE_SANDBOX = {
    "KUBECONFIG": "/sandbox/kubeconfig",
    "PULUMI_BACKEND_URL": "file:///sandbox/pulumi-state",
    "PULUMI_CONFIG_PASSPHRASE": "sandbox",
    "PULUMI_HOME": "/sandbox/pulumi-home",
    "HARBOR_CHART": "offline/harbor-chart",
    "SANDBOX_S3_ENDPOINT": "http://127.0.0.1:1",
    "TMPDIR": str(ROOT / ".sandbox" / "tmp"),
}
SHOWN = """
import os, tempfile
import tests.conftest
from tests.support import rendering
names = [name for name in {names!r} if name in os.environ]
print(names, rendering.REAL, tempfile.gettempdir())
"""


@pytest.mark.parametrize("chart", [None, "/charts/harbor"])
def test_tests_begin_without_the_sandbox_s_variables(chart: str | None) -> None:
    given = {"TEST_HARBOR_CHART": chart} if chart else {}
    shown = subprocess.run(
        [sys.executable, "-c", SHOWN.format(names=sorted(OF_THE_SANDBOX))],
        cwd=ROOT,
        env={**os.environ, **OF_THE_SANDBOX, **given},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kept = ["HARBOR_CHART"] if chart else []
    assert shown.startswith(f"{kept} {chart} ")
    assert not Path(shown.split()[-1]).is_relative_to(ROOT)


def test_a_shell_gets_each_variable_as_it_is() -> None:
    shell = as_shell({"A": "two words", "B": "it's"})
    shown = subprocess.run(
        ["sh", "-c", f'{shell}\nprintf "%s|%s" "$A" "$B"'], capture_output=True, text=True
    )
    assert shown.stdout == "two words|it's"
