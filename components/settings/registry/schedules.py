"""What Harbor does by itself, and when. Pure."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self, get_args

from pydantic import model_validator

from components.settings.registry.cron import six_fields
from components.settings.registry.cron_rules import Schedule
from components.settings.schema.rules import Section, refuse, refuse_repetition, whole_number
from components.settings.trivy import TrivySettings

AuditEvent = Literal[
    "create_artifact",
    "delete_artifact",
    "pull_artifact",
    "create_project",
    "delete_project",
    "delete_repository",
    "login_user",
    "logout_user",
    "create_user",
    "delete_user",
    "update_user",
    "create_robot",
    "delete_robot",
    "update_configuration",
]
"""Harbor's list of GET /auditlog-exts/events."""
EVENTS: Final[tuple[AuditEvent, ...]] = get_args(AuditEvent)


class GarbageCollectionSettings(Section):
    """Blobs that no image needs are deleted."""

    not_here: ClassVar[Mapping[str, str]] = {
        "dry_run": "a dry run is an action, not a setting: start it in Harbor",
    }

    schedule: Schedule = "weekly"
    """When; none for never."""
    delete_untagged: bool = False
    """Delete images without a tag too."""
    workers: Annotated[int, whole_number(1, 10, example=1)] = 1
    """How many blobs are deleted at a time."""

    @property
    def cron(self) -> str:
        """Harbor's six fields; "" for never."""
        return six_fields(self.schedule)

    @property
    def parameters(self) -> dict[str, bool | int]:
        """Harbor's parameters of the job."""
        return {"delete_untagged": self.delete_untagged, "workers": self.workers}

    @property
    def unstated(self) -> tuple[str, ...]:
        """What the stack's file does not state: cron, and Harbor's parameters."""
        theirs = {"schedule": "cron"}
        return tuple(
            theirs.get(name, name)
            for name in type(self).model_fields
            if name not in self.model_fields_set
        )


class AuditPurgeSettings(Section):
    """Old entries of the audit log are deleted."""

    called_here: ClassVar[Mapping[str, str]] = {
        "audit_retention_hour": "keepDays",
        "include_event_types": "events",
        "include_operations": "events",
    }
    not_here: ClassVar[Mapping[str, str]] = GarbageCollectionSettings.not_here

    schedule: Schedule = "weekly"
    """When; none for never."""
    keep_days: Annotated[int, whole_number(1, 9_999, example=365, unit="day")] = 365
    """Days that an entry stays. Harbor takes less than 240000 hours."""
    events: tuple[AuditEvent, ...] = EVENTS
    """Which entries are deleted."""

    @property
    def cron(self) -> str:
        """Harbor's six fields; "" for never."""
        return six_fields(self.schedule)

    @property
    def parameters(self) -> dict[str, bool | int | str]:
        """Harbor's parameters of the job."""
        return {
            "audit_retention_hour": self.keep_days * 24,
            "include_event_types": ",".join(self.events),
            "dry_run": False,
        }

    @property
    def unstated(self) -> tuple[str, ...]:
        """What the stack's file does not state: cron, and Harbor's parameters."""
        theirs = {
            "schedule": "cron",
            "keep_days": "audit_retention_hour",
            "events": "include_event_types",
        }
        left = [theirs[name] for name in theirs if name not in self.model_fields_set]
        # No line states whether it is a dry run; a section that states anything is meant.
        return (*left, "dry_run") if len(left) == len(theirs) else tuple(left)

    @model_validator(mode="after")
    def _deletes_something(self) -> Self:
        if not self.events:
            refuse("at least one; schedule none deletes nothing", at=("events",))
        refuse_repetition(self.events, at=("events",), reason="the same one twice")
        return self


class ScanAllSettings(Section):
    """All images are scanned again, as new vulnerabilities become known."""

    called_here: ClassVar[Mapping[str, str]] = {"vulnerability_scan_policy": "schedule"}

    schedule: Schedule | None = None
    """When; none for never. Unset: daily where trivy.enabled is true."""

    def cron(self, trivy: TrivySettings) -> str:
        """Harbor's six fields; "" for never. Without a scanner Harbor has no such schedule: it
        answers 412."""
        return six_fields(self.schedule or "daily") if trivy.enabled else ""

    @property
    def parameters(self) -> dict[str, bool | int | str]:
        """Harbor's parameters of the job: it knows none."""
        return {}

    @property
    def unstated(self) -> tuple[str, ...]:
        """What the stack's file does not state: cron."""
        return ("cron",) if self.schedule is None else ()


class SchedulesSettings(Section):
    """What Harbor does by itself, and when. Times are UTC."""

    called_here: ClassVar[Mapping[str, str]] = {
        "gc": "garbageCollection",
        "purge": "auditPurge",
        "scan_all": "scanAll",
    }

    garbage_collection: GarbageCollectionSettings = GarbageCollectionSettings()
    """Blobs that no image needs are deleted."""
    audit_purge: AuditPurgeSettings = AuditPurgeSettings()
    """Old entries of the audit log are deleted."""
    scan_all: ScanAllSettings = ScanAllSettings()
    """All images are scanned again."""
