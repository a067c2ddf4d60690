"""The companion `rewrite-harbor-images`: images are pulled through Harbor's proxy caches. Pure.

A new pod that names an image of an upstream registry gets the same image by way of the Harbor
project that caches that registry. `rewritten` says what becomes of an image, `mutating_policy`
says the same in CEL; the tests compare them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.image_policy.require_harbor import TIMEOUT_SECONDS, match_constraints, text
from components.registry_address import RegistryAddress
from components.settings.proxy_projects import DOCKER_HUB

NAME: Final = "rewrite-harbor-images"

_HUB_HOSTS: Final = (DOCKER_HUB, "index.docker.io")

# What comes before the first slash is a registry if it could not be a user of Docker Hub
# (distribution/reference, splitDockerDomain).
_NAMES_A_REGISTRY: Final = "^([^/]*[.:A-Z][^/]*|localhost)/"


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """`registry`: Harbor's address. `projects`: upstream registry → Harbor project that caches it.

    `kept`: images that begin with one of these are fine as they are.
    """

    registry: RegistryAddress
    projects: Mapping[str, str]
    kept: tuple[str, ...]
    excluded_namespaces: tuple[str, ...]


def rewritten(image: str, wanted: Rewrite) -> str:
    """What `image` becomes; itself when it is Harbor's already or of a registry not cached."""
    if image.startswith(wanted.kept):
        return image
    host, _, repository = image.partition("/")
    if re.match(_NAMES_A_REGISTRY, image) is None:
        host, repository = DOCKER_HUB, image
    elif host in _HUB_HOSTS:
        host = DOCKER_HUB
    if host not in wanted.projects:
        return image
    if host == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"  # the official images' real place
    return f"{wanted.registry.image_prefix}{wanted.projects[host]}/{repository}"


def mutating_policy(wanted: Rewrite) -> dict[str, Any]:
    """`spec` of the MutatingPolicy.

    New pods only: an update that rewrote a running pod would set it against its ReplicaSet.
    Ephemeral containers are only ever added by an update. While Kyverno does not answer, images
    stay as they are: `require-harbor-images` judges them then, this policy refuses nothing.
    """
    return {
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "IfNeeded",  # another webhook may add a sidecar afterwards
        "evaluation": {"admission": {"enabled": True}, "mutateExisting": {"enabled": False}},
        "webhookConfiguration": {"timeoutSeconds": TIMEOUT_SECONDS},
        "autogen": {"podControllers": {"controllers": []}},
        "matchConstraints": match_constraints(
            wanted.excluded_namespaces, resources=("pods",), operations=("CREATE",)
        ),
        "mutations": [_mutation(kind, wanted) for kind in ("containers", "initContainers")],
    }


def _mutation(kind: str, wanted: Rewrite) -> dict[str, Any]:
    """Sets the image of every container of that kind; the rest of them stays (merged by name)."""
    return {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {
            "expression": f"has(object.spec.{kind}) ? "
            f"Object{{spec: Object.spec{{{kind}: object.spec.{kind}.map(c, "
            f"Object.spec.{kind}{{name: c.name, image: {_expression('c.image', wanted)}}})}}}}"
            " : Object{}"
        },
    }


def _expression(image: str, wanted: Rewrite) -> str:
    """`rewritten` of the CEL expression `image`, in CEL."""

    def behind(host: str) -> str:
        return f"{image}.substring({len(host) + 1})"

    def through(project: str, repository: str) -> str:
        return f"{text(f'{wanted.registry.image_prefix}{project}/')} + {repository}"

    def official(repository: str) -> str:
        return f"({repository}.contains('/') ? {repository} : 'library/' + {repository})"

    kept = " || ".join(f"{image}.startsWith({text(prefix)})" for prefix in wanted.kept)
    cases = [(kept, image)]
    for host, project in wanted.projects.items():
        for alias in _HUB_HOSTS if host == DOCKER_HUB else (host,):
            rest = official(behind(alias)) if host == DOCKER_HUB else behind(alias)
            cases.append((f"{image}.startsWith({text(alias + '/')})", through(project, rest)))
    last = image
    if DOCKER_HUB in wanted.projects:
        cases.append((f"{image}.matches({text(_NAMES_A_REGISTRY)})", image))
        last = through(wanted.projects[DOCKER_HUB], official(image))
    return "".join(f"({when}) ? ({then}) : " for when, then in cases) + f"({last})"
