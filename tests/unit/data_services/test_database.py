"""The authority that signed the database's certificate reaches Harbor where somebody checks it."""

from __future__ import annotations

import base64
from typing import Any

import pulumi
import pytest

from components.data_services import database
from components.harbor_inputs import Database
from tests.support import builders
from tests.support.builders import Build, Cluster
from tests.support.mocks import Engine, Resolved
from tests.support.raw_settings import PEM

AUTHORITY = "/api/v1/namespaces/harbor/secrets/harbor-pg-ca"
SHARED: dict[str, Any] = {
    "mode": "shared",
    "host": "pg.databases",
    "username": "harbor",
    "secret": {"namespace": "databases", "name": "pg-app"},
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    password = {"data": {"password": base64.b64encode(b"a-password").decode()}}
    objects = {"/api/v1/namespaces/databases/secrets/pg-app": password}
    return Cluster(objects).stand_in(monkeypatch)


def access(
    engine: Engine, build: Build, *, preview: bool = False, **section: Any
) -> tuple[Database, str]:
    """How Harbor reaches the database, and the revision of what its pods read of it."""
    stack = builders.config(database=section)

    def create(context: Any) -> database.DatabaseAccess:
        return database.create(stack, context, builders.credentials(context))

    reached = build(create, preview=preview)
    return engine.resolve(reached.database).value, engine.resolve(reached.revision).value


def authority(pem: str) -> dict[str, Any]:
    return {"data": {"ca.crt": base64.b64encode(pem.encode()).decode()}}


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
def test_a_dedicated_database_hands_over_the_authority_of_its_operator(
    engine: Engine, build: Build, cluster: Cluster, sslmode: str
) -> None:
    cluster.objects[AUTHORITY] = authority(PEM)
    reached, _ = access(engine, build, mode="dedicated", sslmode=sslmode)
    assert (reached.sslmode, reached.ca_bundle_secret) == (sslmode, "harbor-pg-ca")


def test_nothing_is_read_or_handed_over_where_nobody_checks(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    reached, _ = access(engine, build, mode="dedicated")
    assert reached.ca_bundle_secret is None
    assert AUTHORITY not in cluster.asked


def read_by_pods(engine: Engine, build: Build, *, preview: bool = False) -> Resolved:
    def create(context: Any) -> pulumi.Output[str]:
        revision, host = pulumi.Output.from_input("r"), pulumi.Output.from_input("harbor-pg-rw")
        return database.with_authority(revision, host, context, "harbor")

    return engine.resolve(build(create, preview=preview))


def test_a_renewed_authority_restarts_its_readers_at_the_next_up(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    revisions: list[str] = []
    for pem in (PEM, PEM, PEM.replace("MIIB", "MIIC")):
        cluster.objects[AUTHORITY] = authority(pem)
        revisions.append(read_by_pods(engine, build).value)
    assert revisions[0] == revisions[1] != revisions[2]


def test_without_a_cluster_a_preview_does_not_know_the_authority_and_an_up_ends(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    cluster.is_up = False
    assert not read_by_pods(engine, build, preview=True).is_known
    with pytest.raises(pulumi.RunError, match="harbor/harbor-pg-ca was not read"):
        read_by_pods(engine, build)


def test_a_shared_database_s_authority_stands_beside_its_password(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    reached, _ = access(engine, build, **SHARED, sslmode="verify-full", caBundle=PEM)
    assert reached.ca_bundle_secret == "harbor-shared-database"
    assert engine.sealed("harbor-shared-database") == {"password": "a-password", "ca.crt": PEM}


def test_a_shared_database_with_a_public_authority_needs_none(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    reached, _ = access(engine, build, **SHARED, sslmode="verify-full")
    assert reached.ca_bundle_secret is None
    assert engine.sealed("harbor-shared-database") == {"password": "a-password"}
