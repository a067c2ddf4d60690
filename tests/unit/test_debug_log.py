"""What the SDK logs with --debug, without the values."""

from __future__ import annotations

import pytest

from components.debug_log import without_values


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (
            'register resource outputs prepared: urn=urn:x, props=fields {\n  key: "p"\n  "secret"',
            "register resource outputs prepared: urn=urn:x, props=(left out: it may hold secrets)",
        ),
        (
            "incoming output value translated: secret -> secret",
            "incoming output value translated: (left out: it may hold secrets)",
        ),
        ("registering resource: ty=a:b:C, name=d", "registering resource: ty=a:b:C, name=d"),
    ],
)
def test_only_values_are_left_out(message: str, kept: str) -> None:
    assert without_values(message) == kept
