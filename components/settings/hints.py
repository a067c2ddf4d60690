"""Warnings about settings that are allowed. Pure."""

import datetime as dt
from collections.abc import Iterator

from components import harbor_lines
from components.settings.database import CommonDatabaseSettings, SharedDatabase
from components.settings.harbor import HarborSettings
from components.settings.model import Settings
from components.settings.registry import hints as registry_hints
from components.settings.storage.base import BucketSettings


def hints(settings: Settings, today: dt.date) -> Iterator[str]:
    """What a person should know before `up`; `today` in UTC."""
    yield from _of_a_pooler(settings.database)
    yield from of_the_chart(settings.harbor)
    yield from _of_a_shared_namespace(settings)
    yield from registry_hints.hints(settings.registry, today)


def of_backups(settings: Settings) -> Iterator[str]:
    """What could not be brought back, for those who decide by a preview."""
    database = settings.database
    if isinstance(database, SharedDatabase):
        yield (
            f"database.mode is shared: whoever runs {database.host} backs up the database "
            f"{database.name}, at least as often and as long as this registry needs it "
            "(docs/howto/backup.md)"
        )
    elif settings.backup is None:
        yield (
            "nothing backs up this Sovereign's database: with it all projects, users, robots and "
            "tags would be lost. The section backup does it once it has a destination "
            "(docs/howto/backup.md)"
        )
    elif not (isinstance(settings.storage, BucketSettings) and settings.storage.versioning.enabled):
        yield (
            "blobs that garbage collection deletes are gone at once (storage.versioning): a "
            "database that is restored to an earlier moment would name some of them"
        )


def of_the_chart(harbor: HarborSettings) -> Iterator[str]:
    """Whether the version of Harbor's chart is one that was tested."""
    version = harbor.chart.version
    if harbor_lines.line_of(version) is None:
        tested = " and ".join(line.chart for line in harbor_lines.LINES)
        yield (
            f"harbor.chart.version {version} is of a line of Harbor's chart that this program was "
            f"not tested with; tested are {tested}, see docs/reference/versions.md"
        )


def _of_a_pooler(database: CommonDatabaseSettings) -> Iterator[str]:
    if (
        isinstance(database, SharedDatabase)
        and database.looks_pooled
        and database.pool_mode == "none"
    ):
        yield (
            f"database {database.host}:{database.port} looks like a connection pooler. Harbor "
            "needs one in session mode, or the server itself; set database.poolMode to session "
            "once that is sure."
        )


def _of_a_shared_namespace(settings: Settings) -> Iterator[str]:
    """What others may do in a namespace that they share with Harbor."""
    harbor, policy = settings.harbor, settings.image_policy
    if harbor.shared_namespace and policy.enabled and policy.enforcement == "Enforce":
        yield (
            f"imagePolicy leaves out namespace {harbor.namespace}, since Harbor must start there "
            "while no image can be pulled from it, and the namespace is shared "
            "(harbor.sharedNamespace): whoever may make pods there may run any image"
        )
