"""What a restore drill reads out of the restored database, says and records."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from components.monitoring.own_metrics import OWN_METRICS, exposition
from operations.drill_report import (
    DrillFailed,
    Result,
    Sample,
    figures,
    last_backup,
    last_passed,
    lasted,
    read_rows,
    report,
)

BEGAN = dt.datetime(2026, 11, 26, 7, tzinfo=dt.UTC)
DIGEST = f"sha256:{'a' * 64}"
APPS = {"project": "apps", "repository": "apps/web", "digest": DIGEST}
EMPTY = {"project": "library", "repository": None, "digest": None}
ROW: dict[str, Any] = {
    "schema": 180,
    "isDirty": False,
    "projects": 2,
    "repositories": 1,
    "artifacts": 7,
    "newestPush": "2026-11-26T05:00:00",
    "samples": [APPS, EMPTY],
}


def answered(**changes: Any) -> str:
    return json.dumps({**ROW, **changes})


def result(*, is_there: bool = True, **changes: Any) -> Result:
    restored = read_rows(answered())
    given: dict[str, Any] = {
        "began": BEGAN,
        "server": "harbor-pg",
        "backup_ended": BEGAN - dt.timedelta(hours=5),
        "restored": restored,
        "found": {restored.samples[0]: is_there},
        "seconds": 372.46,
        **changes,
    }
    return Result(**given)


def test_the_answer_of_the_database_is_read() -> None:
    restored = read_rows(answered())
    assert (restored.schema, restored.projects, restored.artifacts) == (180, 2, 7)
    assert restored.samples == (
        Sample(project="apps", repository="apps/web", digest=DIGEST),
        Sample(project="library", repository=None, digest=None),
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("", "something else than the drill asked"),
        ("{}", "something else than the drill asked"),
        ("null", "something else than the drill asked"),
        (answered(samples=None), "something else than the drill asked"),
        *[
            (
                json.dumps({name: value for name, value in ROW.items() if name != left_out}),
                "something else than the drill asked",
            )
            for left_out in ROW
        ],
        (answered(isDirty=True), "the migration to schema 180 has not ended"),
        (answered(schema=None), "no schema of Harbor"),
    ],
)
def test_a_database_on_which_harbor_would_not_start_fails_the_drill(
    answer: str, words: str
) -> None:
    with pytest.raises(DrillFailed, match=words):
        read_rows(answer)


@pytest.mark.parametrize(
    ("outcome", "passed"),
    [
        (result(), True),
        (result(is_there=False), False),
        (result(failure="not Ready"), False),
        (result(restored=None, found={}), False),
        (result(found={}), True),
    ],
    ids=["found", "missing", "failed", "not restored", "no image yet"],
)
def test_a_drill_passes_when_nothing_is_missing(outcome: Result, passed: bool) -> None:
    assert outcome.has_passed is passed


def written(outcome: Result, recorded: str = "") -> dict[str, str]:
    text = exposition(figures(outcome, now=1795676400.5, recorded=recorded))
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("sovereign_harbor_restore_drill_"): value for name, _, value in lines}


def test_a_drill_that_passed_records_every_metric_of_drills() -> None:
    assert written(result()) == {
        "last_run_timestamp_seconds": "1795676400",
        "passed": "1",
        "last_passed_timestamp_seconds": "1795676400",
        "duration_seconds": "372.5",
        "backup_age_seconds": "18000",
        'images{state="found"}': "1",
        'images{state="missing"}': "0",
    }
    recorded = {each.metric for each in figures(result(), now=1, recorded="")}
    assert recorded == {each for each in OWN_METRICS if each.writer == "restore-drill"}


def test_a_drill_that_failed_keeps_when_one_last_passed() -> None:
    before = exposition(figures(result(), now=1795000000, recorded=""))
    failed = written(result(is_there=False), before)
    assert failed["passed"] == "0"
    assert failed["last_passed_timestamp_seconds"] == "1795000000"
    assert failed['images{state="missing"}'] == "1"


def test_a_drill_that_never_got_a_database_records_no_images() -> None:
    failed = written(result(restored=None, found={}, backup_ended=None, failure="no backup"))
    assert failed["last_passed_timestamp_seconds"] == "0"
    assert not {name for name in failed if name.startswith(("images", "backup_age"))}


@pytest.mark.parametrize("text", ["", "garbage\n", "# HELP x\n"])
def test_without_a_record_none_ever_passed(text: str) -> None:
    assert last_passed(text) == 0


@pytest.mark.parametrize(
    ("store", "ended"),
    [
        (None, None),
        ({}, None),
        ({"status": {}}, None),
        ({"status": {"serverRecoveryWindow": {"other": {}}}}, None),
        (
            {"status": {"serverRecoveryWindow": {"harbor-pg": {"firstRecoverabilityPoint": "x"}}}},
            None,
        ),
        (
            {
                "status": {
                    "serverRecoveryWindow": {
                        "harbor-pg": {"lastSuccessfulBackupTime": "2026-11-26T02:00:31Z"}
                    }
                }
            },
            dt.datetime(2026, 11, 26, 2, 0, 31, tzinfo=dt.UTC),
        ),
    ],
)
def test_the_last_backup_is_what_the_plugin_says(
    store: dict[str, Any] | None, ended: dt.datetime | None
) -> None:
    assert last_backup(store, "harbor-pg") == ended


def test_a_person_reads_age_duration_and_each_project() -> None:
    assert report("omantel", result()).splitlines() == [
        "backup:    of server harbor-pg, ended 2026-11-26 02:00 UTC, 5 h 0 min before the drill",
        "restored:  schema 180, 2 projects, 1 repositories, 7 artifacts, the newest pushed "
        "2026-11-26T05:00:00 UTC",
        "duration:  6 min 12 s",
        f"  apps     found  apps/web@{DIGEST}",
        "  library  no image",
        "PASSED: omantel can be restored",
    ]


def test_a_person_reads_what_is_missing_and_why_it_failed() -> None:
    missing = report("omantel", result(is_there=False))
    assert f"apps     MISSING  apps/web@{DIGEST}" in missing
    assert "FAILED: 1 of 1 images are in the restored database and not in" in missing
    failed = report("omantel", result(found={}, failure="the registry answered 503"))
    assert "apps     not asked" in failed
    assert failed.endswith("FAILED: the registry answered 503")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90000, "1 d 1 h")],
)
def test_a_duration_is_told_by_its_two_largest_units(seconds: float, words: str) -> None:
    assert lasted(seconds) == words
