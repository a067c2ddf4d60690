"""Rules over what runs: versions, resources, processors. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policy.resource import DATABASE, POD_PATHS, RELEASE, UNKNOWN, Problems, Resource, Sovereign

_MOVING_TAGS: Final = frozenset({"latest", "stable", "main", "master", "edge", "nightly", "dev"})
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_ARCHITECTURE: Final = "kubernetes.io/arch"
HARBOR_COMPONENTS: Final = ("core", "portal", "jobservice", "registry", "trivy", "exporter")


def versions_are_pinned(resource: Resource, _: Sovereign) -> Problems:
    """Charts by one exact version, images by digest or by a tag that does not move."""
    if resource.type == RELEASE:
        version = resource.at("version")
        if version is not UNKNOWN and not _VERSION.fullmatch(str(version)):
            yield f"the chart's version is {version!r}, which is not one exact version"
        if resource.at("devel") is True:
            yield "devel lets the chart's version move"
    for path, value in resource.leaves():
        if not isinstance(value, str):
            continue
        where = ".".join(path)
        if path[-1] in ("image", "imageName") and value and not _is_pinned(value):
            yield f"{where} is {value!r}, which is neither a digest nor a tag that stays"
        elif path[-1] == "tag" and "image" in path and value.lower() in _MOVING_TAGS:
            yield f"{where} is {value!r}, which moves"


def _is_pinned(image: str) -> bool:
    if re.search(r"@sha256:[0-9a-f]{64}$", image):
        return True
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return bool(colon) and tag != "" and tag.lower() not in _MOVING_TAGS


def pods_have_resources(resource: Resource, _: Sovereign) -> Problems:
    """Every container that this program writes has requests and a memory limit."""
    for where, resources in _resource_blocks(resource):
        if resources is UNKNOWN:
            continue
        for path in ("requests.cpu", "requests.memory", "limits.memory"):
            block, key = path.split(".")
            values = resources.get(block) if isinstance(resources, Mapping) else None
            if values is not UNKNOWN and not (values or {}).get(key):
                yield f"{where} has no resources.{path}"


def _resource_blocks(resource: Resource) -> Iterator[tuple[str, Any]]:
    if resource.type == DATABASE:
        yield "the database", resource.at("spec.resources", {})
    path = POD_PATHS.get(resource.kind) if resource.is_kubernetes else None
    pod = resource.at(path, {}) if path else {}
    if pod is UNKNOWN:
        return
    for key in ("initContainers", "containers"):
        containers = pod.get(key) or []
        for container in () if containers is UNKNOWN else containers:
            if container is not UNKNOWN:
                yield f"container {container.get('name')}", container.get("resources") or {}


def harbor_runs_on_amd64(resource: Resource, _: Sovereign) -> Problems:
    """goharbor publishes amd64 images only; elsewhere its pods would fail to start."""
    values = resource.at("values", {})
    if resource.type != RELEASE or resource.at("chart") is UNKNOWN or values is UNKNOWN:
        return
    if "harbor" not in str(resource.at("chart", "")):
        return
    for component in HARBOR_COMPONENTS:
        section = values.get(component, {})
        if section is UNKNOWN or (component == "trivy" and section.get("enabled") is False):
            continue
        selector = section.get("nodeSelector")
        if selector is UNKNOWN or (selector or {}).get(_ARCHITECTURE) is UNKNOWN:
            continue
        if (selector or {}).get(_ARCHITECTURE) != "amd64":
            yield f"values.{component}.nodeSelector does not say {_ARCHITECTURE}: amd64"
