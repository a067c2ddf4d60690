"""Harbor's chart goes up by one line of the stack's file, and neither down nor too far.

On stand-ins of both lines, or on the real charts where TEST_HARBOR_CHART and TEST_HARBOR_CHART_NEXT
name them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import versions
from components.harbor_lines import harbor_of
from engine.stack import Stack
from sandbox.chart import stand_in
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support import runbook
from tests.support.rendering import REAL, REAL_NEXT
from tests.support.sandbox import NAMESPACE, objects

OLD, NEW = versions.HARBOR_CHART, versions.NEWEST_HARBOR_CHART

pytestmark = pytest.mark.skipif(
    bool(REAL) is not bool(REAL_NEXT),
    reason=f"goharbor's chart of one line only; TEST_HARBOR_CHART names {OLD}, "
    f"TEST_HARBOR_CHART_NEXT {NEW}",
)


def at(sandbox: Sandbox, version: str | None, chart: str | None = None) -> Stack:
    """The Sovereign with this version in its file; None: without the key, as it is committed."""
    sandbox.configure(harbor=version and {"chart": {"version": version}})
    return sandbox.stack(**({} if chart is None else {"HARBOR_CHART": chart}))


def images(sandbox: Sandbox) -> set[str]:
    """The tags of Harbor's pods' images."""
    pods = [pod for pod in objects(sandbox, "pods") if "release" in pod["metadata"]["labels"]]
    return {
        container["image"].rpartition(":")[2]
        for pod in pods
        for container in pod["spec"]["containers"]
    }


@pytest.fixture
def upgraded(sandbox: Sandbox, sovereign: Stack, tmp_path: Path) -> Iterator[Stack]:
    """The Sovereign, whose chart goes up. Afterwards Helm itself brings back what was."""
    before = sovereign.outputs()
    assert before["harborVersion"] == harbor_of(OLD)
    stack = sandbox.stack(HARBOR_CHART=REAL_NEXT or str(stand_in(NEW, tmp_path / "harbor")))
    block = runbook.commands("upgrade")["Upgrade"].replace("-s omantel", f"-s {stack.name}")
    assert f"'harbor.chart.version' {NEW} " in block
    try:
        said = runbook.run(stack, block, {})
        previewed, _, _ = said.partition("\nUpdating (")
        assert f"from chart {OLD} (Harbor {harbor_of(OLD)}) to Harbor {harbor_of(NEW)}" in previewed
        assert "goes one way" in previewed
        yield stack
    finally:
        subprocess.run(
            [str(sandbox.tools.path("helm")), "rollback", "harbor", "-n", NAMESPACE, "--wait"],
            env={**os.environ, **sandbox.variables},
            check=False,  # the upgrade itself may have failed
            capture_output=True,
        )
        at(sandbox, None).up()


def test_the_chart_goes_up_by_one_line_and_not_down_again(
    sandbox: Sandbox, upgraded: Stack, tmp_path: Path
) -> None:
    assert upgraded.outputs()["harborVersion"] == harbor_of(NEW)
    # A pod before may be there still, until its deletion is done.
    assert wait_until(lambda: images(sandbox) == {f"v{harbor_of(NEW)}"}, seconds=180)
    upgraded.up(expect_no_changes=True)

    far = str(stand_in("1.21.0", tmp_path / "far"))
    refusals = (
        (None, None, "a database of a newer Harbor does not work with an older one"),
        ("1.21.0", far, f"migrates the database of Harbor {harbor_of('1.20.0')} or later only"),
    )
    for version, chart, words in refusals:
        stack = at(sandbox, version, chart)
        for command in (("preview",), ("up", "--yes", "--skip-preview")):
            refused = stack.run(*command, "-s", stack.name, check=False)
            assert refused.code != 0
            assert words in refused.text
            assert "nothing was touched" in refused.text
    assert images(sandbox) == {f"v{harbor_of(NEW)}"}
