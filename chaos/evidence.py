"""What must not change by a fault: Secrets, objects, blobs, what Harbor holds. Pure, but `look`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from chaos.trial import SENTINEL, Trial
from components.kubernetes.naming import PART_OF

_NOT_OURS: Final = ("helm.sh/release.v1", "kubernetes.io/service-account-token")
"""Types of Secrets that change by themselves: Helm writes one for each revision."""

_CHURNING: Final = frozenset(
    {
        *("controllerrevisions", "endpoints", "endpointslices", "events", "leases", "pods"),
        *("replicasets", "jobs", "backups", "policyreports", "ephemeralreports"),
    }
)
"""Kinds that controllers make and remove by themselves."""

_TABLES: Final = ("projects", "registries", "policies", "robots", "labels", "webhooks")
"""Of Harbor's tables, those whose rows have names: a row that was made again has another id."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is there between two runs. Objects are `Kind namespace/name`.

    `secrets`: namespace/name → digest of its data. `own`: objects with this program's label,
    neither those of Helm's release nor those that a controller made. `known`: objects in the state.
    `objects`: all objects in Harbor's namespaces. `harbor`: rows of Harbor's tables → digest of a
    robot's secret. `blobs`: bucket and key → digest and version. `pending`: operations that the
    state has begun and not ended.
    """

    secrets: Mapping[str, str]
    own: frozenset[str]
    known: frozenset[str]
    objects: frozenset[str]
    harbor: Mapping[str, str]
    blobs: Mapping[str, str]
    pending: int


def problems(
    before: Evidence, after: Evidence, *, rotated: frozenset[str] = frozenset()
) -> list[str]:
    """What is lost, changed or orphaned after a run that converged; a sentence each.

    `rotated`: Secrets that have to differ.
    """
    told = [
        f"Secret {name} changed"
        for name, digest in before.secrets.items()
        if name not in rotated and after.secrets.get(name, digest) != digest
    ]
    told += [f"Secret {name} is lost" for name in sorted({*before.secrets} - {*after.secrets})]
    told += [f"Secret {name} is new" for name in sorted({*after.secrets} - {*before.secrets})]
    for name in sorted(rotated):
        if before.secrets.get(name) == after.secrets.get(name):
            told.append(f"Secret {name} was to be rotated and is as before")
    told += [f"{name} is in the cluster and not in the state" for name in after.own - after.known]
    told += [f"{name} is in the state and not in the cluster" for name in after.known - after.own]
    told += [f"{name} is lost" for name in sorted(before.objects - after.objects)]
    told += [f"{name} is orphaned" for name in sorted(after.objects - before.objects)]
    told += [
        f"Harbor's {row} is lost or has another secret"
        for row, digest in before.harbor.items()
        if after.harbor.get(row) != digest
    ]
    told += [f"Harbor's {row} is new" for row in sorted({*after.harbor} - {*before.harbor})]
    told += [
        f"blob {name} is lost or changed"
        for name, digest in before.blobs.items()
        if after.blobs.get(name) != digest
    ]
    told += [f"blob {name} is new" for name in sorted({*after.blobs} - {*before.blobs})]
    if after.pending:
        told.append(f"{after.pending} operations are pending in the state")
    return told


def left_behind(after: Evidence) -> list[str]:
    """What a `destroy` that succeeded has left; a sentence each."""
    told = [f"{name} is left in the cluster" for name in sorted(after.own)]
    told += [f"{name} is left in the state" for name in sorted(after.known)]
    return told + [f"bucket {name} is left" for name in after.blobs if "/" not in name]


def look(trial: Trial) -> Evidence:
    """What is there now."""
    checkpoint = _checkpoint(trial)
    items = [item for item in trial.objects(besides=_CHURNING) if item.get("type") not in _NOT_OURS]
    inside = [item for item in items if item["metadata"].get("namespace") in trial.namespaces]
    return Evidence(
        secrets={
            _named(item).removeprefix("Secret "): _digest(item.get("data"))
            for item in inside
            if item["kind"] == "Secret"
        },
        own=frozenset(_named(item) for item in items if _is_own(item)),
        known=frozenset(filter(None, map(_object_of, checkpoint.get("resources", [])))),
        objects=frozenset(map(_named, inside)),
        harbor=_harbor(trial),
        blobs=_blobs(trial),
        pending=len(checkpoint.get("pending_operations") or []),
    )


def pending(trial: Trial) -> int:
    """Operations that the state has begun and not ended."""
    return len(_checkpoint(trial).get("pending_operations") or [])


def _checkpoint(trial: Trial) -> dict[str, Any]:
    file = trial.backend / ".pulumi" / "stacks" / "sovereign-harbor" / f"{trial.stack.name}.json"
    return json.loads(file.read_text())["checkpoint"].get("latest") or {}


def _object_of(resource: Mapping[str, Any]) -> str | None:
    """The object of a resource of the state; None for what is no object of Kubernetes."""
    package, _, kind = resource["type"].partition(":")
    is_read = resource.get("external") or not resource.get("id")
    if package != "kubernetes" or kind.startswith("helm.sh/") or is_read:
        return None
    return f"{kind.rpartition(':')[2]} {resource['id']}"


def _named(item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{item['kind']} {place}{metadata['name']}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _is_own(item: Mapping[str, Any]) -> bool:
    """Whether the program wrote an object itself: neither Helm nor a controller did."""
    labels = item["metadata"].get("labels", {})
    return (
        labels.get(PART_OF[0]) == PART_OF[1]
        and labels.get("app.kubernetes.io/managed-by") != "Helm"
        and not item["metadata"].get("ownerReferences")
    )


def _harbor(trial: Trial) -> dict[str, str]:
    file = trial.sandbox.state.folder / "fake-harbor" / "database.json"
    if not file.exists():
        return {}
    tables = json.loads(file.read_text())["tables"]
    return {
        f"{table} {row['name']}": row.get("secret") or ""
        for table in _TABLES
        for row in tables.get(table, {}).values()
    }


def _blobs(trial: Trial) -> dict[str, str]:
    s3 = trial.s3_client
    found: dict[str, str] = {}
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        found[name] = ""
        listed = s3.list_object_versions(Bucket=name)
        for version in listed.get("Versions", []):
            if version["Key"] == SENTINEL:
                found[f"{name}/{SENTINEL}"] = f"{version['ETag']} {version['VersionId']}"
        for marker in listed.get("DeleteMarkers", []):
            found[f"{name}/{marker['Key']} deleted"] = marker["VersionId"]
    return found


def of_a_first_up(before: Evidence, between: Evidence, after: Evidence) -> Evidence:
    """What a first `up` has to lead to, where `before` was there before all was destroyed.

    Names are those of `before`. What is minted is new, but it is not minted twice: what was there
    `between` the run that was hit and the next one stays, once Harbor's core runs with it.
    """
    started = "Deployment harbor/harbor-core" in between.objects
    kept = between.secrets if started else {}
    return replace(
        before,
        secrets={
            name: kept.get(name) or after.secrets.get(name, "lost") for name in before.secrets
        },
        harbor={row: after.harbor.get(row, "lost") for row in before.harbor},
        blobs={name: after.blobs.get(name, "lost") for name in before.blobs if "/" not in name},
    )
