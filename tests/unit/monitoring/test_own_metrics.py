"""The metrics that commands record, and their text."""

from __future__ import annotations

from typing import Any

import pytest

from components.monitoring.own_metrics import (
    DOCTOR_RUN,
    DRILL_IMAGES,
    DRILL_PASSED,
    OWN_METRICS,
    ROBOT_EXPIRY,
    WRITERS,
    config_map,
    exposition,
    figure,
)


def test_names_are_given_once_and_say_whose_they_are() -> None:
    names = [metric.name for metric in OWN_METRICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("sovereign_harbor_") for name in names)
    assert {metric.writer for metric in OWN_METRICS} == set(WRITERS)


def test_figures_are_written_as_prometheus_reads_them() -> None:
    text = exposition(
        [
            figure(ROBOT_EXPIRY, 1795608000, robot="robot$ci"),
            figure(DOCTOR_RUN, 1795608000.5),
            figure(ROBOT_EXPIRY, 1795608001, robot='a"b\\c\nd'),
        ]
    )
    assert text.splitlines() == [
        f"# HELP {DOCTOR_RUN.name} {DOCTOR_RUN.help}",
        f"# TYPE {DOCTOR_RUN.name} gauge",
        f"{DOCTOR_RUN.name} 1795608000.5",
        f"# HELP {ROBOT_EXPIRY.name} {ROBOT_EXPIRY.help}",
        f"# TYPE {ROBOT_EXPIRY.name} gauge",
        f'{ROBOT_EXPIRY.name}{{robot="robot$ci"}} 1795608000',
        f'{ROBOT_EXPIRY.name}{{robot="a\\"b\\\\c\\nd"}} 1795608001',
    ]
    assert text.endswith("\n")


def test_no_figure_is_no_text() -> None:
    assert exposition([]) == ""


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        (DRILL_IMAGES, {}),
        (DRILL_IMAGES, {"status": "found"}),
        (DRILL_PASSED, {"project": "apps"}),
    ],
    ids=str,
)
def test_labels_of_another_metric_are_refused(metric: Any, labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="has the labels"):
        figure(metric, 1, **labels)


def test_a_command_writes_its_own_key_alone() -> None:
    written = config_map("harbor", "restore-drill", [figure(DRILL_PASSED, 1)])
    assert written["metadata"] == {"name": "harbor-recorded-metrics", "namespace": "harbor"}
    assert written["data"] == {"restore-drill": exposition([figure(DRILL_PASSED, 1)])}


def test_a_command_does_not_write_another_one_s_figures() -> None:
    with pytest.raises(ValueError, match="doctor does not record sovereign_harbor_restore_drill_p"):
        config_map("harbor", "doctor", [figure(DRILL_PASSED, 1)])
