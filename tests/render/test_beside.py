"""What Harbor's chart makes is looked for in a shared namespace before the chart is installed.

On the stand-in, or on the real chart (the same holds for 1.19.1):

    TEST_HARBOR_CHART=/path/to/harbor-helm-1.18.3 pytest tests/render/test_beside.py
"""

from __future__ import annotations

from typing import Any

import pytest

from components.preflight import beside
from tests.render.test_traffic_matrix import values_of
from tests.support import builders
from tests.support.rendering import CHART, needs, parsed, rendered

pytestmark = needs("helm")

CASES: dict[str, dict[str, Any]] = {
    "the least": {},
    "without the scanner": {"trivy": {"enabled": False}},
    "metrics": {"metrics": {"enabled": True, "serviceMonitor": True}},
    "no metrics": {"metrics": {"enabled": False, "serviceMonitor": False}},
    "an Ingress": {
        "exposure": {"kind": "ingress", "className": "traefik", "tlsSecret": "their-tls"},
        "networkPolicies": {
            "gateway": {"kind": "namespace", "namespace": "traefik"},
            "apiServer": {"cidr": "10.0.0.2/32"},
        },
    },
}


@pytest.mark.parametrize("sections", CASES.values(), ids=CASES)
def test_every_object_of_the_chart_is_looked_for(sections: dict[str, Any]) -> None:
    settings = builders.settings(harbor={"namespace": "team", "sharedNamespace": True}, **sections)
    looked_for = set(beside.objects(settings))
    made = parsed(rendered(values_of(settings), CHART))
    assert made
    assert {one for one in made if one not in looked_for} == set()
