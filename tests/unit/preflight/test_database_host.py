"""Harbor reaches a shared database's primary, itself or over a pooler in session mode."""

from __future__ import annotations

from typing import Any

import pytest

from components.kubernetes.unreachable import ClusterUnreachable
from components.preflight import database_host
from tests.support.builders import Cluster, settings

POOLERS = "/apis/postgresql.cnpg.io/v1/namespaces/gitlabbda/poolers"
CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/gitlabbda/clusters"
POOLER = f"{POOLERS}/gitlab-postgres-pooler"
CLUSTER = {f"{CLUSTERS}/gitlab-postgres": {"spec": {"instances": 2}}}


def pooler(mode: str | None, kind: str = "rw") -> dict[str, Any]:
    bouncer = {} if mode is None else {"poolMode": mode}
    return {
        POOLER: {
            "spec": {"cluster": {"name": "gitlab-postgres"}, "type": kind, "pgbouncer": bouncer}
        }
    }


def problems(host: str, objects: dict[str, Any], **fields: Any) -> list[str]:
    cluster: Any = Cluster(objects, **fields)
    database = {
        "mode": "shared",
        "host": host,
        "username": "harbor",
        "secret": {"namespace": "gitlabbda", "name": "harbor-database"},
    }
    stack = settings(harbor={"namespace": "gitlabbda"}, database=database)
    return list(database_host.problems(cluster, stack, "bda"))


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize(
    ("host", "direct"),
    [
        ("gitlab-postgres-pooler", "gitlab-postgres-rw"),
        ("gitlab-postgres-pooler.gitlabbda", "gitlab-postgres-rw.gitlabbda"),
        (
            "gitlab-postgres-pooler.gitlabbda.svc.cluster.local",
            "gitlab-postgres-rw.gitlabbda.svc.cluster.local",
        ),
    ],
)
def test_a_pooler_that_shares_connections_is_refused_with_the_server_itself(
    mode: str, host: str, direct: str
) -> None:
    (words,) = problems(host, pooler(mode))
    assert f"a Pooler of CloudNativePG in {mode} mode" in words
    assert "advisory locks" in words
    assert f"pulumi config set --path 'database.host' {direct} -s bda" in words


@pytest.mark.parametrize("mode", ["session", None])
def test_a_pooler_in_session_mode_is_taken(mode: str | None) -> None:
    assert problems("gitlab-postgres-pooler", pooler(mode)) == []


def test_a_pooler_of_standbys_is_refused() -> None:
    (words,) = problems("gitlab-postgres-pooler", pooler("session", "ro"))
    assert "'database.host' gitlab-postgres-rw -s bda" in words


@pytest.mark.parametrize("suffix", ["ro", "r"])
def test_a_service_of_standbys_is_refused_where_the_cluster_is_known(suffix: str) -> None:
    (words,) = problems(f"gitlab-postgres-{suffix}.gitlabbda", CLUSTER)
    assert "take no writes" in words
    assert "'database.host' gitlab-postgres-rw.gitlabbda -s bda" in words


@pytest.mark.parametrize(
    ("host", "objects"),
    [
        ("gitlab-postgres-rw", CLUSTER),
        ("gitlab-postgres-ro", {}),
        ("bar-r", CLUSTER),
        ("db-ro.example.com", CLUSTER),
        ("10.0.0.7", CLUSTER),
        ("2001:db8::7", CLUSTER),
    ],
    ids=["read-write", "no such Cluster", "another name", "outside", "IPv4", "IPv6"],
)
def test_what_is_no_service_of_the_operator_is_not_judged(
    host: str, objects: dict[str, Any]
) -> None:
    assert problems(host, objects) == []


def test_who_may_not_read_poolers_deploys_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("pulumi.log.info", told.append)
    assert problems("gitlab-postgres-pooler", {}, refused={POOLER: 403}) == []
    assert "was not looked at" in told[0]


def test_an_api_server_that_does_not_answer_is_no_proof() -> None:
    with pytest.raises(ClusterUnreachable):
        problems("gitlab-postgres-pooler", {}, refused={POOLER: None})
