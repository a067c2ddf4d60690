"""Settings of Harbor as a whole. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import model_validator

from components.settings.registry.allowlist import DATE
from components.settings.registry.names import one_line
from components.settings.registry.projects import UNLIMITED, Quota, quota_in_bytes
from components.settings.registry.schedules import AuditEvent
from components.settings.schema.rules import (
    PORT_NUMBER,
    Section,
    SettingRule,
    matching,
    refuse,
    whole_number,
)

Configuration = dict[str, bool | int | str]
"""Items of Harbor's /configurations, by Harbor's names."""

ROBOT_PREFIX: Final = "robot$"


def _prefix(prefix: str) -> str | None:
    if not prefix:
        return (
            "every name begins with the empty prefix, so that Harbor would take each person for a "
            "robot and refuse the CLI secret"
        )
    if not re.fullmatch(r"[a-z0-9A-Z$~._-]{1,64}", prefix):
        return ""
    if not re.search(r"[$~]", prefix):
        return "with $ or ~ in it, which no user's name has: users would be taken for robots"
    return None


class BannerSettings(Section):
    """A message on every page of Harbor."""

    called_here: ClassVar[Mapping[str, str]] = {
        "from": "firstDay",
        "from_date": "firstDay",
        "to": "lastDay",
        "to_date": "lastDay",
    }

    message: Annotated[str, one_line(1024)]
    """The message."""
    type: Literal["info", "success", "warning", "danger"] = "info"
    """Its colour."""
    closable: bool = True
    """Whether a person can close it."""
    first_day: Annotated[str, DATE] | None = None
    """First day on which it is shown, in UTC; at once when unset."""
    last_day: Annotated[str, DATE] | None = None
    """Last day on which it is shown, in UTC; for ever when unset."""

    @property
    def text(self) -> str:
        """Harbor's banner_message: JSON in a text."""
        days = {"fromDate": self.first_day, "toDate": self.last_day}
        banner = {
            "message": self.message,
            "closable": self.closable,
            "type": self.type,
            **{key: f"{day}T00:00:00.000Z" for key, day in days.items() if day is not None},
        }
        return json.dumps(banner, separators=(",", ":"), ensure_ascii=False)

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if not self.message:
            refuse("not empty: without a banner, leave the section out", at=("message",))
        if self.first_day and self.last_day and self.last_day < self.first_day:
            refuse(f"not before {self.first_day}", at=("lastDay",), example=self.first_day)
        return self


_MINUTES = whole_number(1, 9_999_999, example=60, unit="minute")


class SystemSettings(Section):
    """Settings of Harbor as a whole. What is unset stays as Harbor has it."""

    called_here: ClassVar[Mapping[str, str]] = {
        "project_creation_restriction": "projectCreation",
        "robot_name_prefix": "robotPrefix",
        "robot_token_expiration": "robotDays",
        "robot_token_duration": "robotDays",
        "session_timeout": "sessionMinutes",
        "token_expiration": "tokenMinutes",
        "storage_per_project": "defaultQuota",
        "audit_log_forward_endpoint": "auditForward",
        "skip_audit_log_database": "auditOnlyForward",
        "disabled_audit_log_event_types": "disabledAuditEvents",
        "notification_enable": "notifications",
        "banner_message": "banner",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "scanner_skip_update_pulltime": "scansCountAsPull says the same, the other way round",
        "self_registration": "people log in by registry.login, and users are not made here",
    }

    project_creation: Literal["adminonly", "everyone"] | None = None
    """Who may create projects. Unset: adminonly, unless somebody chose otherwise in Harbor."""
    read_only: bool | None = None
    """Refuse every change and push. Set last and left first, as Harbor refuses all else in it."""
    robot_prefix: (
        Annotated[
            str,
            SettingRule(
                allowed="letters, digits and . _ - with $ or ~ in it, at most 64 characters",
                example=ROBOT_PREFIX,
                check=_prefix,
            ),
        ]
        | None
    ) = None
    """What the logins of robots begin with; Harbor's robot$ when unset. A change renames the login
    of every robot at once."""
    session_minutes: Annotated[int, _MINUTES] | None = None
    """Minutes without a click after which a session of the web interface ends."""
    token_minutes: Annotated[int, _MINUTES] | None = None
    """Minutes that a token for pulls and pushes is good for."""
    robot_days: Annotated[int, whole_number(1, 36_500, example=30, unit="day")] | None = None
    """Days that a robot made in the web interface lasts. Robots of this file say `days`."""
    default_quota: Quota | None = None
    """Most bytes of a project that says no quota; no limit when unset."""
    audit_forward: (
        Annotated[
            str,
            SettingRule(
                allowed="a syslog server HOST:PORT",
                example="<host>:514",
                check=matching(rf"([a-z0-9.-]+|\[[0-9a-f:]+\]):{PORT_NUMBER}"),
                suggest=lambda text: [text.partition("://")[2], f"{text}:514"],
            ),
        ]
        | None
    ) = None
    """Where the audit log is sent. Harbor stores it although it cannot reach it."""
    audit_only_forward: bool | None = None
    """Keep no audit log in the database. Only with auditForward."""
    disabled_audit_events: tuple[AuditEvent, ...] | None = None
    """What the audit log leaves out."""
    notifications: bool | None = None
    """Whether webhooks send messages."""
    banner: BannerSettings | None = None
    """A message on every page of Harbor."""
    scans_count_as_pull: bool | None = None
    """Whether a scan counts as a pull, which rules of retention read."""

    @property
    def values(self) -> Configuration:
        """Items that the stack's file sets, without read_only."""
        events = self.disabled_audit_events
        scans = self.scans_count_as_pull
        given = {
            "project_creation_restriction": self.project_creation,
            "robot_name_prefix": self.robot_prefix,
            "session_timeout": self.session_minutes,
            "token_expiration": self.token_minutes,
            "robot_token_duration": self.robot_days,
            "storage_per_project": None if self.default_quota is None else self.quota_bytes,
            "audit_log_forward_endpoint": self.audit_forward,
            "skip_audit_log_database": self.audit_only_forward,
            "disabled_audit_log_event_types": None if events is None else ",".join(events),
            "notification_enable": self.notifications,
            "banner_message": None if self.banner is None else self.banner.text,
            "scanner_skip_update_pulltime": None if scans is None else not scans,
        }
        return {item: value for item, value in given.items() if value is not None}

    @property
    def defaults(self) -> Configuration:
        """Items that are set only where Harbor still has its own default."""
        return {} if self.project_creation else {"project_creation_restriction": "adminonly"}

    @property
    def quota_bytes(self) -> int:
        """Most bytes of a project that says no quota; -1 for no limit."""
        return UNLIMITED if self.default_quota is None else quota_in_bytes(self.default_quota)

    @property
    def prefix(self) -> str:
        """What the logins of robots begin with."""
        return self.robot_prefix or ROBOT_PREFIX

    @model_validator(mode="after")
    def _forwards_what_it_does_not_keep(self) -> Self:
        if self.audit_only_forward and self.audit_forward is None:
            refuse(
                "false without auditForward: Harbor refuses to keep no log and send it nowhere",
                at=("auditOnlyForward",),
                example="false",
            )
        return self
