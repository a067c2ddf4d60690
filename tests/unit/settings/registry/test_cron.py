"""Schedules as a person writes them, and as Harbor takes them."""

from __future__ import annotations

import pytest

from components.settings.registry import cron
from components.settings.registry.cron import NoSchedule, six_fields

TAKEN = [
    ("none", ""),
    ("hourly", "0 0 * * * *"),
    ("daily", "0 0 0 * * *"),
    ("weekly", "0 0 0 * * 0"),
    ("every 15m", "0 */15 * * * *"),
    ("every 60m", "0 0 * * * *"),
    ("every 1h", "0 0 * * * *"),
    ("every 6h", "0 0 */6 * * *"),
    ("every 24h", "0 0 0 * * *"),
    ("every 1d", "0 0 0 * * *"),
    ("30 2 * * *", "0 30 2 * * *"),
    ("0 */5 * * * *", "0 */5 * * * *"),
    ("0 30 1 * * 0", "0 30 1 * * 0"),
    ("0 0 3 * * MON-FRI", "0 0 3 * * MON-FRI"),
    ("0 0 29 2 *", "0 0 0 29 2 *"),
    ("0 0 31 1,2 *", "0 0 0 31 1,2 *"),
    # Cron takes either of the two days, so that Mondays come although the date does not.
    ("0 0 31 2 1", "0 0 0 31 2 1"),
    ("0 0 31 2 */2", "0 0 0 31 2 */2"),
    ("0-30/10 8,20 1 jan ?", "0 0-30/10 8,20 1 jan ?"),
]
NOT_TAKEN = [
    ("", "no schedule is called"),
    ("yearly", "no schedule is called"),
    ("0 0 * * * * *", "this has 7"),
    ("0  0 * * *", "one space"),
    (" 0 0 * * *", "one space"),
    ("00 0 0 * * *", "not 00"),
    ("*/5 0 0 * * *", "not */5"),
    ("@every 5m", "no descriptors"),
    ("@daily", "write daily"),
    ("CRON_TZ=UTC 0 0 * * *", "without a time zone"),
    ("every", "every 15m"),
    ("every 15 minutes", "every 15m"),
    ("every 0m", "does not divide"),
    ("every 45m", "does not divide an hour"),
    ("every 48h", "does not divide a day"),
    ("every 2d", "no number of days"),
    ("0 24 * * *", "0 to 23"),
    ("0 0 0 * *", "1 to 31"),
    ("0 0 * 13 *", "1 to 12"),
    ("0 0 * * 7", "Sunday is 0"),
    ("0 0 LW * *", "Harbor knows no L"),
    ("0 0 * * 1#2", "stands for no"),
    ("5-1 * * * *", "ends before it begins"),
    ("*/0 * * * *", "the step 0"),
    ("0 0 31 4,6,9,11 *", "never comes"),
    ("0 0 30 2 *", "never comes"),
    ("0 0 30 2 ?", "never comes"),
    ("0 0 30 2 */1", "never comes"),
    ("0 0 30 2 1,*", "never comes"),
    ("٣ * * * *", "stands for no"),
]


@pytest.mark.parametrize(("text", "harbors"), TAKEN)
def test_a_schedule_becomes_harbors_six_fields(text: str, harbors: str) -> None:
    assert six_fields(text) == harbors
    assert not harbors or six_fields(harbors) == harbors


@pytest.mark.parametrize(("text", "words"), NOT_TAKEN)
def test_what_harbor_refuses_or_hangs_on_is_no_schedule(text: str, words: str) -> None:
    with pytest.raises(NoSchedule, match=words.replace("*", r"\*")):
        six_fields(text)


@pytest.mark.parametrize("text", ["every 5m", "*/1 * * * *", "0-59 * * * *", "none", "daily"])
def test_minutes_of_a_replication_that_harbor_takes(text: str) -> None:
    assert cron.problem_of_replication(text) is None
    assert cron.problem_of_replication("* * * * *")
