"""Names of vendors stand only in the rooms that are made for one vendor.

    python -m checks.vendor_coupling [--root DIR] [--force-hard-fail]

Two rules. The estate's (scripts/check-vendor-coupling.sh in its repository, issues #428, #438):
three shapes of names that tie a capability to one of five vendors. This project's: no vendor's name
in code outside ROOMS. As a value in a stack's file it is allowed.

Exit codes are the estate's: 0 clean, or hits that only warn; 1 hits; 2 wrong usage or no such
root. Hits fail where the storage seam exists (`components/object_storage`, or the estate's
`internal/objectstorage`) or with --force-hard-fail.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolchain import closed_pipe

VENDORS = ("hetzner", "aws", "gcp", "azure", "oci")
_ANY = "|".join(VENDORS)
SHAPES = (
    re.compile(rf"\b({_ANY})-object-storage"),
    re.compile(rf"\b\w+Overlay\.({_ANY})\."),
    re.compile(rf"\b({_ANY})ObjectStorage"),
)
NAMES = re.compile(r"\b(hetzner|hcloud|aws|gcp|gcs|azure)\b", re.IGNORECASE)

SCANNED = (
    "components",
    "engine",
    "fleet",
    "offline",
    "operations",
    "policy",
    "review",
    "sandbox",
    "toolchain",
    "__main__.py",
    "platform",
    "clusters",
)
ROOMS = (
    "components/object_storage/",
    "components/network/dns",
    "components/settings/dns.py",
    "components/settings/registry/endpoints.py",
    "components/settings/storage/",
)
SKIPPED = re.compile(
    r"(^|/)(node_modules|\.git|dist|build|__pycache__|infra/\w+|internal/\w+|core/pkg/\w+)/|\.md$"
)
# Stand-in plugins answer for vendors' providers; modules and charts carry names of their makers,
# and Harbor's adapters those of the registries that they reach.
NAMED_BY_OTHERS = (
    "offline/plugins/",
    "toolchain/modules/",
    "offline/harbor-chart/",
    "sandbox/fake_harbor/adapters.py",
)
ALLOWED_LINE = re.compile(r"crossplane-contrib/provider-|#\d+|pulumi[_-](aws|hcloud)|AWS_")
"""Names chosen elsewhere: upstream issues, packages, environment variables."""


@dataclass(frozen=True)
class Hit:
    """A line that names a vendor outside its rooms."""

    path: str
    number: int
    line: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.rule}: {self.line.strip()[:120]}"


def find_hits(root: Path) -> Iterator[Hit]:
    """Every hit below `root`, in the order of paths."""
    for file in sorted(_files(root)):
        path = file.relative_to(root).as_posix()
        is_code = file.suffix == ".py" and not path.startswith((*ROOMS, *NAMED_BY_OTHERS))
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
            if ALLOWED_LINE.search(line):
                continue
            if any(shape.search(line) for shape in SHAPES):
                yield Hit(path, number, line, "a capability named after a vendor")
            elif is_code and NAMES.search(line):
                yield Hit(path, number, line, "a vendor's name outside its room")


def _files(root: Path) -> Iterator[Path]:
    for name in SCANNED:
        top = root / name
        candidates = top.rglob("*") if top.is_dir() else [top]
        for file in candidates:
            path = file.relative_to(root).as_posix()
            if file.is_file() and not SKIPPED.search(path) and b"\0" not in _start(file):
                yield file


def _start(file: Path) -> bytes:
    with file.open("rb") as handle:
        return handle.read(1024)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)


def main(arguments: list[str]) -> int:
    parser = _Parser(prog="python -m checks.vendor_coupling")
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--force-hard-fail", action="store_true")
    chosen = parser.parse_args(arguments)
    root: Path = chosen.root
    if not root.is_dir():
        print(f"error: no such folder: {root}", file=sys.stderr)
        return 2
    hits = list(find_hits(root))
    for hit in hits:
        print(hit)
    seams = ("components/object_storage", "internal/objectstorage")
    fails = chosen.force_hard_fail or any((root / seam).is_dir() for seam in seams)
    if hits and not fails:
        print(f"{len(hits)} hits; a warning only, as there is no object-storage seam here yet")
    return 1 if hits and fails else 0


if __name__ == "__main__":
    closed_pipe.run(main)
