"""The policy `require-harbor-images`: one description, two Kyverno kinds. Pure.

Both kinds carry the same CEL, so they decide alike: the image of each container, init container,
ephemeral container and image volume of a pod begins with an allowed prefix, or the request is
refused. An image that the pod already had is never refused. Otherwise a pod that is older than the
policy could not even lose its finalizer, and Jobs and namespaces would hang.

Under Enforce this policy fails closed, and the signature policy does not (signatures.py). So this
one also refuses what would keep the other from giving an answer: names that are no image reference,
and more images than it can read in time.

The policy matches pods only. Rules that Kyverno would generate for Deployments and Jobs would
refuse those before `rewrite-harbor-images` had changed their pods.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from components.image_policy.cel import text

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

CONTAINER_LISTS: Final = ("containers", "initContainers", "ephemeralContainers")
IMAGE_LISTS: Final = (*CONTAINER_LISTS, "volumes")
"""The lists of a pod in which images are named."""

MOST_IMAGES: Final = 100
"""Images that a pod may name. The API server gives up a webhook's matchCondition after 1,000,000
units of work and then does not ask a webhook with failurePolicy Ignore (Kubernetes' documentation,
"Dynamic Admission Control"), which is the signature policy. 100 images cost a small part of that.
Images of a pod that is older than the policy are not counted while none is added."""

MOST_SIGNED_IMAGES: Final = 10
"""Images of signed projects that a pod may bring in at once. Kyverno verifies one after the other,
each by about 30 requests to Harbor, within `imagePolicy.signatures.timeoutSeconds`. What takes
longer is admitted unverified by failurePolicy Ignore."""

_LABEL: Final = "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
_COMPONENT: Final = "[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*"
_REFERENCE: Final = (
    rf"^({_LABEL}([.]{_LABEL})*(:[0-9]+)?/)?"
    rf"{_COMPONENT}(/{_COMPONENT})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)
"""The grammar of distribution/reference, with Harbor's only digest. Kyverno 1.19.1 verifies none of
a pod's images when one of them is no reference by this grammar."""

_LONGEST_NAME: Final = 255
"""Characters of a name and its tag; to Kyverno a longer name is no reference."""

TIMEOUT_SECONDS: Final = 10
"""Kyverno's default, and the least that a ClusterPolicy may have. The policies read nothing but the
request and answer in milliseconds; a Kyverno that hangs delays a pod this long."""


@dataclass(frozen=True, kw_only=True)
class HarborImages:
    """The images that may run: those that begin with one of `prefixes`, each ending with a slash.

    `enforcement`: whether other images are reported (Audit) or refused (Enforce).
    `signed_prefixes`: what images begin with that the signature policy refuses while they are not
    signed; none where it only reports.
    """

    prefixes: tuple[str, ...]
    excluded_namespaces: tuple[str, ...]
    enforcement: Enforcement
    signed_prefixes: tuple[str, ...] = ()

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

    def allow(self, image: str) -> bool:
        """Whether a pod may bring in this image; the same as the policy's CEL."""
        name = image.partition("@")[0]
        return (
            image.startswith(self.prefixes)
            and len(name) <= _LONGEST_NAME
            and re.fullmatch(_REFERENCE, image) is not None
        )


@dataclass(frozen=True, kw_only=True)
class Allowances:
    """What an applied policy lets run: see HarborImages."""

    prefixes: tuple[str, ...]
    excluded_namespaces: tuple[str, ...]


def allowances(spec: dict[str, Any]) -> Allowances | None:
    """What a policy with this spec lets run, built here or by an older version; None where somebody
    else wrote it."""
    try:
        return _allowances(spec)
    except (KeyError, IndexError, ValueError):
        return None


def _allowances(spec: dict[str, Any]) -> Allowances:
    if "rules" in spec:
        (rule,) = spec["rules"]
        variables = rule["validate"]["cel"]["variables"]
        excluded = rule["exclude"]["any"][0]["resources"]["namespaces"]
    else:
        variables = spec["variables"]
        (selector,) = spec["matchConstraints"]["namespaceSelector"]["matchExpressions"]
        excluded = selector["values"]
    (refused,) = (each["expression"] for each in variables if each["name"] == "refused")
    prefixes = re.findall(r'image\.startsWith\("([^"]*)"\)', refused)
    return Allowances(prefixes=tuple(prefixes), excluded_namespaces=tuple(excluded))


def images_of(pod: dict[str, Any]) -> list[str]:
    """Every image that a pod names; the same as `pod_images` in CEL."""
    spec: dict[str, list[dict[str, Any]]] = pod["spec"]
    volumes = [volume["image"] for volume in spec.get("volumes", []) if volume.get("image")]
    return [
        *(entry["image"] for name in CONTAINER_LISTS for entry in spec.get(name, [])),
        *(image["reference"] for image in volumes if "reference" in image),
    ]


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
        "validations": _validations(images),
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
                        "expressions": _validations(images),
                    },
                },
            }
        ],
    }


def _variables(images: HarborImages) -> list[dict[str, str]]:
    expressions = {
        "images": pod_images("object"),
        # For a new pod oldObject is null in one kind and an empty object in the other.
        "known": f"oldObject == null ? [] : {pod_images('oldObject')}",
        "new": "variables.images.filter(image, !(image in variables.known))",
        "refused": f"variables.new.filter(image, !({begins_with(images.prefixes)}))",
        # A name that the pod had before counts too: it would switch verification off for a new one.
        "unreadable": "variables.new.size() == 0 ? [] : variables.images.filter(image, "
        f"image.split('@')[0].size() > {_LONGEST_NAME} || !image.matches({text(_REFERENCE)}))",
    }
    if images.signed_prefixes:
        ours = begins_with(images.signed_prefixes)
        expressions["signed"] = f"variables.new.filter(image, {ours})"
    return [{"name": name, "expression": cel} for name, cel in expressions.items()]


def begins_with(prefixes: Sequence[str]) -> str:
    """CEL: whether the string `image` begins with one of the prefixes."""
    return " || ".join(f"image.startsWith({text(prefix)})" for prefix in prefixes)


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


def _validations(images: HarborImages) -> list[dict[str, str]]:
    message = f"only images from {' or '.join(images.prefixes)} may run here; refused: "
    validations = [
        # The first one, since what follows compares every image with every other.
        {
            "expression": f"variables.images.size() <= {MOST_IMAGES} "
            "|| variables.images == variables.known",
            "message": f"a pod may name at most {MOST_IMAGES} images here",
        },
        {
            "expression": "variables.refused.size() == 0",
            "messageExpression": f"{text(message)} + variables.refused.join(', ')",
        },
        {
            "expression": "variables.unreadable.size() == 0",
            "messageExpression": "'names that are no image reference: ' "
            "+ variables.unreadable.join(', ')",
        },
    ]
    if images.signed_prefixes:
        # The number of different names: a name that occurs n times counts n times 1/n.
        share = "1.0 / double(variables.signed.filter(other, other == image).size())"
        projects = ", ".join(images.signed_prefixes)
        validations.append(
            {
                "expression": f"variables.signed.map(image, {share}).sum() "
                f"< {MOST_SIGNED_IMAGES + 0.5}",
                "message": f"a pod may bring in at most {MOST_SIGNED_IMAGES} different images of "
                f"{projects}: more could not be verified in time",
            }
        )
    return validations


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(text, values))}]"
