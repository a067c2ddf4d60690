"""Secrets of others under the names of this program's: the controller does not write over them."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, Final

from components.backup.objects import SECRET as BACKUP
from components.backup.objects import SOURCE_SECRET as SOURCE
from components.credentials import REGISTRY_ACCOUNT, secret_name, secret_names
from components.data_services.cache import SHARED_SECRET as SHARED_CACHE
from components.data_services.database import SHARED_SECRET as SHARED_DATABASE
from components.data_services.postgres import SECRET as DATABASE
from components.data_services.valkey import SECRET as CACHE
from components.kubernetes.client import ClusterClient, dig
from components.kubernetes.naming import SEAM_NAMESPACE, SEAM_SECRET
from components.object_storage.store import HARBOR_SECRET
from components.settings.database import DedicatedDatabase, SharedDatabase
from components.settings.model import Settings
from components.settings.valkey import DedicatedValkey
from components.stack_config import StackConfig

_TAKEN: Final = ("sealedsecrets.bitnami.com/managed", "sealedsecrets.bitnami.com/patch")


def problems(client: ClusterClient, config: StackConfig) -> list[str]:
    """The Secrets in the way, each with the command that mends it. Raises ClusterUnreachable."""
    return [
        f"Secret {namespace}/{name} exists already and no SealedSecret made it: the sealed-secrets "
        "controller would not write over it\n"
        "  fix: if its contents may be written over: "
        f"kubectl annotate secret {name} -n {namespace} {_TAKEN[0]}=true"
        for namespace, name in names(config.settings, given=frozenset(config.secrets))
        if _is_in_the_way(client.get(f"/api/v1/namespaces/{namespace}/secrets/{name}"))
    ]


def names(settings: Settings, *, given: Set[str]) -> list[tuple[str, str]]:
    """Namespace and name of every Secret that the program makes; `given`: config secrets set."""
    registry = settings.registry
    account = secret_name(REGISTRY_ACCOUNT)
    own = [
        *(name for name in secret_names(given) if registry.enabled or name != account),
        DATABASE if isinstance(settings.database, DedicatedDatabase) else SHARED_DATABASE,
        CACHE if isinstance(settings.valkey, DedicatedValkey) else SHARED_CACHE,
        *([HARBOR_SECRET] if settings.storage.has_credentials else []),
        *([BACKUP] if settings.backup is not None else []),
        *([SOURCE] if settings.is_restored_from_elsewhere else []),
    ]
    database = settings.database
    owner = (
        [(database.create.namespace, database.create.secret_name(database.name))]
        if isinstance(database, SharedDatabase) and database.create and database.makes_role
        else []
    )
    seam = [(SEAM_NAMESPACE, SEAM_SECRET)] if settings.storage.has_seam else []
    logins = [
        (namespace, robot.secret_name)
        for robot in (registry.all_robots if registry.enabled else ())
        if robot.settings.pull_secret is not None
        for namespace in robot.settings.pull_secret.namespaces
    ]
    return [*((settings.harbor.namespace, name) for name in own), *owner, *seam, *logins]


def _is_in_the_way(secret: Any) -> bool:
    if not secret:
        return False
    owners: list[dict[str, Any]] = dig(secret, "metadata", "ownerReferences") or []
    annotations: dict[str, str] = dig(secret, "metadata", "annotations") or {}
    is_made_by_one = any(owner.get("kind") == "SealedSecret" for owner in owners)
    return not is_made_by_one and not any(annotations.get(key) == "true" for key in _TAKEN)
