"""The Sovereign's own PostgreSQL."""

from typing import Any

import pytest

from tests.support import builders
from tests.support.builders import PASSWORD, Build
from tests.support.mocks import POSTGRES_CLUSTER, SEALED_SECRET, UNSEALED, Engine


def test_the_database_belongs_to_harbor_s_role(engine: Engine, build: Build) -> None:
    database = build(builders.postgres)
    cluster = engine.one(POSTGRES_CLUSTER)
    assert cluster["metadata"]["name"] == "harbor-pg"
    initdb = cluster["spec"]["bootstrap"]["initdb"]
    assert (initdb["database"], initdb["owner"]) == ("registry", "harbor")
    assert engine.sealed(initdb["secret"]["name"]) == {"username": "harbor", "password": PASSWORD}
    assert engine.resolve(database.host).value == "harbor-pg-rw"
    assert engine.resolve(database.secret_name).value == initdb["secret"]["name"]


def test_a_rotated_password_reaches_the_database_at_once(engine: Engine, build: Build) -> None:
    build(builders.postgres)
    template = engine.one(SEALED_SECRET)["spec"]["template"]
    assert template["type"] == "kubernetes.io/basic-auth"
    assert template["metadata"]["labels"]["cnpg.io/reload"] == "true"


def test_the_database_is_awaited_until_it_is_ready(engine: Engine, build: Build) -> None:
    build(builders.postgres)
    annotations = engine.one(POSTGRES_CLUSTER)["metadata"]["annotations"]
    assert annotations["pulumi.com/waitFor"] == "condition=Ready"
    # No secret, no database: initdb would never start.
    assert engine.one(UNSEALED).urn in engine.one(POSTGRES_CLUSTER).dependencies


@pytest.mark.parametrize(
    ("instances", "budget", "method"), [(1, False, "restart"), (3, True, "switchover")]
)
def test_a_single_instance_does_not_block_node_drains(
    instances: int, budget: bool, method: str, engine: Engine, build: Build
) -> None:
    build(builders.postgres, instances=instances)
    spec = engine.one(POSTGRES_CLUSTER)["spec"]
    assert spec["instances"] == instances
    assert spec["enablePDB"] is budget
    assert spec["primaryUpdateMethod"] == method


@pytest.mark.parametrize(
    ("changes", "storage", "wal"),
    [
        ({}, {"size": "10Gi"}, None),
        ({"storageClass": "fast"}, {"size": "10Gi", "storageClass": "fast"}, None),
        ({"walStorageSize": "2Gi"}, {"size": "10Gi"}, {"size": "2Gi"}),
    ],
    ids=str,
)
def test_volumes_of_the_database(
    changes: dict[str, Any],
    storage: dict[str, str],
    wal: dict[str, str] | None,
    engine: Engine,
    build: Build,
) -> None:
    build(builders.postgres, **changes)
    spec = engine.one(POSTGRES_CLUSTER)["spec"]
    assert spec["storage"] == storage
    assert spec.get("walStorage") == wal


PLACED: dict[str, Any] = {
    "nodeSelector": {"disk": "nvme"},
    "tolerations": [{"key": "databases", "operator": "Exists", "effect": "NoSchedule"}],
}


def test_the_database_runs_where_its_placement_says(engine: Engine, build: Build) -> None:
    build(builders.postgres, **PLACED, priorityClass="business-critical")
    spec = engine.one(POSTGRES_CLUSTER)["spec"]
    assert spec["affinity"] == PLACED
    assert spec["priorityClassName"] == "business-critical"


def test_a_database_without_a_placement_has_none(engine: Engine, build: Build) -> None:
    build(builders.postgres)
    assert not {"affinity", "priorityClassName"} & set(engine.one(POSTGRES_CLUSTER)["spec"])


@pytest.mark.parametrize("labels", [[], ["topology.kubernetes.io/zone"]])
def test_several_instances_spread_over_what_is_named(
    labels: list[str], engine: Engine, build: Build
) -> None:
    build(builders.postgres, instances=3, spreadOver=labels)
    constraints = engine.one(POSTGRES_CLUSTER)["spec"].get("topologySpreadConstraints", [])
    assert [each["topologyKey"] for each in constraints] == labels
    for each in constraints:
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"]["matchLabels"]["cnpg.io/cluster"] == "harbor-pg"


def test_a_single_instance_has_nothing_to_spread(engine: Engine, build: Build) -> None:
    build(builders.postgres, spreadOver=["topology.kubernetes.io/zone"])
    assert "topologySpreadConstraints" not in engine.one(POSTGRES_CLUSTER)["spec"]


def test_parameters_of_the_database_are_texts(engine: Engine, build: Build) -> None:
    build(builders.postgres, maxConnections=250)
    parameters = engine.one(POSTGRES_CLUSTER)["spec"]["postgresql"]["parameters"]
    assert parameters["max_connections"] == "250"
