"""Parts of a Cluster's spec that its pods are made of, whichever Cluster it is. Pure."""

from __future__ import annotations

from typing import Any, Final

from components.data_services.pods import nodes
from components.kubernetes.quantities import requests_and_limits
from components.settings.database import DedicatedDatabase

DATABASE: Final = "registry"
OWNER: Final = "harbor"
PORT: Final = 5432


def instance_spec(section: DedicatedDatabase) -> dict[str, Any]:
    """Volumes, nodes, resources and parameters of each instance, as the settings say them."""
    spec: dict[str, Any] = {"storage": _volume(section.storage_size, section.storage_class)}
    if affinity := nodes(section):
        spec["affinity"] = affinity
    if section.wal_storage_size is not None:
        spec["walStorage"] = _volume(section.wal_storage_size, section.storage_class)
    return {
        **spec,
        "resources": requests_and_limits(section.cpu, section.memory),
        "postgresql": {"parameters": {"max_connections": str(section.max_connections)}},
    }


def _volume(size: str, storage_class: str | None) -> dict[str, str]:
    return (
        {"size": size} if storage_class is None else {"size": size, "storageClass": storage_class}
    )
