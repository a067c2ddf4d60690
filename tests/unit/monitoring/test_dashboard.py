"""The Grafana dashboard: metrics of the table, a grid without holes or overlaps."""

from __future__ import annotations

import json
from typing import Any

from components.monitoring.dashboard import COLUMNS, dashboard, rows
from components.monitoring.metrics import METRICS
from tests.support import builders
from tests.support.monitoring import metric_names, small, wide

TABLE = {metric.name: metric for metric in METRICS}


def panels(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def test_a_panel_reads_metrics_of_its_source_alone() -> None:
    read = [
        (panel, name)
        for row in rows(wide())
        for panel in row.panels
        for query in panel.queries
        for name in metric_names(query.expr)
    ]
    assert len(read) > 15
    for panel, name in read:
        assert TABLE[name].source == panel.source, panel.title


def test_panels_without_metrics_are_left_out() -> None:
    titles = {panel["title"] for panel in panels(dashboard(small(platformSources=[])))}
    assert "Connections" in titles
    assert not titles & {"Volumes", "The bucket, counted", "Days left", "Age of the newest backup"}


def test_a_row_without_panels_is_left_out() -> None:
    shared = {
        "mode": "shared",
        "host": "pg.db",
        "username": "harbor",
        "secret": {"namespace": "db", "name": "pg-app"},
    }
    stack = builders.settings(
        database=shared,
        metrics={"enabled": True, "serviceMonitor": True},
        monitoring={"enabled": True},
    )
    assert "Database and backup" not in {row.title for row in rows(stack)}


def test_no_two_panels_share_a_place_and_none_is_wider_than_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(wide())["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_panel_has_a_number_of_its_own_and_says_what_it_shows() -> None:
    model = dashboard(wide())
    numbers = [panel["id"] for panel in model["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert all(panel["description"] for panel in panels(model))


def test_the_data_source_is_chosen_in_grafana() -> None:
    model = dashboard(wide())
    (variable,) = model["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    for panel in panels(model):
        assert panel["datasource"]["uid"] == "${datasource}"


def test_the_model_is_json_and_two_sovereigns_have_two_addresses() -> None:
    model = dashboard(wide())
    assert json.loads(json.dumps(model)) == model
    other = builders.settings(fqdn="otech.omani.works")
    assert len(model["uid"]) <= 40
    assert dashboard(other)["uid"] != model["uid"]
