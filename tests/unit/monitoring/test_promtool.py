"""Each alert fires with the one of its examples and not with the other, by Prometheus' promtool.

promtool is built only on request, since nothing else needs it and it takes about ten minutes:

    python3 -m toolchain build promtool
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from components.monitoring import rules
from components.monitoring.alert import Alert
from tests.support.monitoring import every_alert, promtool_test, small, wide
from toolchain import catalogue

TOOL = next(tool for tool in catalogue.EXTRA_TOOLS if tool.name == "promtool")
PROMTOOL = TOOL.cached() / TOOL.relative_path("promtool")

pytestmark = pytest.mark.skipif(
    not PROMTOOL.exists(),
    reason="promtool is not built; `python3 -m toolchain build promtool` takes about 10 minutes",
)


def promtool(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [PROMTOOL, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(chosen: list[Alert], folder: Path, name: str = "rules.yaml") -> str:
    content = {"groups": rules.groups(chosen, wide())}
    (folder / name).write_text(yaml.safe_dump(content, sort_keys=False))
    return name


def test_prometheus_accepts_the_rules(tmp_path: Path) -> None:
    name = written(every_alert(), tmp_path)
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", name, folder=tmp_path)
    assert "SUCCESS" in said


def test_every_alert_fires_with_its_series_and_stays_quiet_with_others(tmp_path: Path) -> None:
    # One process, and a file for each alert: promtool evaluates every rule of a file each minute.
    # It names the example that it fails at.
    files: list[str] = []
    for alert in every_alert():
        name = written([alert], tmp_path, f"rules-{alert.name}.yaml")
        content = promtool_test([alert], wide(), name)
        files.append(f"test-{alert.name}.yaml")
        (tmp_path / files[-1]).write_text(yaml.safe_dump(content, sort_keys=False))
    promtool("test", "rules", *files, folder=tmp_path)


def test_an_example_that_expects_the_wrong_thing_is_found(tmp_path: Path) -> None:
    alert = rules.alerts(small())[0]
    name = written([alert], tmp_path)
    content = promtool_test([alert], wide(), name)
    content["tests"][0]["alert_rule_test"][0]["exp_alerts"] = []
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(AssertionError, match="HarborCoreDown fires"):
        promtool("test", "rules", "test.yaml", folder=tmp_path)
