"""What the newest line of Harbor's chart makes of the program's values, compared with the default.

Everything that test_harbor_chart.py asserts of one line holds for the other but for the differences
that are listed here. On the stand-ins, and on the real charts:

    export TEST_HARBOR_CHART=/path/to/harbor-helm-1.18.3
    export TEST_HARBOR_CHART_NEXT=/path/to/harbor-helm-1.19.1
    pytest tests/render/test_next_chart.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import versions
from components.harbor.release import POST_RENDERER
from components.harbor_lines import harbor_of
from sandbox.chart import stand_in
from tests.render import test_harbor_chart as default_chart
from tests.render.test_harbor_chart import CASES, STORAGE, helm_values
from tests.render.test_stand_in_chart import comparable, differing, unexpected
from tests.support.program import Created
from tests.support.rendering import (
    REAL,
    REAL_NEXT,
    STAND_IN,
    Objects,
    container,
    environment_of,
    needs,
    parse_by_registry,
    parsed,
    registry_config,
    rendered,
    texts,
)

pytestmark = needs("helm")
sovereign = default_chart.sovereign

OLD, NEW = versions.HARBOR_CHART, versions.NEWEST_HARBOR_CHART
PAIRS = [
    pytest.param("stand-in", id="stand-ins"),
    pytest.param(
        "real",
        id="real",
        marks=pytest.mark.skipif(
            not (REAL and REAL_NEXT),
            reason="set TEST_HARBOR_CHART and TEST_HARBOR_CHART_NEXT to goharbor/harbor-helm "
            f"{OLD} and {NEW}",
        ),
    ),
]

DIFFERENCES: tuple[tuple[str, str], ...] = (
    (r"\S+ metadata\.labels\.app\.kubernetes\.io/version changed", "the version of Harbor"),
    (r"\S+ spec\.template\.metadata\.labels\.app\.kubernetes\.io/version changed", "the same"),
    (r"\S+ spec\.template\.spec\.containers\S*\.image changed", "the images"),
    (r"\S+ spec\.template\.metadata\.annotations\.checksum/\S+ changed", "of what is listed here"),
    (r"ConfigMap/harbor-registry data\.config\.yml\.redis\.(username|password) only", "empty"),
    (r"ConfigMap/harbor-jobservice-env data\.REGISTRY_HTTP_CLIENT_TIMEOUT only", "30 minutes"),
    # Kubernetes' own defaults, which only the new line writes out.
    (r"\S+ spec\.template\.spec\.containers\S*Probe\.timeoutSeconds only .*: 1$", "default"),
    (r"\S+ spec\.template\.spec\.containers\S*Probe\.successThreshold only .*: 1$", "default"),
    (r"\S+ spec\.template\.spec\.containers\S*Probe\.failureThreshold only .*: 3$", "default"),
    (r"\S+ spec\.template\.spec\.containers\S*Probe\.initialDelaySeconds only .*: 0$", "default"),
    (r"HTTPRoute/harbor-route spec\.rules\S*backendRefs\S*\.group only .*: ''$", "default"),
    (r"HTTPRoute/harbor-route spec\.rules\S*backendRefs\S*\.kind only .*: 'Service'$", "default"),
    (r"HTTPRoute/harbor-route spec\.rules\S*backendRefs\S*\.weight only .*: 1$", "default"),
)


@pytest.fixture(scope="session")
def next_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in(NEW, tmp_path_factory.mktemp("charts") / "harbor")


@pytest.fixture(params=PAIRS)
def charts(request: pytest.FixtureRequest, next_stand_in: Path) -> tuple[str, str]:
    """The default chart and the newest one."""
    if request.param == "stand-in":
        return str(STAND_IN), str(next_stand_in)
    return str(REAL), str(REAL_NEXT)


def made(chart: str, case: str, sovereign: Created) -> Objects:
    return parsed(rendered(helm_values(case, sovereign), chart, "--post-renderer", POST_RENDERER))


def differences(before: Objects, after: Objects) -> Iterator[str]:
    for kind, name in sorted(before):
        for line in differing(comparable(after[kind, name]), comparable(before[kind, name])):
            yield f"{kind}/{name} {line}"


@pytest.mark.parametrize("case", CASES)
def test_the_lines_differ_in_what_is_listed_and_in_nothing_else(
    case: str, charts: tuple[str, str], sovereign: Created
) -> None:
    before, after = (made(chart, case, sovereign) for chart in charts)
    assert before.keys() == after.keys()
    lines = [*differences(before, after)]
    assert any(".image changed" in line for line in lines)
    assert [
        line for line in lines if not any(re.match(pattern, line) for pattern, _ in DIFFERENCES)
    ] == []


@pytest.mark.skipif(
    not REAL_NEXT, reason=f"set TEST_HARBOR_CHART_NEXT to goharbor/harbor-helm {NEW}"
)
@pytest.mark.parametrize("case", CASES)
def test_the_stand_in_makes_what_the_real_chart_makes(
    case: str, next_stand_in: Path, sovereign: Created
) -> None:
    real, ours = made(str(REAL_NEXT), case, sovereign), made(str(next_stand_in), case, sovereign)
    assert real.keys() == ours.keys()
    allowed = [pattern for pattern, why in DIFFERENCES if why == "default"]
    lines = [line for line in differences(ours, real) if unexpected(line)]
    assert [line for line in lines if not any(re.match(each, line) for each in allowed)] == []


FIXED = {
    "Deployment": ("selector",),
    "StatefulSet": ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy"),
    "PersistentVolumeClaim": ("accessModes", "storageClassName"),
}
"""Kind → parts of its spec that Kubernetes lets nobody change."""


@pytest.mark.parametrize("case", CASES)
def test_an_upgrade_changes_nothing_that_kubernetes_fixes(
    case: str, charts: tuple[str, str], sovereign: Created
) -> None:
    before, after = (made(chart, case, sovereign) for chart in charts)
    compared = 0
    for (kind, name), item in before.items():
        for part in FIXED.get(kind, ()):
            assert item["spec"].get(part) == after[kind, name]["spec"].get(part), (name, part)
            compared += 1
    assert compared >= 6


def test_every_pod_runs_the_new_version(charts: tuple[str, str], sovereign: Created) -> None:
    after = made(charts[1], "large, metrics", sovereign)
    images = [text for place, text in texts(after) if place.endswith(".image")]
    assert len(images) >= 6
    for image in images:
        assert re.fullmatch(rf"docker\.io/goharbor/[a-z-]+:v{re.escape(harbor_of(NEW))}", image)


@needs("registry")
@pytest.mark.parametrize("case", STORAGE)
def test_the_registry_accepts_its_configuration(
    case: str, charts: tuple[str, str], sovereign: Created, tmp_path: Path
) -> None:
    kind, variables = STORAGE[case]
    config = made(charts[1], case, sovereign)["ConfigMap", "harbor-registry"]
    run = parse_by_registry(config["data"]["config.yml"], tmp_path, variables)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == kind


def test_the_cache_s_password_is_in_no_configuration_and_comes_by_a_variable(
    charts: tuple[str, str], sovereign: Created
) -> None:
    after = made(charts[1], "bucket", sovereign)
    login = registry_config(after)["redis"]
    assert (login["username"], login["password"]) == ("", "")
    secret = {"name": sovereign.cache.secret_name, "key": "REDIS_PASSWORD"}
    for name in ("registry", "registryctl"):
        variable = environment_of(container(after, name))["REGISTRY_REDIS_PASSWORD"]
        assert variable["valueFrom"] == {"secretKeyRef": secret}


def test_the_stand_in_says_which_version_it_is(next_stand_in: Path) -> None:
    metadata: dict[str, Any] = yaml.safe_load((next_stand_in / "Chart.yaml").read_text())
    assert (metadata["version"], metadata["appVersion"]) == (NEW, harbor_of(NEW))
    assert OLD not in (next_stand_in / "Chart.yaml").read_text()
    assert "STAND-IN" in metadata["description"]


def test_a_default_stand_in_is_the_committed_one(tmp_path: Path) -> None:
    copied = stand_in(OLD, tmp_path / "harbor")
    for file in STAND_IN.rglob("*"):
        if file.is_file():
            assert (copied / file.relative_to(STAND_IN)).read_bytes() == file.read_bytes()
