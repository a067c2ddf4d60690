"""What the Sovereign's database is made of: nothing, or a backup; and under which name it archives.
Pure.

CloudNativePG reads `bootstrap` when a Cluster is made, and never again: it accepts any change of it
on a Cluster that lives, and does nothing about it (its webhook, validateClusterChanges of 1.30). So
a restore is another Cluster, in the place of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.adopted import LiveDatabase
from components.backup.objects import SOURCE, external_cluster
from components.settings.database import FIRST_SERVER, RestoreSettings
from components.settings.model import Settings

SERVER_ANNOTATION: Final = "sovereign-harbor/database-server"
"""Annotation of a Cluster that was restored: the name under which it archives. A state that was
lost, or a stack's file without database.restore, does not know it any more."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """`server`: the name under which the database archives. `restore`: None unless it is made from
    a backup. `begins`: whether the Cluster that this run makes takes the place of all before it.
    `is_new`: whether this run makes the Cluster, restored or not.
    """

    server: str
    restore: RestoreSettings | None = None
    begins: bool = False
    is_new: bool = False

    @property
    def was_restored(self) -> bool:
        """Whether the database is not the stack's first one."""
        return self.server != FIRST_SERVER

    @property
    def annotations(self) -> dict[str, str]:
        """Annotations of the Cluster."""
        return {SERVER_ANNOTATION: self.server} if self.was_restored else {}


def origin_of(settings: Settings, live: LiveDatabase | None) -> Origin:
    """The origin that the settings ask for. `live`: None where nobody looked."""
    server, lives_as = settings.restored_server, None if live is None else live.server
    if server is None:
        is_new = live is not None and lives_as is None
        return Origin(server=lives_as or FIRST_SERVER, is_new=is_new)
    restore = getattr(settings.database, "restore", None)
    begins = live is not None and lives_as != server
    return Origin(server=server, restore=restore, begins=begins, is_new=begins)


def server_of(cluster: Mapping[str, Any] | None) -> str | None:
    """The name under which a Cluster of the API archives; None without Cluster."""
    if not cluster:
        return None
    annotations: Mapping[str, str] = cluster.get("metadata", {}).get("annotations") or {}
    return annotations.get(SERVER_ANNOTATION, FIRST_SERVER)


def recovery(
    origin: Origin, source_store: str, *, database: str, owner: str, secret_name: str | None
) -> dict[str, Any]:
    """The parts of a Cluster's spec that make it from the backup in an ObjectStore.

    The operator sets the owner's password to that of the Secret at the end, or without one to a
    random password.
    """
    assert origin.restore is not None
    target = origin.restore.moment
    return {
        "bootstrap": {
            "recovery": {
                "source": SOURCE,
                "database": database,
                "owner": owner,
                **({} if secret_name is None else {"secret": {"name": secret_name}}),
                **({} if target is None else {"recoveryTarget": {"targetTime": target}}),
            }
        },
        "externalClusters": [external_cluster(source_store, origin.restore.server)],
    }
