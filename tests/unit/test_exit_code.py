"""A refusal is the last that a refused run says."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
import pytest

from components.exit_code import ends_after
from components.settings.reading.refusals import Refusal
from components.stack_config import StackRefused

REFUSED = StackRefused(
    stack="omantel",
    refusals=[Refusal(key="fqdn", value="(not set)", allowed="a name", fix="pulumi config set")],
)


def as_the_executor_does(error: Exception, show: Callable[..., None]) -> None:
    try:
        raise error
    except (pulumi.RunError, ValueError) as raised:
        show(str(raised))


@pytest.mark.parametrize("error", [pulumi.RunError("no"), REFUSED])
def test_what_is_refused_is_shown_before_the_end(error: pulumi.RunError) -> None:
    shown: list[str] = []
    with pytest.raises(SystemExit) as ended:
        as_the_executor_does(error, ends_after(shown.append))
    assert shown == [str(error)]
    assert ended.value.code == 32, "the engine would add a line of its own"


def test_another_error_is_only_logged() -> None:
    shown: list[str] = []
    as_the_executor_does(ValueError("a fault of the program"), ends_after(shown.append))
    ends_after(shown.append)("outside")
    assert shown == ["a fault of the program", "outside"]
