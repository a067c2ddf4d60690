"""Which code is mutated, and which tests are to notice. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
GOAL: Final = 90.0
"""Per cent."""


@dataclass(frozen=True, kw_only=True)
class Area:
    """`sources` and `tests` are files or folders below the repository's root. Tests among `without`
    are left out: they start processes, and those import the code as it is on the disk; or they run
    all of the code again and again, which takes longer than all other tests of the area."""

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()

    def files(self) -> Iterator[str]:
        """The modules, as paths below the root, in the order of their names."""
        for source in self.sources:
            path = ROOT / source
            for file in sorted(path.rglob("*.py")) if path.is_dir() else (path,):
                yield file.relative_to(ROOT).as_posix()


_CONTRACTS: Final = "tests/unit/test_contracts.py"
"""What holds for every component."""

AREAS: Final = (
    Area(
        name="settings",
        sources=("components/settings",),
        # A setting's effect has its test in the area that uses it (CONTRIBUTING, a setting).
        tests=(
            *("tests/unit/settings", "tests/unit/image_policy", "tests/unit/network"),
            *("tests/unit/harbor/test_values.py", "tests/unit/harbor/test_scanner.py"),
            *("tests/unit/delivery/test_objects.py", "tests/unit/backup/test_objects.py"),
            *("tests/unit/data_services/test_origin.py", "tests/unit/registry/test_component.py"),
            "tests/unit/object_storage/test_component.py",
        ),
    ),
    Area(
        name="sealing",
        sources=("components/sealing",),
        tests=("tests/unit/sealing", "tests/unit/ownership", _CONTRACTS),
    ),
    Area(
        name="image-policy",
        sources=("components/image_policy",),
        tests=("tests/unit/image_policy", _CONTRACTS),
    ),
    Area(name="network", sources=("components/network",), tests=("tests/unit/network", _CONTRACTS)),
    Area(
        name="registry",
        sources=("components/registry",),
        tests=("tests/unit/registry", _CONTRACTS),
        without=tuple(
            f"tests/unit/registry/test_{name}.py"
            for name in ("process", "stack", "faults", "faults_of_settings")
        ),
    ),
)
