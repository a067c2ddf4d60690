"""What stayed of a Sovereign that was taken down, and whether a new state can go on without it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from components.sealing.kept import earlier_names, has_values, left_behind, may_be_another

GIVEN, MINTED = "harbor-given-secret-key", "harbor-minted-secret-key"
ADMIN, DATABASE = "harbor-minted-admin-password", "harbor-pg-credentials"


def secret(**data: str) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}}


THERE = {
    GIVEN: secret(secretKey="given"),
    MINTED: secret(secretKey="minted"),
    ADMIN: secret(HARBOR_ADMIN_PASSWORD="admin"),
    DATABASE: secret(password="database"),
}


@pytest.mark.parametrize(
    ("there", "given", "left"),
    [
        ((), {}, []),
        ((GIVEN, MINTED, ADMIN, DATABASE), {}, [GIVEN, ADMIN, DATABASE]),
        ((MINTED,), {}, [MINTED]),
        ((MINTED,), {"harborSecretKey": "minted"}, []),
        ((MINTED,), {"harborSecretKey": "another"}, [MINTED]),
        # The one that was given is in use.
        ((GIVEN, MINTED), {"harborSecretKey": "minted"}, [GIVEN]),
        ((GIVEN, MINTED), {"harborSecretKey": "given"}, []),
        # Another password may be right.
        ((ADMIN, DATABASE), {"harborAdminPassword": "x", "databasePassword": "y"}, []),
        ((ADMIN, DATABASE), {"harborAdminPassword": "x"}, [DATABASE]),
        ((), {"harborSecretKey": "given"}, []),
    ],
)
def test_a_secret_is_left_behind_unless_its_value_is_given(
    there: tuple[str, ...], given: dict[str, str], left: list[str]
) -> None:
    look = {name: THERE[name] for name in there}
    assert [each.name for each in left_behind(look.get, given)] == left


@pytest.mark.parametrize(
    ("name", "names"),
    [(GIVEN, (GIVEN,)), (MINTED, (GIVEN, MINTED)), (ADMIN, (ADMIN,)), ("other", ("other",))],
)
def test_a_value_in_use_may_stand_under_an_earlier_name(name: str, names: tuple[str, ...]) -> None:
    assert earlier_names(name) == names


def test_only_a_password_may_be_another() -> None:
    names = (GIVEN, MINTED, ADMIN, DATABASE, "other")
    assert [name for name in names if may_be_another(name)] == [ADMIN, DATABASE]


@pytest.mark.parametrize(
    ("held", "values", "has"),
    [
        (secret(a="1", b="2"), {"a": "1"}, True),
        (secret(a="1", b="2"), {"a": "1", "b": "1"}, False),
        (secret(a="1"), {"b": "1"}, False),
        ({"data": None}, {"a": "1"}, False),
        ({}, {"a": "1"}, False),
        (None, {"a": "1"}, False),
        (None, {}, True),
    ],
)
def test_a_secret_has_values_if_it_has_each_of_them(held: Any, values: Any, has: bool) -> None:
    assert has_values(held, values) is has
