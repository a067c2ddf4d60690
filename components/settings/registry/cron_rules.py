"""The rules of settings that are schedules. Pure.

Apart from cron.py, which the plugin needs: pydantic, which rules are made for, is a fifth of the
plugin's start.
"""

from typing import Annotated, Final

from components.settings.registry import cron
from components.settings.schema.rules import SettingRule

SCHEDULE: Final = SettingRule(
    allowed=cron.ALLOWED, example="daily", check=cron.problem, suggest=cron.meant
)
REPLICATION_SCHEDULE: Final = SettingRule(
    allowed=cron.ALLOWED,
    example="every 6h",
    check=cron.problem_of_replication,
    suggest=cron.meant,
)
Schedule = Annotated[str, SCHEDULE]
ReplicationSchedule = Annotated[str, REPLICATION_SCHEDULE]
