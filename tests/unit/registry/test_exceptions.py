"""The exceptions of the registry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from components.registry.errors import HarborDown, HarborError, LoginRefused, NoSecret, Refused
from components.registry.kinds.base import HalfCreated

if TYPE_CHECKING:
    from collections.abc import Iterator

ERRORS = [
    HarborError("GET /x", 500, "why"),
    HarborDown("GET /x", "why"),
    LoginRefused("admin", "why"),
    NoSecret("admin", "why"),
    Refused("why"),
    HalfCreated("id", {"harborId": 1}, "why"),
]


@contextmanager
def passing() -> Iterator[None]:
    yield


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_leaves_a_context_manager_as_itself(error: Exception) -> None:
    """contextlib sets its traceback: a frozen dataclass raises FrozenInstanceError in its place."""
    with pytest.raises(type(error), match="why") as raised, passing():
        raise error
    assert raised.value is error
