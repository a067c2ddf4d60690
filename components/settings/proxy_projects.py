"""The estate's names of the Harbor projects that cache other registries. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DOCKER_HUB: Final = "docker.io"

PROXY_PROJECTS: Final[Mapping[str, str]] = {
    DOCKER_HUB: "proxy-dockerhub",
    "gcr.io": "proxy-gcr",
    "ghcr.io": "proxy-ghcr",
    "quay.io": "proxy-quay",
    "registry.k8s.io": "proxy-k8s",
}
"""Upstream registry → Harbor project that caches it, by the estate's names."""
