"""Settings that Kubernetes, an operator or Harbor fixes once an object lives.

A change of such a setting looks like any other in a preview. In the run the API server refuses it
half way, or it has no effect for ever. So each run compares the settings with what lives, before
the first resource is registered: one table (`_volumes`), for an adopted Harbor as for one's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from components.commands import run, set_value, unset
from components.data_services import valkey
from components.data_services.postgres import CLUSTER
from components.harbor_inputs import RELEASE
from components.kubernetes.client import ClusterClient, dig
from components.kubernetes.quantities import bytes_of
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings
from components.settings.storage.filesystem import FilesystemStorage
from components.settings.valkey import DedicatedValkey

RUNBOOK: Final = "docs/runbooks/grow-a-volume.md"


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume that lives, beside what the settings say of it.

    `size_key`, `class_key`, `mode_key`: the settings. `size`, `storage_class`, `access_mode`: what
    lives, None where nothing says it; the three `set_…`: what is set, None for nothing. `claims`:
    name → size that is requested now. `stateful_set`: the object whose claim template fixes both,
    None where an operator or Helm follows the setting. `may_grow`: allowVolumeExpansion of the
    StorageClass, None where it is not known.
    """

    what: str
    size_key: str
    class_key: str
    size: str | None
    set_size: str | None
    storage_class: str | None
    set_class: str | None
    claims: Mapping[str, str]
    stateful_set: str | None = None
    mode_key: str | None = None
    access_mode: str | None = None
    set_access_mode: str | None = None
    may_grow: bool | None = None


def problems(client: ClusterClient, settings: Settings, stack: str) -> list[str]:
    """What of the settings can no longer be so. Raises ClusterUnreachable."""
    namespace = settings.harbor.namespace
    return [
        problem
        for volume in _volumes(client, settings)
        for problem in volume_problems(volume, namespace=namespace, stack=stack)
    ]


# --- What lives --------------------------------------------------------------------------------


def _volumes(client: ClusterClient, settings: Settings) -> Iterator[Volume]:
    """The volumes that live and that the settings still ask for."""
    if isinstance(settings.valkey, DedicatedValkey):
        yield from _of_stateful_set(
            client,
            settings.harbor.namespace,
            Volume(
                what="Valkey",
                size_key="valkey.storageSize",
                class_key="valkey.storageClass",
                size=None,
                set_size=settings.valkey.storage_size,
                storage_class=None,
                set_class=settings.valkey.storage_class,
                claims={},
                stateful_set=valkey.NAME,
            ),
            replicas=1,
        )
    if settings.trivy.enabled:
        yield from _of_stateful_set(
            client,
            settings.harbor.namespace,
            Volume(
                what="the scanner",
                size_key="trivy.storageSize",
                class_key="harbor.storageClass",
                size=None,
                set_size=settings.trivy.storage_size,
                storage_class=None,
                # The chart leaves out an empty one.
                set_class=settings.harbor.storage_class or None,
                claims={},
                stateful_set=f"{RELEASE}-trivy",
            ),
            replicas=settings.harbor.replicas.trivy,
        )
    if isinstance(settings.database, DedicatedDatabase):
        yield from _of_database(client, settings.harbor.namespace, settings.database)
    if isinstance(settings.storage, FilesystemStorage):
        yield from _of_registry(client, settings.harbor.namespace, settings.storage)


def _of_stateful_set(
    client: ClusterClient, namespace: str, volume: Volume, *, replicas: int
) -> Iterator[Volume]:
    """`volume` with what lives of it: the template of its StatefulSet, and the claims."""
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{volume.stateful_set}"
    templates: list[Any] = dig(client.get(path), "spec", "volumeClaimTemplates") or []
    names = (f"data-{volume.stateful_set}-{number}" for number in range(replicas))
    claims = {name: claim for name in names if (claim := _claim(client, namespace, name))}
    if not templates and not claims:
        return
    # Without the StatefulSet its claims are what lives: it takes them as they are.
    live: Mapping[str, Any] = (templates or [*claims.values()])[0]["spec"]
    storage_class: str | None = live.get("storageClassName")
    if not templates and volume.set_class is None:
        storage_class = None  # a claim names the default's name, which the setting does not
    yield replace(
        volume,
        size=_size(live),
        storage_class=storage_class,
        claims={name: size for name, claim in claims.items() if (size := _size(claim["spec"]))},
        may_grow=_may_grow(client, [*claims.values()]),
    )


def _of_database(
    client: ClusterClient, namespace: str, settings: DedicatedDatabase
) -> Iterator[Volume]:
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/{namespace}/clusters/{CLUSTER}"
    spec: Mapping[str, Any] = dig(client.get(path), "spec") or {}
    parts = {
        "storage": ("storageSize", settings.storage_size, f"{CLUSTER}-1"),
        "walStorage": ("walStorageSize", settings.wal_storage_size, f"{CLUSTER}-1-wal"),
    }
    for part, (key, size, claim_name) in parts.items():
        live: Mapping[str, Any] | None = spec.get(part)
        if not live:
            continue
        claim = _claim(client, namespace, claim_name)
        yield Volume(
            what=f"Cluster {CLUSTER}",
            size_key=f"database.{key}",
            class_key="database.storageClass",
            size=live.get("size"),
            set_size=size,
            storage_class=live.get("storageClass"),
            set_class=settings.storage_class,
            claims={},
            may_grow=_may_grow(client, [claim] if claim else []),
        )


