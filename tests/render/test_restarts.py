"""Which pods restart at which value: what the page says, against what the chart renders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.settings.reading import refusals
from policy.resource import leaves
from review.consequences import COMPONENTS, restarted_components
from review.plan import dotted
from tests.render.test_traffic_matrix import values_of
from tests.support.rendering import CHART, needs, parsed, rendered

pytestmark = needs("helm")

Values = dict[str, Any]


def base() -> Values:
    read = refusals.read(
        {
            "fqdn": "omantel.omani.works",
            "cluster": {"name": "omantel"},
            "storage": {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"},
            "metrics": {"enabled": True, "serviceMonitor": True},
            "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
        },
        stack="omantel",
    )
    assert read.settings is not None
    return values_of(read.settings)


def at(path: str, value: Any) -> Callable[[Values], None]:
    *parents, last = path.split(".")

    def change(values: Values) -> None:
        for key in parents:
            values = values[key]
        assert last in values, path
        values[last] = value

    return change


CHANGES: dict[str, Any] = {
    "externalURL": "https://registry.other.example",
    "logLevel": "debug",
    "updateStrategy.type": "Recreate",
    "database.maxOpenConns": 7,
    "database.external.host": "elsewhere",
    "redis.external.addr": "elsewhere:6379",
    **{
        f"redis.external.{name}": "9"
        for name in (
            "coreDatabaseIndex",
            "jobserviceDatabaseIndex",
            "registryDatabaseIndex",
            "trivyAdapterIndex",
            "harborDatabaseIndex",
            "cacheLayerDatabaseIndex",
        )
    },
    "persistence.imageChartStorage.disableredirect": False,
    "persistence.imageChartStorage.s3.bucket": "other",
    "existingSecretAdminPassword": "other",
    "existingSecretSecretKey": "other",
    "metrics.enabled": False,
    "metrics.serviceMonitor.enabled": False,
    "metrics.serviceMonitor.additionalLabels.release": "other",
    "trivy.enabled": False,
    "core.replicas": 3,
    **{f"{name}.nodeSelector": {"a": "b"} for name in COMPONENTS},
}


def templates(values: Values) -> dict[str, Any]:
    objects = parsed(rendered(values, CHART))
    return {
        name.removeprefix("harbor-"): item["spec"]["template"]
        for (kind, name), item in objects.items()
        if kind in ("Deployment", "StatefulSet")
    }


@pytest.mark.parametrize("path", CHANGES)
def test_the_pods_that_the_page_names_are_those_that_the_chart_changes(path: str) -> None:
    before, after = base(), base()
    at(path, CHANGES[path])(after)
    old, new = templates(before), templates(after)
    restarted = {name for name in old if name in new and old[name] != new[name]}
    changed = {
        dotted(("values", *leaf))
        for values, other in ((before, after), (after, before))
        for leaf, value in leaves(values)
        if dict(leaves(other)).get(leaf) != value
    }
    named = set[str]().union(*map(restarted_components, changed))
    assert named & old.keys() & new.keys() == restarted
