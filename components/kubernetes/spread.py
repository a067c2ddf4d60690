"""How the pods of one workload spread over nodes, in Kubernetes' terms. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def spread(
    labels: Iterable[str], selector: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """topologySpreadConstraints over the values of these labels of nodes.

    With fewer nodes than pods all pods still run. `selector`: labels of the pods; None where
    somebody else adds it.
    """
    return [
        {
            "maxSkew": 1,
            "topologyKey": label,
            "whenUnsatisfiable": "ScheduleAnyway",
            **({"labelSelector": {"matchLabels": dict(selector)}} if selector else {}),
        }
        for label in labels
    ]
