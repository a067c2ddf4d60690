"""Placement of the data services' pods, in Kubernetes' terms. Pure."""

from __future__ import annotations

from typing import Any

from components.settings.placement import Placement


def placement(section: Placement) -> dict[str, Any]:
    """The keys of a pod's spec that say where it runs; only those that are set."""
    priority = (
        {} if section.priority_class is None else {"priorityClassName": section.priority_class}
    )
    return {**nodes(section), **priority}


def nodes(section: Placement) -> dict[str, Any]:
    """nodeSelector and tolerations; only those that are set."""
    tolerations = [each.model_dump(exclude_none=True) for each in section.tolerations]
    return {
        **({"nodeSelector": dict(section.node_selector)} if section.node_selector else {}),
        **({"tolerations": tolerations} if tolerations else {}),
    }
