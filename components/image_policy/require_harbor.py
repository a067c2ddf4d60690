"""The policy `require-harbor-images`: one description, two Kyverno kinds. Pure.

Both kinds carry the same CEL, so they decide alike: a container, init container, ephemeral
container or image volume of a pod comes from an allowed prefix, or the request is refused. An
image that the pod already had is never refused again. Otherwise a pod that is older than the
policy could not even lose its finalizer, and Jobs and namespaces would hang.

Kyverno is told about pods only. Its rules generated for Deployments and Jobs would refuse them
before `rewrite-harbor-images` had changed the pods that come of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

NAME: Final = "require-harbor-images"

PolicyKind = Literal["ValidatingPolicy", "ClusterPolicy"]
Enforcement = Literal["Audit", "Enforce"]

API_VERSIONS: Final[dict[PolicyKind, str]] = {
    "ValidatingPolicy": "policies.kyverno.io/v1",
    # Deprecated since Kyverno 1.17; for estates that have not moved yet.
    "ClusterPolicy": "kyverno.io/v1",
}

READY: Final[dict[PolicyKind, str]] = {
    "ValidatingPolicy": "jsonpath={.status.conditionStatus.conditions"
    '[?(@.type=="WebhookConfigured")].status}=True',
    "ClusterPolicy": "condition=Ready",
}
"""What `pulumi.com/waitFor` waits for: the API server asks Kyverno about pods from then on.

Not `.status.conditionStatus.ready`: it also wants the reports controller to read everything that
is matched. With the rights that Kyverno's chart gives it, it cannot read pods/ephemeralcontainers,
so `ready` stays false for good (seen with 1.19.1)."""

IMAGE_LISTS: Final = ("containers", "initContainers", "ephemeralContainers", "volumes")
"""The lists of a pod in which images are named."""

TIMEOUT_SECONDS: Final = 10
"""Kyverno's default, and the least that it takes for a ClusterPolicy. The policies look at nothing
but the request and answer in milliseconds; a Kyverno that hangs holds up a pod this long."""


@dataclass(frozen=True, kw_only=True)
class HarborImages:
    """`prefixes`: what images begin with, slash included. Nothing else may run."""

    prefixes: tuple[str, ...]
    excluded_namespaces: tuple[str, ...]
    enforcement: Enforcement

    def __post_init__(self) -> None:
        """ValueError for a prefix that other hosts could have too."""
        for prefix in self.prefixes:
            if not prefix.endswith("/"):
                raise ValueError(f"prefix {prefix!r} does not end with a slash")
        if not self.prefixes:
            raise ValueError("without a prefix nothing could run")


def image_policy(kind: PolicyKind, wanted: HarborImages) -> dict[str, Any]:
    """`annotations` and `spec` of the policy in that kind."""
    if kind == "ValidatingPolicy":
        return {"annotations": {}, "spec": _validating_policy(wanted)}
    return {
        "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"},
        "spec": _cluster_policy(wanted),
    }


def failure_policy(enforcement: Enforcement) -> str:
    """What the API server does while Kyverno does not answer.

    Enforce fails closed, or stopping Kyverno would be the way around it; the excluded namespaces
    never ask it, so Kyverno and Harbor come back. Audit refuses nothing, so it must not refuse
    for lack of an answer either.
    """
    return "Fail" if enforcement == "Enforce" else "Ignore"


def _validating_policy(wanted: HarborImages) -> dict[str, Any]:
    return {
        "validationActions": ["Deny" if wanted.enforcement == "Enforce" else "Audit"],
        "failurePolicy": failure_policy(wanted.enforcement),
        "evaluation": {
            "admission": {"enabled": True},
            # Reports what runs already, so that Enforce is decided on evidence.
            "background": {"enabled": True},
        },
        "webhookConfiguration": {"timeoutSeconds": TIMEOUT_SECONDS},
        "autogen": {"podControllers": {"controllers": []}},
        "matchConstraints": match_constraints(
            wanted.excluded_namespaces,
            resources=("pods", "pods/ephemeralcontainers"),
            operations=("CREATE", "UPDATE"),
        ),
        "variables": _variables(wanted),
        "validations": [_validation(wanted)],
    }


def match_constraints(
    excluded_namespaces: Sequence[str], *, resources: Sequence[str], operations: Sequence[str]
) -> dict[str, Any]:
    """Pods outside the excluded namespaces. Kyverno hands the selector on to its webhook, so the
    API server does not even ask about the others."""
    return {
        "resourceRules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": list(resources),
                "operations": list(operations),
            }
        ],
        "namespaceSelector": {
            "matchExpressions": [
                {
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": list(excluded_namespaces),
                }
            ]
        },
    }


def _cluster_policy(wanted: HarborImages) -> dict[str, Any]:
    excluded = list(wanted.excluded_namespaces)
    return {
        "admission": True,
        "background": True,
        "emitWarning": False,
        "webhookConfiguration": {
            "failurePolicy": failure_policy(wanted.enforcement),
            "timeoutSeconds": TIMEOUT_SECONDS,
            # `exclude` below is read by Kyverno only. While it is down, this is what keeps the
            # API server from asking about the excluded namespaces.
            "matchConditions": [
                {
                    "name": "outside-excluded-namespaces",
                    "expression": f"!(request.namespace in {_list(excluded)})",
                }
            ],
        },
        "rules": [
            {
                "name": NAME,
                "match": {
                    "any": [
                        {
                            "resources": {
                                # Means pods/ephemeralcontainers too; naming them forbids
                                # background scans.
                                "kinds": ["Pod"],
                                "operations": ["CREATE", "UPDATE"],
                            }
                        }
                    ]
                },
                "exclude": {"any": [{"resources": {"namespaces": excluded}}]},
                "validate": {
                    "failureAction": wanted.enforcement,
                    "cel": {
                        "variables": _variables(wanted),
                        "expressions": [_validation(wanted)],
                    },
                },
            }
        ],
    }


def _variables(wanted: HarborImages) -> list[dict[str, str]]:
    allowed = " || ".join(f"image.startsWith({text(prefix)})" for prefix in wanted.prefixes)
    return [
        {"name": "images", "expression": pod_images("object")},
        # Null, or an empty object, when the pod is new: the two kinds differ.
        {"name": "known", "expression": f"oldObject == null ? [] : {pod_images('oldObject')}"},
        {
            "name": "refused",
            "expression": "variables.images.filter(image, "
            f"!(image in variables.known) && !({allowed}))",
        },
    ]


def pod_images(pod: str, lists: Sequence[str] = IMAGE_LISTS) -> str:
    """CEL: every image that a pod names in these of its lists."""
    return "(" + " + ".join(_images_of_list(pod, name) for name in lists) + ")"


def _images_of_list(pod: str, name: str) -> str:
    if name == "volumes":
        return (
            f"{pod}.?spec.?volumes.orValue([]).filter(v, has(v.image))"
            ".map(v, v.image.?reference.orValue(''))"
        )
    return f"{pod}.?spec.?{name}.orValue([]).map(c, c.?image.orValue(''))"


def _validation(wanted: HarborImages) -> dict[str, str]:
    told = f"only images from {' or '.join(wanted.prefixes)} may run here; refused: "
    return {
        "expression": "variables.refused.size() == 0",
        "messageExpression": f"{text(told)} + variables.refused.join(', ')",
    }


def text(value: str) -> str:
    """A CEL string literal: JSON's is one."""
    return json.dumps(value)


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(text, values))}]"