def _of_registry(
    client: ClusterClient, namespace: str, settings: FilesystemStorage
) -> Iterator[Volume]:
    name = f"{RELEASE}-registry"
    claim = _claim(client, namespace, name)
    if claim is None:
        return
    spec: Mapping[str, Any] = claim["spec"]
    modes: list[str] = spec.get("accessModes") or []
    set_class = settings.storage_class or None
    yield Volume(
        what="the registry",
        size_key="storage.size",
        class_key="storage.storageClass",
        size=_size(spec),
        set_size=settings.size,
        # A claim names the default's name, which the setting does not.
        storage_class=spec.get("storageClassName") if set_class else None,
        set_class=set_class,
        claims={},
        mode_key="storage.accessMode",
        access_mode=modes[0] if modes else None,
        set_access_mode=settings.access_mode,
        may_grow=_may_grow(client, [claim]),
    )


def _claim(client: ClusterClient, namespace: str, name: str) -> Mapping[str, Any] | None:
    claim = client.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
    return claim if dig(claim, "spec") else None


def _size(claim_spec: Mapping[str, Any]) -> str | None:
    return dig(claim_spec, "resources", "requests", "storage")


def _may_grow(client: ClusterClient, claims: list[Mapping[str, Any]]) -> bool | None:
    for claim in claims:
        name: str | None = claim["spec"].get("storageClassName")
        storage_class = name and client.get(f"/apis/storage.k8s.io/v1/storageclasses/{name}")
        if storage_class:
            return bool(storage_class.get("allowVolumeExpansion"))
    return None


# --- Pure --------------------------------------------------------------------------------------


def volume_problems(volume: Volume, *, namespace: str, stack: str) -> Iterator[str]:
    """Why the settings of one volume can no longer be so, and what to do."""
    yield from _size_problems(volume, namespace=namespace, stack=stack)
    if volume.size is None or volume.set_size is None:
        return
    # "" of the setting and a missing name are the same to the operator and to the chart.
    if (volume.storage_class or None) != (volume.set_class or None):
        yield (
            f"sovereign-harbor:{volume.class_key} = {volume.set_class or '(not set)'}, but the "
            f"volume of {volume.what} is of StorageClass {volume.storage_class or '(the default)'},"
            " and no volume changes its class\n"
            f"  fix: {_set(volume.class_key, volume.storage_class, stack)}"
        )
    if volume.access_mode != volume.set_access_mode:
        yield (
            f"sovereign-harbor:{volume.mode_key} = {volume.set_access_mode}, but the volume of "
            f"{volume.what} is {volume.access_mode}, which is fixed\n"
            f"  fix: {_set(str(volume.mode_key), volume.access_mode, stack)}"
        )


def _size_problems(volume: Volume, *, namespace: str, stack: str) -> Iterator[str]:
    has = _bytes(volume.size)
    if has is None:
        return
    said = f"sovereign-harbor:{volume.size_key} = {volume.set_size or '(not set)'}, but the volume"
    back = _set(volume.size_key, volume.size, stack)
    if volume.set_size is None or bytes_of(volume.set_size) < has:
        gone = "taken away" if volume.set_size is None else "made smaller"
        yield f"{said} of {volume.what} is of {volume.size} and cannot be {gone}\n  fix: {back}"
        return
    would = bytes_of(volume.set_size)
    small = [name for name, size in volume.claims.items() if (_bytes(size) or would) < would]
    if would == has and not small:
        return
    if volume.may_grow is False:
        yield (
            f"{said} of {volume.what} is of {volume.size}, and its StorageClass lets no volume "
            f"grow (allowVolumeExpansion)\n  fix: {back}"
        )
    elif volume.stateful_set is not None:
        yield (
            f"{said} of {volume.what} is of {volume.size}, and Kubernetes lets nobody change it in "
            f"StatefulSet {volume.stateful_set}\n"
            f"  fix: let the volume grow first, while the pod runs ({RUNBOOK}):\n"
            + "".join(
                f"       {command}\n" for command in growing(volume, small, would != has, namespace)
            )
            + f"       {run('refresh', stack)}; {run('up', stack)}\n"
            f"  or:  {back}"
        )


def growing(
    volume: Volume, claims: list[str], is_in_template: bool, namespace: str
) -> Iterator[str]:
    """Commands after which an `up` with the larger size leaves pod and data where they are."""
    size = f'{{"spec":{{"resources":{{"requests":{{"storage":"{volume.set_size}"}}}}}}}}'
    for claim in claims:
        yield f"kubectl patch pvc {claim} -n {namespace} --type merge -p '{size}'"
    if is_in_template and volume.stateful_set is not None:
        yield (
            f"kubectl delete statefulset {volume.stateful_set} -n {namespace} --cascade=orphan "
            "--ignore-not-found"
        )


def _set(key: str, value: str | None, stack: str) -> str:
    return unset(key, stack) if value is None else set_value(key, value, stack)


def _bytes(size: str | None) -> int | None:
    """None where nothing is said, or in a form that nobody writes by hand, such as 1e9."""
    try:
        return None if size is None else bytes_of(size)
    except ValueError:
        return None
