"""No rendered pod names an image that the list misses, and imageRegistry reaches each of them.

On the stand-in, and by hand on a real chart:

    TEST_HARBOR_CHART=/path/to/harbor-helm-1.18.3 pytest tests/render/test_images.py
    HARBOR_CHART_NEXT=/path/to/harbor-helm-1.19.1 pytest tests/render/test_images.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.harbor.values import HarborValues, harbor_values
from components.images import chart_images, images, known_chart_images
from components.network.exposure import chart_exposure
from components.settings.model import Settings
from tests.support import builders
from tests.support.program import Created, created
from tests.support.rendering import STAND_IN, containers_of, needs, parsed, pods, rendered

pytestmark = needs("helm")

MIRROR = "mirror.internal:5000/harbor"
CHARTS = [
    str(STAND_IN),
    *(chart for name in ("HARBOR_CHART", "HARBOR_CHART_NEXT") if (chart := os.environ.get(name))),
]

STACKS: dict[str, dict[str, Any]] = {
    "whole": {"metrics": {"enabled": True, "serviceMonitor": True}},
    "small, ingress": {
        "trivy": {"enabled": False, "blockSeverity": "NONE"},
        "exposure": {"kind": "ingress", "className": "nginx", "tlsSecret": "tls"},
        "networkPolicies": {"enabled": False},
    },
}


@pytest.fixture(scope="module")
def sovereign() -> Created:
    """What Harbor stands on; no image of its chart depends on it."""
    return created(builders.settings())


def version_of(chart: str) -> str:
    return yaml.safe_load((Path(chart) / "Chart.yaml").read_text())["version"]


def defaults_of(chart: str) -> dict[str, Any]:
    return yaml.safe_load((Path(chart) / "values.yaml").read_text())


def rendered_images(chart: str, settings: Settings, sovereign: Created) -> set[str]:
    values = harbor_values(
        HarborValues(
            settings=settings,
            storage=sovereign.storage,
            database=sovereign.database,
            cache=sovereign.cache,
            secrets=sovereign.secret_names,
            exposure=chart_exposure(settings),
        )
    )
    # The Job that migrates the database is a hook of the chart, off unless somebody turns it on.
    values["enableMigrateHelmHook"] = True
    templates = pods(parsed(rendered(values, chart)))
    assert "migrator" in templates
    return {one["image"] for pod in templates.values() for one in containers_of(pod)}


@pytest.mark.parametrize("chart", CHARTS, ids=version_of)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("registry", [None, MIRROR])
def test_each_rendered_image_is_listed_and_each_listed_one_is_rendered(
    chart: str, stack: str, registry: str | None, sovereign: Created
) -> None:
    settings = builders.settings(
        **STACKS[stack],
        **({"imageRegistry": registry} if registry else {}),
        harbor={"chart": {"version": version_of(chart)}},
    )
    listed = images(settings, chart_images(defaults_of(chart)))
    named = rendered_images(chart, settings, sovereign)
    assert {image.reference for image in listed if image.chart_key} == named
    assert {image.source for image in listed if image.chart_key} == {
        f"docker.io/goharbor/{name.partition('goharbor/')[2]}" for name in named
    }
    assert registry is None or all(name.startswith(f"{registry}/") for name in named), named


@pytest.mark.parametrize("chart", CHARTS, ids=version_of)
def test_the_images_of_a_version_are_known_without_its_chart(chart: str) -> None:
    named = chart_images(defaults_of(chart))
    known = known_chart_images(version_of(chart))
    assert {key: name.removeprefix("docker.io/") for key, name in named.items()} == {
        key: name.removeprefix("docker.io/") for key, name in known.items()
    }
