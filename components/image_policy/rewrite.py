"""The companion `rewrite-harbor-images`: images are pulled through Harbor's proxy caches. Pure.

A new pod that names an image of an upstream registry gets the same image from the Harbor project
that caches that registry. `rewritten` computes the new name in Python, `mutating_policy` in CEL;
the tests compare them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from components.image_policy import unchanged
from components.image_policy.cel import text
from components.image_policy.require_harbor import TIMEOUT_SECONDS, match_constraints
from components.registry_address import RegistryAddress
from components.settings.proxy_projects import DOCKER_HUB
from components.settings.unchanged_pods import UnchangedPodsSettings

NAME: Final = "rewrite-harbor-images"
API_VERSION: Final = "policies.kyverno.io/v1"
KIND: Final = "MutatingPolicy"

_HUB_HOSTS: Final = (DOCKER_HUB, "index.docker.io")

# The part before the first slash names a registry if it cannot be a user of Docker Hub
# (distribution/reference, splitDockerDomain).
_NAMES_A_REGISTRY: Final = "^([^/]*[.:A-Z][^/]*|localhost)/"


@dataclass(frozen=True, kw_only=True)
class RewrittenImages:
    """`projects`: upstream registry → Harbor project that caches it.

    `registry`: Harbor's address. `prefixes`: what images that may run begin with; these stay.
    `unchanged`: pods whose images stay, whatever they begin with.
    """

    projects: Mapping[str, str]
    registry: RegistryAddress
    prefixes: tuple[str, ...]
    excluded_namespaces: tuple[str, ...]
    unchanged: UnchangedPodsSettings = field(default_factory=UnchangedPodsSettings)


def rewritten(image: str, images: RewrittenImages) -> str:
    """The new name of `image`; the same for an image of Harbor or of a registry not cached."""
    if image.startswith(images.prefixes):
        return image
    host, _, repository = image.partition("/")
    if re.match(_NAMES_A_REGISTRY, image) is None:
        host, repository = DOCKER_HUB, image
    elif host in _HUB_HOSTS:
        host = DOCKER_HUB
    if host not in images.projects:
        return image
    if host == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"  # where Docker Hub has its official images
    return f"{images.registry.image_prefix}{images.projects[host]}/{repository}"


def mutating_policy(images: RewrittenImages) -> dict[str, Any]:
    """`spec` of the MutatingPolicy.

    It matches new pods only: rewriting a running pod would make it differ from its ReplicaSet. So
    it leaves out ephemeral containers, which only an update adds. While Kyverno does not answer,
    images stay as they are: `require-harbor-images` may refuse them then, this policy never does.
    """
    return {
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "IfNeeded",  # another webhook may add a sidecar afterwards
        "evaluation": {"admission": {"enabled": True}, "mutateExisting": {"enabled": False}},
        "webhookConfiguration": {"timeoutSeconds": TIMEOUT_SECONDS},
        "autogen": {"podControllers": {"controllers": []}},
        "matchConstraints": match_constraints(
            images.excluded_namespaces, resources=("pods",), operations=("CREATE",)
        ),
        "matchConditions": [unchanged.condition(images.unchanged)],
        "mutations": [_mutation(kind, images) for kind in ("containers", "initContainers")],
    }


def _mutation(kind: str, images: RewrittenImages) -> dict[str, Any]:
    """Sets the image of every container of that kind; the rest of them stays (merged by name)."""
    return {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {
            "expression": f"has(object.spec.{kind}) ? "
            f"Object{{spec: Object.spec{{{kind}: object.spec.{kind}.map(c, "
            f"Object.spec.{kind}{{name: c.name, image: {_expression('c.image', images)}}})}}}}"
            " : Object{}"
        },
    }


def _expression(image: str, images: RewrittenImages) -> str:
    """`rewritten` of the CEL expression `image`, in CEL."""

    def behind(host: str) -> str:
        return f"{image}.substring({len(host) + 1})"

    def through(project: str, repository: str) -> str:
        return f"{text(f'{images.registry.image_prefix}{project}/')} + {repository}"

    def official(repository: str) -> str:
        return f"({repository}.contains('/') ? {repository} : 'library/' + {repository})"

    kept = " || ".join(f"{image}.startsWith({text(prefix)})" for prefix in images.prefixes)
    cases = [(kept, image)]
    for host, project in images.projects.items():
        for alias in _HUB_HOSTS if host == DOCKER_HUB else (host,):
            rest = official(behind(alias)) if host == DOCKER_HUB else behind(alias)
            cases.append((f"{image}.startsWith({text(alias + '/')})", through(project, rest)))
    last = image
    if DOCKER_HUB in images.projects:
        cases.append((f"{image}.matches({text(_NAMES_A_REGISTRY)})", image))
        last = through(images.projects[DOCKER_HUB], official(image))
    return "".join(f"({when}) ? ({then}) : " for when, then in cases) + f"({last})"
