"""Harbor's chart for the sandbox: the one of $HARBOR_CHART, goharbor's own, or the stand-in."""

from __future__ import annotations

import os
import subprocess

from components import versions
from engine.project import ROOT
from sandbox.state import State
from toolchain.build import Toolbox

STAND_IN = "offline/harbor-chart"
REPOSITORY = "https://helm.goharbor.io"


def choose(state: State, tools: Toolbox) -> tuple[str, str]:
    """(chart for HARBOR_CHART, a sentence for the person). Kept in the sandbox's folder.

    A chart that the environment names is used each time, also in the shell of `make env`, which
    names the chart that the sandbox has.
    """
    named = os.environ.get("HARBOR_CHART")
    if named == STAND_IN:
        source, told = STAND_IN, f"STAND-IN chart {STAND_IN}, as HARBOR_CHART says"
    elif named:
        source, told = named, f"chart {named}, as HARBOR_CHART says"
    else:
        source, told = _fetched(state, tools) or (
            STAND_IN,
            f"STAND-IN chart {STAND_IN}: goharbor's chart {versions.HARBOR_CHART} could not be "
            "fetched. HARBOR_CHART=<path|oci://…> uses another",
        )
    state.save("chart.json", {"source": source})
    return source, told


def _fetched(state: State, tools: Toolbox) -> tuple[str, str] | None:
    archive = state.path("charts", f"harbor-{versions.HARBOR_CHART}.tgz")
    if not archive.exists():
        try:
            subprocess.run(
                [
                    str(tools.path("helm")),
                    "pull",
                    "harbor",
                    "--repo",
                    REPOSITORY,
                    "--version",
                    versions.HARBOR_CHART,
                    "--destination",
                    str(archive.parent),
                ],
                env={**os.environ, "HELM_CACHE_HOME": str(state.folder / "helm" / "cache")},
                capture_output=True,
                timeout=20,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return None
    relative = os.path.relpath(archive, ROOT)
    return relative, f"goharbor's chart {versions.HARBOR_CHART}"
