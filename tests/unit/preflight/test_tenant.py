"""What making a database in somebody's Cluster needs, and whose database and role are taken."""

from __future__ import annotations

from typing import Any

import pytest

from components.kubernetes import naming
from components.preflight import tenant
from tests.support.builders import FQDN, Cluster, serving, settings

API = "/apis/postgresql.cnpg.io/v1"
HOME = f"{API}/namespaces/gitlabbda"
OURS = naming.labels(FQDN, "database")
THEIRS = naming.labels("other.example.com", "database")
CREATE: dict[str, Any] = {
    "mode": "shared",
    "create": {"cluster": "gitlab-postgres", "namespace": "gitlabbda"},
}
GIVEN_ROLE: dict[str, Any] = {**CREATE, "secret": {"namespace": "gitlabbda", "name": "team"}}


def one(kind: str, name: str, of: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """An object of that kind, for `of` in PostgreSQL."""
    metadata = {"name": name, "labels": labels or {}}
    spec = {"name": of, "cluster": {"name": "gitlab-postgres"}}
    return {"kind": kind, "metadata": metadata, "spec": spec}


STORE = {"delivery": "external", "store": {"name": "platform"}}


def problems(
    *,
    kinds: tuple[str, ...] = ("Cluster", "Database", "DatabaseRole"),
    cluster: dict[str, Any] | None = None,
    databases: list[dict[str, Any]] | None = None,
    roles: list[dict[str, Any]] | None = None,
    denied: frozenset[str] = frozenset(),
    database: dict[str, Any] | None = None,
    **sections: Any,
) -> list[str]:
    objects = {
        API: serving(*kinds),
        f"{HOME}/clusters/gitlab-postgres": {"spec": {"instances": 2}, **(cluster or {})},
        f"{HOME}/databases": {"items": databases or []},
        f"{HOME}/databaseroles": {"items": roles or []},
    }
    stand_in: Any = Cluster(objects, denied=denied)
    return tenant.problems(stand_in, settings(database=database or CREATE, **sections), "bda")


@pytest.mark.parametrize(
    "living",
    [
        {},
        {
            "databases": [one("Database", "harbor-registry", "registry", OURS)],
            "roles": [one("DatabaseRole", "harbor-registry", "harbor", OURS)],
            "cluster": {
                "status": {"managedRolesStatus": {"byStatus": {"not-managed": ["harbor"]}}}
            },
        },
        {
            "databases": [one("Database", "harbor-registry", "registry", OURS)],
            "cluster": {
                "status": {"managedRolesStatus": {"byStatus": {"not-managed": ["harbor"]}}}
            },
        },
        {"databases": [one("Database", "gitlab", "gitlabhq_production")]},
        {"kinds": ("Cluster", "Database"), "database": GIVEN_ROLE},
        {"denied": frozenset({"databaseroles", "sealedsecrets"}), "database": GIVEN_ROLE},
        {"denied": frozenset({"sealedsecrets"}), "secrets": STORE},
        {
            "cluster": {"spec": {"managed": {"roles": [{"name": "harbor"}]}}},
            "database": GIVEN_ROLE,
        },
    ],
    ids=[
        "nothing",
        "both are ours",
        "the database of a destroyed stack",
        "others' databases",
        "a role of the owner's needs no DatabaseRole",
        "a role of the owner's needs no right to make one",
        "a store's Secret needs no right to seal one",
        "a role that the Cluster manages",
    ],
)
def test_a_database_is_made_where_nobody_has_it(living: dict[str, Any]) -> None:
    assert problems(**living) == []


@pytest.mark.parametrize(
    ("living", "words"),
    [
        ({"kinds": ("Cluster",)}, "no kind Database (postgresql.cnpg.io/v1)"),
        ({"kinds": ("Cluster", "Database")}, "CloudNativePG 1.30 or later"),
        ({"denied": frozenset({"databases"})}, "may not use databases in namespace gitlabbda"),
        ({"denied": frozenset({"databaseroles"})}, "may not use databaseroles"),
        ({"denied": frozenset({"sealedsecrets"})}, "may not use sealedsecrets"),
        ({"denied": frozenset({"pushsecrets"}), "secrets": STORE}, "may not use pushsecrets"),
        ({"cluster": {"spec": {}}}, "has no such Cluster"),
        (
            {"databases": [one("Database", "harbor", "registry")]},
            "it is not this Sovereign's: Database harbor\n",
        ),
        (
            {"databases": [one("Database", "harbor-registry", "registry", THEIRS)]},
            "Database harbor-registry, of Sovereign other.example.com",
        ),
        (
            {"databases": [one("Database", "harbor-registry", "another")]},
            "it is not this Sovereign's: Database harbor-registry",
        ),
        (
            {
                "cluster": {
                    "spec": {"bootstrap": {"initdb": {"database": "registry", "owner": "app"}}}
                }
            },
            "the Cluster's own (spec.bootstrap.initdb) of role app",
        ),
        (
            {"roles": [one("DatabaseRole", "team", "harbor")]},
            "has that role already, and it is not this Sovereign's: DatabaseRole team",
        ),
        (
            {"cluster": {"spec": {"managed": {"roles": [{"name": "harbor"}]}}}},
            "the Cluster manages it (spec.managed.roles)",
        ),
        (
            {"cluster": {"spec": {"bootstrap": {"initdb": {"database": "a", "owner": "harbor"}}}}},
            "the owner of the Cluster's own database",
        ),
        (
            {
                "cluster": {
                    "spec": {"instances": 1},
                    "status": {"managedRolesStatus": {"byStatus": {"not-managed": ["harbor"]}}},
                }
            },
            "the Cluster's status lists it as not-managed",
        ),
    ],
)
def test_what_lives_is_never_overwritten_and_what_is_missing_is_asked_for(
    living: dict[str, Any], words: str
) -> None:
    (problem,) = problems(**living)
    assert words in problem
    assert "\n  fix: " in problem


def test_without_the_kind_of_roles_the_owner_is_asked_for_exactly_the_stanza() -> None:
    (problem,) = problems(kinds=("Cluster", "Database"))
    for line in (
        "ask the owner of Cluster gitlab-postgres for the role, in namespace gitlabbda",
        "             - name: harbor\n               ensure: present\n               login: true\n"
        "               passwordSecret: {name: harbor-registry-owner}",
        "pulumi config set --path 'database.create.role' false -s bda",
        "pulumi config set --path 'database.secret.namespace' gitlabbda -s bda",
        "pulumi config set --path 'database.secret.name' harbor-registry-owner -s bda",
    ):
        assert line in problem


def test_the_printed_commands_lead_to_settings_that_are_taken() -> None:
    followed = {
        **CREATE,
        "create": {**CREATE["create"], "role": False},
        "secret": {"namespace": "gitlabbda", "name": "harbor-registry-owner"},
    }
    managed = {"spec": {"managed": {"roles": [{"name": "harbor"}]}}}
    assert problems(kinds=("Cluster", "Database"), cluster=managed, database=followed) == []


def test_a_database_of_a_former_fqdn_can_be_said_to_be_ours() -> None:
    (problem,) = problems(databases=[one("Database", "harbor-registry", "registry", THEIRS)])
    assert (
        "kubectl label database.postgresql.cnpg.io harbor-registry -n gitlabbda "
        "catalyst.openova.io/sovereign=<fqdn> --overwrite"
    ) in problem


def test_a_database_that_somebody_else_made_asks_for_nothing() -> None:
    cluster = Cluster()
    shared: dict[str, Any] = {
        "mode": "shared",
        "host": "pg",
        "username": "harbor",
        "secret": {"namespace": "databases", "name": "pg"},
    }
    given: Any = cluster
    assert tenant.problems(given, settings(database=shared), "bda") == []
    assert cluster.asked == []
