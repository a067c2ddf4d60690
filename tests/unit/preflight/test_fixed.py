"""What can no longer change is refused in preview, in every run, with the way that is left."""

from __future__ import annotations

from typing import Any

import pytest

from components.preflight import fixed
from tests.support.builders import Cluster, settings

APPS = "/apis/apps/v1/namespaces/harbor/statefulsets"
CLAIMS = "/api/v1/namespaces/harbor/persistentvolumeclaims"
DATABASE = "/apis/postgresql.cnpg.io/v1/namespaces/harbor/clusters/harbor-pg"


def claim(size: str, storage_class: str | None = "standard", mode: str = "ReadWriteOnce") -> Any:
    spec: dict[str, Any] = {
        "accessModes": [mode],
        "resources": {"requests": {"storage": size}},
    }
    return {"spec": spec if storage_class is None else {**spec, "storageClassName": storage_class}}


def living(*, may_grow: bool = True, **database: Any) -> dict[str, Any]:
    """A Sovereign with the default settings, and blobs on a volume of 50Gi."""
    return {
        f"{APPS}/harbor-valkey": {"spec": {"volumeClaimTemplates": [claim("2Gi", None)]}},
        f"{APPS}/harbor-trivy": {"spec": {"volumeClaimTemplates": [claim("5Gi", None)]}},
        f"{CLAIMS}/data-harbor-valkey-0": claim("2Gi"),
        f"{CLAIMS}/data-harbor-trivy-0": claim("5Gi"),
        f"{CLAIMS}/harbor-pg-1": claim("10Gi"),
        f"{CLAIMS}/harbor-registry": claim("50Gi"),
        DATABASE: {"spec": {"storage": {"size": "10Gi"}, **database}},
        "/apis/storage.k8s.io/v1/storageclasses/standard": {"allowVolumeExpansion": may_grow},
    }


def problems(objects: dict[str, Any], **sections: Any) -> list[str]:
    client: Any = Cluster(objects)
    return fixed.problems(client, settings(**sections), "omantel")


VOLUME = {"kind": "filesystem", "size": "50Gi"}
SHARED_DATABASE = {
    "mode": "shared",
    "host": "pg.db",
    "username": "harbor",
    "secret": {"namespace": "db", "name": "pg-app"},
}
SHARED_VALKEY = {
    "mode": "shared",
    "host": "valkey.db",
    "secret": {"namespace": "db", "name": "valkey"},
}


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"storage": VOLUME},
        {"storage": {**VOLUME, "size": "51200Mi"}},
        {"storage": {**VOLUME, "size": "80Gi"}},
        {"valkey": {"storageSize": "2048Mi"}},
        {"database": {"storageSize": "20Gi"}},
        {"database": {"walStorageSize": "2Gi"}},
        {"trivy": {"enabled": False, "storageSize": "9Gi", "blockSeverity": "NONE"}},
        {"valkey": SHARED_VALKEY, "database": SHARED_DATABASE},
        {"harbor": {"storageClass": ""}},
    ],
    ids=str,
)
def test_what_can_be_so_is_let_through(sections: dict[str, Any]) -> None:
    assert problems(living(), **sections) == []


def test_a_new_sovereign_may_have_any_sizes() -> None:
    assert problems({}, valkey={"storageSize": "9Gi"}, database={"storageClass": "fast"}) == []


