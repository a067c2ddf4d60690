"""What settings amount to: every derived value of a section, whole, for stacks that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from components.settings.model import Settings
from components.settings.reading import refusals, stack_file
from tests.support.golden import compare
from tests.support.kinds import KINDS, minimal
from tests.support.project import ROOT
from tests.support.raw_settings import GOOD
from tests.unit.registry.test_component import WIDE

GOLDEN = Path(__file__).parent / "golden"
FILES = [
    *sorted((ROOT / "examples").glob("*.yaml")),
    *(ROOT / f"Pulumi.{name}.yaml" for name in ("gitlabbda", "omantel")),
]
DAY_2: dict[str, Any] = {
    **WIDE,
    "login": {
        **WIDE["login"],
        **{"redirectParameters": {"prompt": "login", "kc_idp_hint": "x"}},
        **{"groupFilter": ["/harbor/**", "team (a)"], "scopes": ["openid", "email"]},
    },
    "schedules": {
        "garbageCollection": {"schedule": "every 6h", "workers": 3, "deleteUntagged": True},
        "scanAll": {"schedule": "none"},
        "auditPurge": {"schedule": "0 30 1 * * MON", "keepDays": 30},
    },
    "cveAllowlist": {"items": ["CVE-2024-3094"], "expires": "2027-01-31"},
}


def read(raw: dict[str, Any]) -> Settings:
    reading = refusals.read(raw, stack="omantel")
    assert reading.settings is not None, "\n".join(map(str, reading.refusals))
    return reading.settings


def amounts(section: BaseModel, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path of each derived value, and the value as text."""
    for name in sorted(dir(type(section))):
        is_derived = isinstance(getattr(type(section), name, None), property)
        if is_derived and not name.startswith(("_", "model_")):
            value = getattr(section, name)
            value = sorted(value) if isinstance(value, frozenset) else value
            yield f"{path}{name}", repr(value)
    for name in type(section).model_fields:
        yield from _below(getattr(section, name), f"{path}{name}")


def _below(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        yield from amounts(value, f"{path}.")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _below(each, f"{path}.{key}")
    elif isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from _below(each, f"{path}[{number}]")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_stack_s_file_amounts_to_what_it_did(file: Path) -> None:
    raw = stack_file.parse(file.read_bytes(), file.name).settings
    compare(dict(amounts(read(raw))), GOLDEN / f"amounts-{file.stem}.yaml")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_of_storage_amounts_to_what_it_did(kind: Any) -> None:
    settings = read({**GOOD, "storage": minimal(kind)})
    compare(dict(amounts(settings.storage)), GOLDEN / f"amounts-of-{kind.__name__}.yaml")


def test_a_registry_amounts_to_what_it_did() -> None:
    settings = read({**GOOD, "registry": DAY_2})
    compare(dict(amounts(settings.registry)), GOLDEN / "amounts-of-a-registry.yaml")
