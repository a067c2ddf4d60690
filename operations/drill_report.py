"""What a restore drill asks the restored database, and what it says about the answers. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from components import parsed
from components.monitoring.own_metrics import (
    DRILL_BACKUP_AGE,
    DRILL_DURATION,
    DRILL_IMAGES,
    DRILL_LAST_PASSED,
    DRILL_PASSED,
    DRILL_RUN,
    Figure,
    figure,
)

SQL: Final = """
SELECT json_build_object(
  'schema', (SELECT max(version) FROM schema_migrations),
  'isDirty', (SELECT bool_or(dirty) FROM schema_migrations),
  'projects', (SELECT count(*) FROM project WHERE NOT deleted),
  'repositories', (SELECT count(*) FROM repository),
  'artifacts', (SELECT count(*) FROM artifact),
  'newestPush', (SELECT to_char(max(push_time), 'YYYY-MM-DD"T"HH24:MI:SS') FROM artifact),
  'samples', (
    SELECT coalesce(json_agg(json_build_object(
      'project', sample.project, 'repository', sample.repository, 'digest', sample.digest
    ) ORDER BY sample.project), '[]'::json)
    FROM (
      SELECT DISTINCT ON (p.project_id)
        p.name AS project, r.name AS repository, a.digest AS digest
      FROM project p
      LEFT JOIN (artifact a JOIN repository r ON r.repository_id = a.repository_id)
        ON a.project_id = p.project_id
      WHERE NOT p.deleted
      ORDER BY p.project_id, random()
    ) AS sample
  )
);
"""
"""One object: the schema's version as golang-migrate keeps it, counts, and of each project one
image by chance (tables of goharbor/harbor make/migrations/postgresql, 2.0 to 2.15)."""


class DrillFailed(Exception):
    """The drill showed that the registry would not come back, or could not show that it would."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A project, and one of its images by repository and digest; both None where it has none."""

    project: str
    repository: str | None
    digest: str | None

    @property
    def path(self) -> str:
        """Repository and digest as people write them."""
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What the restored database holds. `schema`: version of Harbor's migrations. `newest_push`: of
    an image, UTC; None without images. `samples`: one for each project."""

    schema: int
    projects: int
    repositories: int
    artifacts: int
    newest_push: str | None
    samples: tuple[Sample, ...]


def read_rows(text: str) -> Restored:
    """The answer to SQL. Raises DrillFailed where it is not that of a Harbor that could start."""
    try:
        row: Any = parsed.json_of(text)
        samples = [
            Sample(
                project=str(each["project"]), repository=each["repository"], digest=each["digest"]
            )
            for each in row["samples"]
        ]
        restored = Restored(
            schema=int(row["schema"] or 0),
            projects=int(row["projects"]),
            repositories=int(row["repositories"]),
            artifacts=int(row["artifacts"]),
            newest_push=row["newestPush"],
            samples=tuple(samples),
        )
        is_dirty = bool(row["isDirty"])
    except (ValueError, LookupError, TypeError):
        raise DrillFailed(
            "the restored database answered something else than the drill asked"
        ) from None
    if is_dirty:
        raise DrillFailed(
            f"in the restored database the migration to schema {restored.schema} has not ended "
            "(schema_migrations.dirty): Harbor would refuse to start on it"
        )
    if not restored.schema:
        raise DrillFailed(
            "the restored database has no schema of Harbor (schema_migrations is empty)"
        )
    return restored


@dataclass(kw_only=True)
class Result:
    """What a drill found out, as far as it got. Times are in UTC; `seconds`: since it began."""

    began: dt.datetime
    server: str = ""
    backup_ended: dt.datetime | None = None
    restored: Restored | None = None
    found: dict[Sample, bool] = field(default_factory=dict[Sample, bool])
    """Sample with an image → whether the registry has it."""
    seconds: float = 0.0
    failure: str | None = None

    @property
    def missing(self) -> list[Sample]:
        return [sample for sample, is_there in self.found.items() if not is_there]

    @property
    def has_passed(self) -> bool:
        return self.failure is None and self.restored is not None and not self.missing

    @property
    def backup_age(self) -> float | None:
        """Seconds from the end of the backup to the beginning of the drill."""
        ended = self.backup_ended
        return None if ended is None else max(0.0, (self.began - ended).total_seconds())


def figures(outcome: Result, *, now: float, recorded: str) -> Iterator[Figure]:
    """The metrics of a drill. `now`: seconds since 1970. `recorded`: the text of the drill before,
    from which the time of the last success is kept."""
    passed = outcome.has_passed
    yield figure(DRILL_RUN, int(now))
    yield figure(DRILL_PASSED, 1 if passed else 0)
    yield figure(DRILL_LAST_PASSED, int(now) if passed else last_passed(recorded))
    yield figure(DRILL_DURATION, round(outcome.seconds, 1))
    if outcome.backup_age is not None:
        yield figure(DRILL_BACKUP_AGE, int(outcome.backup_age))
    if outcome.restored is not None:
        missing = len(outcome.missing)
        yield figure(DRILL_IMAGES, len(outcome.found) - missing, state="found")
        yield figure(DRILL_IMAGES, missing, state="missing")


def last_passed(recorded: str) -> float:
    """When a drill last passed, out of a text that a drill recorded; 0 for never."""
    line = re.search(
        rf"^{DRILL_LAST_PASSED.name} ([0-9.e+]+)$", recorded, flags=re.MULTILINE | re.ASCII
    )
    return float(line.group(1)) if line else 0.0


def last_backup(store: Mapping[str, Any] | None, server: str) -> dt.datetime | None:
    """When the last base backup of a server ended, as the plugin keeps it in the ObjectStore's
    status (serverRecoveryWindow, plugin-barman-cloud v0.14.0); None without one."""
    tree: Any = store
    for key in ("status", "serverRecoveryWindow", server, "lastSuccessfulBackupTime"):
        tree = cast("Mapping[str, Any]", tree).get(key) if tree else None
    try:
        return dt.datetime.fromisoformat(tree) if tree else None
    except (ValueError, TypeError):
        return None


def report(stack: str, outcome: Result) -> str:
    """What a person reads at the end."""
    lines = [*_facts(outcome)]
    width = max((len(sample.project) for sample in _samples(outcome)), default=0)
    for sample in _samples(outcome):
        words = "no image"
        if sample.digest is not None:
            words = {True: "found", False: "MISSING", None: "not asked"}[outcome.found.get(sample)]
            words = f"{words}  {sample.path}"
        lines.append(f"  {sample.project:<{width}}  {words}")
    if outcome.failure is not None:
        lines.append(f"FAILED: {outcome.failure}")
    elif outcome.missing:
        lines.append(
            f"FAILED: {len(outcome.missing)} of {len(outcome.found)} images are in the restored "
            "database and not in the registry's storage"
        )
    else:
        lines.append(f"PASSED: {stack} can be restored")
    return "\n".join(lines)


def _samples(outcome: Result) -> Sequence[Sample]:
    return outcome.restored.samples if outcome.restored else ()


def _facts(outcome: Result) -> Iterable[str]:
    if outcome.backup_age is not None and outcome.backup_ended is not None:
        yield (
            f"backup:    of server {outcome.server}, ended {outcome.backup_ended:%Y-%m-%d %H:%M} "
            f"UTC, {lasted(outcome.backup_age)} before the drill"
        )
    if (restored := outcome.restored) is not None:
        push = f", the newest pushed {restored.newest_push} UTC" if restored.newest_push else ""
        yield (
            f"restored:  schema {restored.schema}, {restored.projects} projects, "
            f"{restored.repositories} repositories, {restored.artifacts} artifacts{push}"
        )
    yield f"duration:  {lasted(outcome.seconds)}"


def lasted(seconds: float) -> str:
    """A duration for people: its two largest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
