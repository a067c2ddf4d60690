"""Rules between backups, what is backed up, and where it lies. Pure."""

from collections.abc import Iterator
from typing import Final

from components.settings.backup import GAP, BackupSettings, DestinationSettings
from components.settings.database import (
    DatabaseSettings,
    DedicatedDatabase,
    SharedDatabase,
)
from components.settings.registry import cron
from components.settings.registry.section import RegistrySettings
from components.settings.schema.problems import CrossRule, Problem
from components.settings.schema.rules import REMOVE
from components.settings.storage.base import BucketSettings, StorageKind


def restore_source(
    database: DatabaseSettings, backup: BackupSettings | None
) -> DestinationSettings | None:
    """Where the backups are from which the database is made; None if it is not, or nothing says
    it."""
    if not isinstance(database, DedicatedDatabase) or database.restore is None:
        return None
    return database.restore.source or (None if backup is None else backup.destination)


def _restore_has_a_source(
    *, database: DatabaseSettings, backup: BackupSettings | None
) -> Iterator[Problem]:
    is_restored = isinstance(database, DedicatedDatabase) and database.restore is not None
    if is_restored and restore_source(database, backup) is None:
        yield Problem(
            path=("database", "restore", "from"),
            reason="required without the section backup: the bucket in which the backups are",
        )


def _backup_is_of_an_own_database(
    *, database: DatabaseSettings, backup: BackupSettings | None
) -> Iterator[Problem]:
    if backup is not None and isinstance(database, SharedDatabase):
        yield Problem(
            path=("backup",),
            reason="left out with database.mode shared: whoever runs that server backs it up, see "
            "docs/howto/backup.md",
            example=REMOVE,
        )


def _backups_are_apart_from_images(
    *, storage: StorageKind, backup: BackupSettings | None
) -> Iterator[Problem]:
    # By the name alone: one store answers under many endpoints.
    images = storage.bucket_name
    if backup is None or images is None:
        return
    key, destination = ("backup", "destination"), backup.destination
    if destination.bucket == images:
        yield Problem(
            path=(*key, "bucket"),
            reason=f"another name than {images}, the bucket of the images, at any endpoint and "
            "under any prefix: a key, a lifecycle rule or a mistake would reach both",
            example="{stack}-backup",
        )
    scheme, _, host = destination.endpoint.partition("://")
    if host.startswith(f"{images}."):
        yield Problem(
            path=(*key, "endpoint"),
            reason=f"a host that does not begin with {images}, the bucket of the images: a store "
            "reads the bucket from there",
            example=f"{scheme}://{host.removeprefix(f'{images}.')}",
        )


def _backups_are_encrypted_on_their_way(
    *, sandbox: bool, database: DatabaseSettings, backup: BackupSettings | None
) -> Iterator[Problem]:
    places: list[tuple[tuple[str, ...], DestinationSettings]] = []
    if backup is not None:
        places.append((("backup", "destination"), backup.destination))
    restore = database.restore if isinstance(database, DedicatedDatabase) else None
    if restore is not None and restore.source is not None:
        places.append((("database", "restore", "from"), restore.source))
    for path, place in places:
        if not sandbox and place.endpoint.startswith("http://"):
            yield Problem(
                path=(*path, "endpoint"),
                reason="https outside the sandbox: keys and the database would cross the network "
                "in clear",
                example=place.endpoint.replace("http://", "https://", 1),
            )


def _deleted_blobs_stay_as_long_as_backups(
    *, storage: StorageKind, backup: BackupSettings | None
) -> Iterator[Problem]:
    if backup is None or not isinstance(storage, BucketSettings) or not storage.versioning.enabled:
        return
    days = storage.versioning.noncurrent_days
    if days < backup.retention_days:
        yield Problem(
            path=("storage", "versioning", "noncurrentDays"),
            reason=f"at least {backup.retention_days}, as backup.retention is {backup.retention}: "
            "a database that is restored to its oldest moment names blobs that garbage collection "
            "has deleted since",
            example=str(backup.retention_days),
        )


def _garbage_is_collected_apart_from_backups(
    *, registry: RegistrySettings, backup: BackupSettings | None
) -> Iterator[Problem]:
    collection = registry.schedules.garbage_collection
    if backup is None or not registry.enabled or not collection.cron:
        return
    backups = cron.starts(backup.cron)
    if not cron.come_within(cron.starts(collection.cron), backups, GAP):
        return
    _, _, _, *days = collection.cron.split(" ")
    free = (f"0 {hour} {' '.join(days)}" for hour in range(24))
    example = next(
        (
            text
            for text in free
            if not cron.come_within(cron.starts(cron.six_fields(text)), backups, GAP)
        ),
        None,
    )
    hours = GAP.total_seconds() / 3600
    if example is None:
        yield Problem(
            path=("backup", "schedule"),
            reason="one that leaves time for garbage collection, which begins neither in the "
            f"{hours:.0f} h before a backup nor in the {hours:.0f} h after it",
            example="0 2 * * *",
        )
    else:
        yield Problem(
            path=("registry", "schedules", "garbageCollection", "schedule"),
            reason=f"a time that is not within {hours:.0f} h of backup.schedule "
            f"({backup.schedule}): the database is backed up first, and no blob is deleted "
            "meanwhile",
            example=example,
        )


RULES: Final[tuple[CrossRule, ...]] = (
    _restore_has_a_source,
    _backup_is_of_an_own_database,
    _backups_are_apart_from_images,
    _backups_are_encrypted_on_their_way,
    _deleted_blobs_stay_as_long_as_backups,
    _garbage_is_collected_apart_from_backups,
)
