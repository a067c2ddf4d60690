"""Whether a Harbor that runs stays the same Harbor when this stack adopts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from components.commands import set_secret, set_value
from components.data_services.postgres import CLUSTER, DATABASE
from components.harbor.recovery import RUNBOOK, Record
from components.harbor_inputs import MINTED_SECRET_KEY, RELEASE
from components.preflight.adoption.running import OVERWRITE, RunningHarbor
from components.settings.database import SharedDatabase
from components.settings.model import Settings
from components.settings.storage.base import BucketSettings

CHARTS_OWN_DATABASE = f"{RELEASE}-database"
PUBLISHED_KEY = "not-a-secure-key"
"""secretKey of the chart's values."""


def key_problem(
    running: RunningHarbor,
    *,
    is_key: Callable[[str], bool] | None,
    namespace: str,
    stack: str,
) -> str | None:
    """Why Harbor could not read what it encrypted in its database; None when it could.

    `is_key`: whether a text is the key that this stack was given; None: it was given none.
    """
    secret = running.key_secret
    if not secret or (is_key is None and secret == MINTED_SECRET_KEY):
        return None
    if is_key is not None and is_key(running.key):
        return None
    state = "was given none" if is_key is None else "was given another one"
    return (
        f"sovereign-harbor:harborSecretKey: the Harbor in namespace {namespace} encrypts the "
        f"credentials in its database with the key in Secret {secret}, and this stack {state}: "
        "they would be lost\n"
        f"  fix: kubectl get secret {secret} -n {namespace} -o "
        f"jsonpath='{{.data.{running.key_entry}}}' | "
        f"base64 -d | {set_secret('harborSecretKey', stack)}"
    )


def lock_problem(running: RunningHarbor, settings: Settings, stack: str) -> str | None:
    """Why Harbor would take no setting by its API; None when it would."""
    if not running.locks_settings or not settings.registry.enabled:
        return None
    namespace = settings.harbor.namespace
    return (
        f"sovereign-harbor:registry: core of the Harbor in namespace {namespace} has {OVERWRITE} "
        "in its environment (chart values core.configureUserSettings or core.extraEnvVars). It "
        "locks every setting, those too that it does not name, and a typing error in it keeps core "
        "from starting\n"
        f"  fix: kubectl set env deployment/{RELEASE}-core -n {namespace} {OVERWRITE}- "
        "(the values stay in Harbor's database), and declare them in the section registry\n"
        f"  or leave Harbor's configuration alone: {set_value('registry.enabled', 'false', stack)}"
    )


def key_warning(running: RunningHarbor) -> str | None:
    """The warning about the key that the chart publishes; None when Harbor has another."""
    if running.key != PUBLISHED_KEY:
        return None
    return (
        f"Harbor's secretKey is the one that the chart publishes ({PUBLISHED_KEY}): whoever gets "
        "a copy of the database reads the registry and OIDC credentials in it. Harbor cannot "
        f"change it by itself; see {RUNBOOK}"
    )


def release_problems(
    running: RunningHarbor, newest: Record, settings: Settings, stack: str
) -> Iterator[str]:
    """What adopting a release would lose, or Kubernetes would refuse in the middle of the run."""
    yield from _helm_problems(newest)
    if running.database_host == CHARTS_OWN_DATABASE:
        yield (
            "its database is the chart's own PostgreSQL, which goes with the release's values\n"
            f"  fix: move it to an external one first, see {RUNBOOK}"
        )
    else:
        yield from _database_problems(running, settings)
    yield from _store_problems(running, settings, stack)


def _helm_problems(newest: Record) -> Iterator[str]:
    release = f"Helm release {RELEASE}, revision {newest.revision},"
    if newest.status != "deployed":
        yield f"{release} is {newest.status}\n  fix: bring it to deployed with helm first"
    if newest.has_values:
        yield (
            f"{release} holds values; the engine would write them, passwords too, readably into "
            f"this stack's state\n  fix: record a revision without them, see {RUNBOOK}"
        )


def _database_problems(running: RunningHarbor, settings: Settings) -> Iterator[str]:
    section, namespace = settings.database, settings.harbor.namespace
    host, name = f"{CLUSTER}-rw", DATABASE
    if isinstance(section, SharedDatabase):
        host, name = section.host, section.name
    before = (_service(running.database_host, namespace), running.database_name)
    if before != (_service(host, namespace), name):
        yield (
            f"it uses database {running.database_name} at {running.database_host}, and would use "
            f"{name} at {host}: its projects, users and tags would be gone\n"
            "  fix: database.mode shared with that host and name; or dedicated with "
            f"database.adopt, if it is {DATABASE} of Cluster {CLUSTER} in {namespace}"
        )


def _service(host: str, namespace: str) -> str:
    """The shortest name by which a pod of `namespace` reaches the same host."""
    short = host.removesuffix(".").removesuffix(".cluster.local").removesuffix(".svc")
    return short.removesuffix(f".{namespace}")


def _store_problems(running: RunningHarbor, settings: Settings, stack: str) -> Iterator[str]:
    storage = settings.storage
    bucket = running.store.get("bucket") or running.store.get("container")
    before, after = bucket or "a volume", storage.bucket_name or "a volume"
    if before != after:
        yield (
            f"its images are in {before}, and would be looked for in {after}\n"
            f"  fix: set storage to where they are, or bring them there first, see {RUNBOOK}"
        )
        return
    prefix = running.store.get("rootdirectory") or ""
    if not isinstance(storage, BucketSettings):
        return
    folder = storage.root_directory
    if prefix.strip("/") != folder.strip("/"):
        yield (
            f"its images are below {prefix or '/'} in the bucket, and would be looked for below "
            f"{folder or '/'}\n"
            "  fix: " + set_value("storage.rootDirectory", f"'{prefix}'", stack)
        )