@pytest.mark.parametrize(
    ("sections", "reason", "fix"),
    [
        (
            {"valkey": {"storageSize": "1Gi"}},
            "valkey.storageSize = 1Gi, but the volume of Valkey is of 2Gi and cannot be made",
            "pulumi config set --path 'valkey.storageSize' 2Gi -s omantel",
        ),
        (
            {"valkey": {"storageClass": "fast"}},
            "valkey.storageClass = fast, but the volume of Valkey is of StorageClass (the default)",
            "pulumi config rm --path 'valkey.storageClass' -s omantel",
        ),
        (
            {"trivy": {"storageSize": "1Gi"}},
            "trivy.storageSize = 1Gi, but the volume of the scanner is of 5Gi",
            "pulumi config set --path 'trivy.storageSize' 5Gi -s omantel",
        ),
        (
            {"harbor": {"storageClass": "fast"}},
            "harbor.storageClass = fast, but the volume of the scanner is of StorageClass (the",
            "pulumi config rm --path 'harbor.storageClass' -s omantel",
        ),
        (
            {"database": {"storageSize": "5Gi"}},
            "database.storageSize = 5Gi, but the volume of Cluster harbor-pg is of 10Gi",
            "pulumi config set --path 'database.storageSize' 10Gi -s omantel",
        ),
        (
            {"database": {"storageClass": "fast"}},
            "database.storageClass = fast, but the volume of Cluster harbor-pg is of StorageClass",
            "pulumi config rm --path 'database.storageClass' -s omantel",
        ),
        (
            {"storage": {**VOLUME, "size": "20Gi"}},
            "storage.size = 20Gi, but the volume of the registry is of 50Gi",
            "pulumi config set --path 'storage.size' 50Gi -s omantel",
        ),
        (
            {"storage": {**VOLUME, "storageClass": "fast"}},
            "storage.storageClass = fast, but the volume of the registry is of StorageClass stand",
            "pulumi config set --path 'storage.storageClass' standard -s omantel",
        ),
        (
            {"storage": {**VOLUME, "accessMode": "ReadWriteMany"}},
            "storage.accessMode = ReadWriteMany, but the volume of the registry is ReadWriteOnce",
            "pulumi config set --path 'storage.accessMode' ReadWriteOnce -s omantel",
        ),
    ],
    ids=str,
)
def test_what_is_fixed_is_refused_with_the_value_that_lives(
    sections: dict[str, Any], reason: str, fix: str
) -> None:
    (words,) = problems(living(), **sections)
    said, _, remedy = words.partition("\n  fix: ")
    assert reason in said
    assert remedy == fix


def test_a_volume_for_the_write_ahead_log_stays() -> None:
    (words,) = problems(living(walStorage={"size": "3Gi"}))
    assert "database.walStorageSize = (not set)" in words
    assert "pulumi config set --path 'database.walStorageSize' 3Gi -s omantel" in words


@pytest.mark.parametrize(
    ("sections", "key", "server", "size"),
    [
        ({"valkey": {"storageSize": "5Gi"}}, "valkey.storageSize", "harbor-valkey", "5Gi"),
        ({"trivy": {"storageSize": "9Gi"}}, "trivy.storageSize", "harbor-trivy", "9Gi"),
    ],
)
def test_a_volume_of_a_stateful_set_grows_by_the_commands_that_are_printed(
    sections: dict[str, Any], key: str, server: str, size: str
) -> None:
    (words,) = problems(living(), **sections)
    request = f'{{"spec":{{"resources":{{"requests":{{"storage":"{size}"}}}}}}}}'
    patch = f"kubectl patch pvc data-{server}-0 -n harbor --type merge -p '{request}'"
    recreate = f"kubectl delete statefulset {server} -n harbor --cascade=orphan"
    steps = [patch, recreate, "pulumi refresh -s omantel", "pulumi up -s omantel"]
    places = [words.index(step) for step in steps]
    assert places == sorted(places)
    assert f"'{key}'" in words


@pytest.mark.parametrize(
    "sections",
    [
        {"valkey": {"storageSize": "5Gi"}},
        {"trivy": {"storageSize": "9Gi"}},
        {"database": {"storageSize": "20Gi"}},
        {"storage": {**VOLUME, "size": "80Gi"}},
    ],
    ids=str,
)
def test_no_volume_grows_where_its_storage_class_forbids_it(sections: dict[str, Any]) -> None:
    (words,) = problems(living(may_grow=False), **sections)
    assert "its StorageClass lets no volume grow (allowVolumeExpansion)" in words
    assert "kubectl" not in words


def test_a_volume_that_has_grown_is_accepted_before_and_after_its_stateful_set_is_back() -> None:
    grown = {**living(), f"{CLAIMS}/data-harbor-valkey-0": claim("5Gi")}
    orphaned = {path: one for path, one in grown.items() if path != f"{APPS}/harbor-valkey"}
    assert problems(orphaned, valkey={"storageSize": "5Gi"}) == []
    template = {"spec": {"volumeClaimTemplates": [claim("5Gi", None)]}}
    back = {**grown, f"{APPS}/harbor-valkey": template}
    assert problems(back, valkey={"storageSize": "5Gi"}) == []


def test_a_claim_that_a_destroy_left_is_not_taken_for_a_larger_one() -> None:
    left = {f"{CLAIMS}/data-harbor-valkey-0": claim("2Gi")}
    (words,) = problems(left, valkey={"storageSize": "5Gi"})
    assert "kubectl patch pvc data-harbor-valkey-0" in words
