"""Room for a restored database: what is deleted, and when."""

from __future__ import annotations

from typing import Any

import pytest

from components.data_services.origin import SERVER_ANNOTATION
from components.data_services.restore import DatabaseLives, DatabaseRestoreProvider
from tests.support.builders import Cluster

PATH = "/apis/postgresql.cnpg.io/v1/namespaces/registry/clusters/harbor-pg"
CLAIMS = (
    "/api/v1/namespaces/registry/persistentvolumeclaims?labelSelector=cnpg.io%2Fcluster%3Dharbor-pg"
)
FIRST: dict[str, Any] = {"metadata": {"name": "harbor-pg"}}
RESTORED = {"metadata": {"annotations": {SERVER_ANNOTATION: "harbor-pg-new"}}}
PROPS: dict[str, Any] = {
    "namespace": "registry",
    "server": "harbor-pg-new",
    "replaces": True,
    "timeoutSeconds": 0.5,
}


class Deleting(Cluster):
    """An API server that deletes, and whose claims go `rounds` looks later."""

    deleted: list[str]
    rounds = 2

    def delete(self, path: str) -> None:
        self.deleted.append(path)
        self.objects[PATH] = None

    def get(self, path: str) -> Any:
        if path == CLAIMS:
            self.rounds -= 1
            claim = {"metadata": {"name": "harbor-pg-1"}}
            return {"items": [claim] if self.rounds > 0 else []}
        return super().get(path)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Deleting:
    cluster = Deleting()
    cluster.deleted = []
    cluster.stand_in(monkeypatch)
    return cluster


def test_a_database_is_deleted_with_its_volumes_before_another_is_made(cluster: Deleting) -> None:
    cluster.objects = {PATH: FIRST}
    assert DatabaseRestoreProvider().create(PROPS).outs == {"server": "harbor-pg-new"}
    assert cluster.deleted == [f"{PATH}?propagationPolicy=Foreground"]
    assert cluster.rounds == 0, "it waited for the claims"


@pytest.mark.parametrize("there", [None, RESTORED], ids=["nothing lives", "restored already"])
def test_nothing_is_deleted_where_there_is_room(there: Any, cluster: Deleting) -> None:
    cluster.objects = {PATH: there}
    provider = DatabaseRestoreProvider()
    provider.create(PROPS)
    provider.update("harbor-pg", {"server": "harbor-pg-old"}, PROPS)
    provider.delete("harbor-pg", PROPS)
    assert cluster.deleted == []


def test_a_database_that_lives_is_never_deleted_untold(cluster: Deleting) -> None:
    cluster.objects = {PATH: FIRST}
    with pytest.raises(DatabaseLives, match=r"replace is not true"):
        DatabaseRestoreProvider().create({**PROPS, "replaces": False})
    assert cluster.deleted == []


def test_a_volume_that_does_not_go_stops_the_restore(cluster: Deleting) -> None:
    cluster.objects, cluster.rounds = {PATH: FIRST}, 1000
    with pytest.raises(DatabaseLives, match=r"still is claim harbor-pg-1"):
        DatabaseRestoreProvider().create(PROPS)


@pytest.mark.parametrize(
    ("changes", "is_change"),
    [({}, False), ({"replaces": False}, False), ({"server": "harbor-pg-newer"}, True)],
)
def test_only_another_restore_is_a_change(changes: dict[str, Any], is_change: bool) -> None:
    olds = {"server": "harbor-pg-new"}
    diff = DatabaseRestoreProvider().diff("harbor-pg", olds, {**PROPS, **changes})
    assert diff.changes is is_change
