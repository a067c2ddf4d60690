"""A database in a Cluster of the estate: declared beside it, awaited, and never dropped."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from components.data_services import database
from components.data_services.applied import DatabaseAppliedProvider, NotApplied, reasons
from tests.support import builders
from tests.support.builders import Build, Cluster
from tests.support.mocks import (
    DATABASE_APPLIED,
    DATABASE_ROLE,
    SEALED_SECRET,
    TENANT_DATABASE,
    Engine,
    minted,
    unknown_inputs,
)
from tests.support.raw_settings import PEM

CREATE: dict[str, Any] = {
    "mode": "shared",
    "create": {"cluster": "gitlab-postgres", "namespace": "gitlabbda"},
    "name": "harbor_registry",
}
PASSWORD = minted("credentials-database-password")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    given = {"data": {"password": base64.b64encode(b"a-password").decode()}}
    objects = {"/api/v1/namespaces/gitlabbda/secrets/harbor-role": given}
    return Cluster(objects).stand_in(monkeypatch)


def create(build: Build, *, preview: bool = False, **section: Any) -> database.DatabaseAccess:
    stack = builders.config(database={**CREATE, **section})
    return build(
        lambda context: database.create(stack, context, builders.credentials(context)),
        preview=preview,
    )


def test_role_and_database_are_declared_beside_the_cluster(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    reached = engine.resolve(create(build).database).value
    assert engine.one(DATABASE_ROLE)["spec"] == {
        "name": "harbor",
        "cluster": {"name": "gitlab-postgres"},
        "login": True,
        "passwordSecret": {"name": "harbor-harbor-registry-owner"},
        "databaseRoleReclaimPolicy": "retain",
    }
    assert engine.one(TENANT_DATABASE)["spec"] == {
        "name": "harbor_registry",
        "owner": "harbor",
        "cluster": {"name": "gitlab-postgres"},
        "databaseReclaimPolicy": "retain",
    }
    for kind in (DATABASE_ROLE, TENANT_DATABASE):
        metadata = engine.one(kind)["metadata"]
        assert (metadata["namespace"], metadata["name"]) == ("gitlabbda", "harbor-harbor-registry")
    assert (reached.host, reached.name, reached.username, reached.secret_name) == (
        "gitlab-postgres-rw.gitlabbda",
        "harbor_registry",
        "harbor",
        "harbor-shared-database",
    )


def test_the_minted_password_is_sealed_for_the_role_and_for_harbor_s_pods(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    create(build, caBundle=PEM, sslmode="verify-full")
    assert engine.sealed("harbor-harbor-registry-owner") == {
        "username": "harbor",
        "password": PASSWORD,
    }
    assert engine.sealed("harbor-shared-database") == {"password": PASSWORD, "ca.crt": PEM}
    owner = engine.one(SEALED_SECRET, "database-owner-credentials-manifest")
    assert owner["metadata"]["namespace"] == "gitlabbda"
    template = owner["spec"]["template"]
    assert template["type"] == "kubernetes.io/basic-auth"
    assert template["metadata"]["labels"]["cnpg.io/reload"] == "true"


def test_the_database_outlives_the_stack_and_is_protected(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    create(build)
    made = engine.one(TENANT_DATABASE)
    assert (made.protect, made.retain) == (True, True)


def test_harbor_waits_until_postgresql_has_both(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    create(build)
    applied = engine.one(DATABASE_APPLIED)
    assert engine.one(TENANT_DATABASE).urn in applied.dependencies
    assert engine.one(DATABASE_ROLE).urn in engine.one(TENANT_DATABASE).dependencies
    assert (applied["name"], applied["namespace"]) == ("harbor-harbor-registry", "gitlabbda")


def test_of_a_role_that_its_owner_made_only_the_password_is_taken(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    create(build, username="team", secret={"namespace": "gitlabbda", "name": "harbor-role"})
    assert engine.all(DATABASE_ROLE) == []
    assert engine.one(TENANT_DATABASE)["spec"]["owner"] == "team"
    assert engine.sealed("harbor-shared-database") == {"password": "a-password"}


def test_a_preview_without_a_cluster_shows_both_objects(
    engine: Engine, build: Build, cluster: Cluster
) -> None:
    cluster.is_up = False
    create(build, preview=True)
    assert "spec" not in unknown_inputs(engine.one(TENANT_DATABASE))
    assert "spec" not in unknown_inputs(engine.one(DATABASE_ROLE))


def applied(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 2}, "status": status}


SECRET = {"metadata": {"resourceVersion": "77"}}
OK: dict[str, Any] = {"applied": True, "observedGeneration": 2}


@pytest.mark.parametrize(
    ("there", "secret"),
    [
        (applied(**OK), None),
        (applied(**OK, secretResourceVersion="77"), SECRET),
        (applied(**OK), SECRET),
    ],
    ids=["a database", "a role with its password", "an operator that does not say the version"],
)
def test_what_the_operator_has_applied_is_not_waited_for(
    there: dict[str, Any], secret: dict[str, Any] | None
) -> None:
    assert list(reasons("Database", "harbor", there, secret)) == []


@pytest.mark.parametrize(
    ("there", "secret", "words"),
    [
        (None, None, "it is not there"),
        ({"metadata": {"generation": 1}}, None, "no instance has looked at it"),
        (applied(applied=False, message="role is managed"), None, "role is managed"),
        (applied(message="cluster is a replica"), None, "cluster is a replica"),
        (applied(applied=True, observedGeneration=1), None, "its last change"),
        (applied(**OK, secretResourceVersion="76"), SECRET, "its new password"),
    ],
)
def test_what_postgresql_does_not_have_holds_the_run(
    there: dict[str, Any] | None, secret: dict[str, Any] | None, words: str
) -> None:
    (reason,) = reasons("DatabaseRole", "harbor", there, secret)
    assert words in reason


API = "/apis/postgresql.cnpg.io/v1/namespaces/gitlabbda"
PROPS: dict[str, Any] = {
    "namespace": "gitlabbda",
    "cluster": "gitlab-postgres",
    "name": "harbor-registry",
    "secretName": "harbor-registry-owner",
    "revision": "r1",
    "timeoutSeconds": 0,
}


def provider(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> DatabaseAppliedProvider:
    made = DatabaseAppliedProvider()
    monkeypatch.setattr(made, "client", lambda: cluster)
    return made


def test_a_run_ends_with_the_operator_s_words_when_it_takes_too_long(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.objects[f"{API}/databaseroles/harbor-registry"] = applied(**OK)
    cluster.objects[f"{API}/databases/harbor-registry"] = applied(
        applied=False, message='permission denied for "harbor"'
    )
    with pytest.raises(NotApplied) as raised:
        provider(cluster, monkeypatch).create(PROPS)
    assert 'Database harbor-registry (permission denied for "harbor")' in str(raised.value)
    assert "DatabaseRole" not in str(raised.value)


def test_a_rotated_password_is_waited_for_and_nothing_else_is(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = provider(cluster, monkeypatch)
    assert made.diff("", PROPS, {**PROPS, "revision": "r2"}).changes
    assert not made.diff("", PROPS, {**PROPS, "timeoutSeconds": 9}).changes
    cluster.objects[f"{API}/databaseroles/harbor-registry"] = applied(**OK)
    cluster.objects[f"{API}/databases/harbor-registry"] = applied(**OK)
    assert made.update("", PROPS, {**PROPS, "revision": "r2"}).outs == {**PROPS, "revision": "r2"}
