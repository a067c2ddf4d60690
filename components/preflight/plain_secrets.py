"""Secrets of others under the names of this program's. The sealed-secrets controller does not write
over them; the External Secrets Operator would."""

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
from components.kubernetes.naming import SEAM_SECRET
from components.object_storage.store import HARBOR_SECRET
from components.sealing.opened import revision_of
from components.settings.database import DedicatedDatabase, SharedDatabase
from components.settings.model import Settings
from components.settings.secrets import ExternalDelivery
from components.settings.storage.base import BucketSettings
from components.settings.valkey import DedicatedValkey
from components.stack_config import StackConfig

_TAKEN: Final = ("sealedsecrets.bitnami.com/managed", "sealedsecrets.bitnami.com/patch")


def problems(client: ClusterClient, config: StackConfig) -> list[str]:
    """The Secrets in the way, each with the command that mends it. Raises ClusterUnreachable."""
    external = isinstance(config.settings.secrets, ExternalDelivery)
    found = (
        (namespace, name, client.get(f"/api/v1/namespaces/{namespace}/secrets/{name}"))
        for namespace, name in names(config.settings, given=frozenset(config.secrets))
    )
    reason = _of_external if external else _of_sealed
    return [text for each in found if (text := reason(*each)) is not None]


def _of_external(namespace: str, name: str, secret: Any) -> str | None:
    """Why the External Secrets Operator cannot, or must not, make this Secret its own."""
    where = f"{name} -n {namespace}"
    if _is_made_by(secret, "SealedSecret"):
        return (
            f"Secret {namespace}/{name} belongs to a SealedSecret, so the External Secrets "
            "Operator cannot make it its own\n"
            f"  fix: kubectl delete sealedsecret {where} --cascade=orphan, which leaves the Secret "
            "(docs/howto/external-secrets.md)"
        )
    if not secret or _is_made_by(secret, "ExternalSecret") or revision_of(secret) is not None:
        return None
    return (
        f"Secret {namespace}/{name} exists already and this program did not make it: the External "
        "Secrets Operator would write over it\n"
        f"  fix: if its contents may be lost: kubectl delete secret {where}"
    )


def _of_sealed(namespace: str, name: str, secret: Any) -> str | None:
    if not _is_in_the_way(secret):
        return None
    first = ""
    if _is_made_by(secret, "ExternalSecret"):
        first = f"kubectl delete externalsecret {name} -n {namespace} --cascade=orphan && "
    return (
        f"Secret {namespace}/{name} exists already and no SealedSecret made it: the sealed-secrets "
        "controller would not write over it\n"
        "  fix: if its contents may be written over: "
        f"{first}kubectl annotate secret {name} -n {namespace} {_TAKEN[0]}=true"
    )


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
    storage = settings.storage
    seam = (
        [(storage.seam_namespace, SEAM_SECRET)]
        if isinstance(storage, BucketSettings) and storage.has_seam
        else []
    )
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
    annotations: dict[str, str] = dig(secret, "metadata", "annotations") or {}
    is_given = any(annotations.get(key) == "true" for key in _TAKEN)
    return not _is_made_by(secret, "SealedSecret") and not is_given


def _is_made_by(secret: Any, kind: str) -> bool:
    owners: list[dict[str, Any]] = dig(secret, "metadata", "ownerReferences") or []
    return any(owner.get("kind") == kind for owner in owners)
