"""The policy `require-harbor-images`: one description, two Kyverno kinds. Pure.

Both kinds carry the same CEL, so they decide alike: the image of each container, init container,
ephemeral container and image volume of a pod begins with an allowed prefix, or the request is
refused. An image that the pod already had is never refused. Otherwise a pod that is older than the
policy could not even lose its finalizer, and Jobs and namespaces would hang.

The policy matches pods only. Rules that Kyverno would generate for Deployments and Jobs would
refuse those before `rewrite-harbor-images` had changed their pods.
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
"""What `pulumi.com/waitFor` waits for: from then on the API server asks Kyverno about pods.

`.status.conditionStatus.ready` would also wait until the reports controller can read everything
that is matched. The rights that Kyverno's chart gives it do not include pods/ephemeralcontainers,
so `ready` stays false for ever (seen with 1.19.1)."""

IMAGE_LISTS: Final = ("containers", "initContainers", "ephemeralContainers", "volumes")
"""The lists of a pod in which images are named."""

TIMEOUT_SECONDS: Final = 10
"""Kyverno's default, and the least that a ClusterPolicy may have. The policies read nothing but the
request and answer in milliseconds; a Kyverno that hangs delays a pod this long."""


@dataclass(frozen=True, kw_only=True)
class HarborImages:
    """The images that may run: those that begin with one of `prefixes`, each ending with a slash.

    `enforcement`: whether other images are reported (Audit) or refused (Enforce).
    """

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

    @property
    def refuses(self) -> bool:
        """Whether pods are refused."""
        return self.enforcement == "Enforce"


def image_policy(kind: PolicyKind, images: HarborImages) -> dict[str, Any]:
    """`annotations` and `spec` of the policy in that kind."""
    if kind == "ValidatingPolicy":
        return {"annotations": {}, "spec": _validating_policy(images)}
    return {
        "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"},
        "spec": _cluster_policy(images),
    }


def _failure_policy(images: HarborImages) -> str:
    """What the API server does with a pod while Kyverno does not answer.

    Enforce fails closed, since stopping Kyverno would get around it otherwise. About pods of the
    excluded namespaces the API server never asks, so Kyverno and Harbor can start again. Audit
    refuses nothing, so it must not refuse for lack of an answer either.
    """
    return "Fail" if images.refuses else "Ignore"


def _validating_policy(images: HarborImages) -> dict[str, Any]:
    return {
        "validationActions": ["Deny" if images.refuses else "Audit"],
        "failurePolicy": _failure_policy(images),
        "evaluation": {
            "admission": {"enabled": True},
            # Reports on pods that run already: Enforce is decided on them (preflight/evidence.py).
            "background": {"enabled": True},
        },
        "webhookConfiguration": {"timeoutSeconds": TIMEOUT_SECONDS},
        "autogen": {"podControllers": {"controllers": []}},
        "matchConstraints": match_constraints(
            images.excluded_namespaces,
            resources=("pods", "pods/ephemeralcontainers"),
            operations=("CREATE", "UPDATE"),
        ),
        "variables": _variables(images),
        "validations": [_validation(images)],
    }


def match_constraints(
    excluded_namespaces: Sequence[str], *, resources: Sequence[str], operations: Sequence[str]
) -> dict[str, Any]:
    """Pods outside the excluded namespaces. Kyverno writes the selector into its webhook, so the
    API server never asks it about pods of the excluded ones."""
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


def cluster_policy_match(excluded_namespaces: Sequence[str]) -> dict[str, Any]:
    """The same pods for a rule of a ClusterPolicy; Kyverno alone reads this, its webhook does not.

    Kind Pod includes pods/ephemeralcontainers. To name the latter forbids background scans.
    """
    return {
        "match": {"any": [{"resources": {"kinds": ["Pod"], "operations": ["CREATE", "UPDATE"]}}]},
        "exclude": {"any": [{"resources": {"namespaces": list(excluded_namespaces)}}]},
    }


def _cluster_policy(images: HarborImages) -> dict[str, Any]:
    return {
        "admission": True,
        "background": True,
        "emitWarning": False,
        "webhookConfiguration": {
            "failurePolicy": _failure_policy(images),
            "timeoutSeconds": TIMEOUT_SECONDS,
            # Keeps the API server from asking about the excluded namespaces while Kyverno is down:
            # `exclude` below is read by Kyverno only.
            "matchConditions": [
                {
                    "name": "outside-excluded-namespaces",
                    "expression": f"!(request.namespace in {_list(images.excluded_namespaces)})",
                }
            ],
        },
        "rules": [
            {
                "name": NAME,
                **cluster_policy_match(images.excluded_namespaces),
                "validate": {
                    "failureAction": images.enforcement,
                    "cel": {
                        "variables": _variables(images),
                        "expressions": [_validation(images)],
                    },
                },
            }
        ],
    }


def _variables(images: HarborImages) -> list[dict[str, str]]:
    allowed = " || ".join(f"image.startsWith({text(prefix)})" for prefix in images.prefixes)
    return [
        {"name": "images", "expression": pod_images("object")},
        # For a new pod oldObject is null in one kind and an empty object in the other.
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


def _validation(images: HarborImages) -> dict[str, str]:
    message = f"only images from {' or '.join(images.prefixes)} may run here; refused: "
    return {
        "expression": "variables.refused.size() == 0",
        "messageExpression": f"{text(message)} + variables.refused.join(', ')",
    }


def text(value: str) -> str:
    """A CEL string literal: JSON's is one."""
    return json.dumps(value)


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(text, values))}]"
