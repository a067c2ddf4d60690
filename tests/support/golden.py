"""Objects of a settled form, compared with a file that has them as YAML."""

import os
from pathlib import Path
from typing import Any

import yaml

from tests.support.mocks import Engine, Registered, plain


def compare(objects: Any, golden: Path) -> None:
    """Fails where the objects differ from the file. UPDATE_GOLDEN=1 writes the file instead."""
    made = yaml.safe_dump(objects, sort_keys=False, width=100, allow_unicode=True)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(made)
    assert made == golden.read_text(), "UPDATE_GOLDEN=1 if this is intended"


def registered(engine: Engine) -> list[dict[str, Any]]:
    """What a program registers, in the order of the names, with what each one waits for."""
    return [
        {
            "resource": f"{each.typ} {each.name}",
            "parent": each.parent_name,
            **({} if each.is_component else _custom(each)),
        }
        for each in sorted(engine.resources, key=lambda each: (each.name, each.typ))
    ]


def _custom(resource: Registered) -> dict[str, Any]:
    urn, _, _ = resource.provider.rpartition("::")
    return {
        "provider": urn.rpartition("::")[2],
        "after": sorted(urn.rpartition("::")[2] for urn in resource.dependencies),
        **({"protect": True} if resource.protect else {}),
        **({"retain": True} if resource.retain else {}),
        "inputs": plain(resource.inputs),
    }
