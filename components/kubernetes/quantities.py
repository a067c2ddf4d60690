"""Quantities as Kubernetes writes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

_SUFFIX: Mapping[str, int] = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate(["k", "M", "G", "T", "P", "E"], 1)},
    **{unit: 1024**power for power, unit in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"], 1)},
}
_BYTES = re.compile(
    r"([0-9]+|[0-9]*\.[0-9]+)(" + "|".join(sorted(_SUFFIX, key=len, reverse=True)) + ")"
)


def bytes_of(quantity: str) -> int:
    """The bytes of a Kubernetes quantity such as 512Mi. ValueError if it is none."""
    match = _BYTES.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity of bytes")
    return int(Decimal(match[1]) * _SUFFIX[match[2]])


def requests_and_limits(cpu: str, memory: str) -> dict[str, dict[str, str]]:
    """Resources of a container: both requested, memory limited too (CPU limits only throttle)."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}
