"""Harbor's chart for the sandbox: the one of $HARBOR_CHART, goharbor's own, or the stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from components import harbor_lines, versions
from components.settings.reading import stack_file
from engine import stacks
from engine.project import ROOT
from sandbox.state import STACK, State
from toolchain.build import Toolbox

STAND_IN = "offline/harbor-chart"
REPOSITORY = "https://helm.goharbor.io"


def choose(state: State, tools: Toolbox) -> tuple[str, str]:
    """(chart for HARBOR_CHART, a sentence for the person). Kept in the sandbox's folder.

    A chart that the environment names is used each time, also in the shell of `make env`, which
    names the chart that the sandbox has. Otherwise the version is that of the sandbox's stack.
    """
    named, version = os.environ.get("HARBOR_CHART"), wanted_version()
    if named == STAND_IN:
        source = _stand_in(state, version)
        told = f"STAND-IN chart {source}, as HARBOR_CHART says"
    elif named:
        source, told = named, f"chart {named}, as HARBOR_CHART says"
    elif fetched := _fetched(state, tools, version):
        source, told = fetched
    else:
        source = _stand_in(state, version)
        told = (
            f"STAND-IN chart {source}: goharbor's chart {version} could not be fetched. "
            "HARBOR_CHART=<path|oci://…> uses another"
        )
    state.save("chart.json", {"source": source})
    return source, told


def wanted_version() -> str:
    """The version of the chart that the sandbox's stack names, or has by default."""
    settings = stack_file.read(stacks.file_of(STACK)).settings
    chart = settings.get("harbor", {}).get("chart", {})
    return str(chart.get("version", versions.HARBOR_CHART))


def stand_in(version: str, folder: Path) -> Path:
    """The stand-in as the chart of another version, in `folder`.

    Its templates look at the chart's version where the lines differ. Image references are those of
    the line. Templates and schema are the same files.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / STAND_IN, folder)
    is_before = versions.HARBOR_CHART, harbor_lines.harbor_of(versions.HARBOR_CHART)
    is_now = version, harbor_lines.harbor_of(version)
    for name in ("Chart.yaml", "values.yaml"):
        text = (folder / name).read_text()
        for old, new in zip(is_before, is_now, strict=True):
            text = text.replace(old, new)
        if harbor_lines.number(version) >= harbor_lines.NAMES_IMAGE_HOSTS:
            text = text.replace("repository: goharbor/", "repository: docker.io/goharbor/")
        (folder / name).write_text(text)
    return folder


def _stand_in(state: State, version: str) -> str:
    if version == versions.HARBOR_CHART:
        return STAND_IN
    return os.path.relpath(stand_in(version, state.path("charts", f"stand-in-{version}")), ROOT)


def _fetched(state: State, tools: Toolbox, version: str) -> tuple[str, str] | None:
    archive = state.path("charts", f"harbor-{version}.tgz")
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
                    version,
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
    return relative, f"goharbor's chart {version}"
