"""The companion `verify-harbor-signatures`: images of our own projects carry our signature. Pure.

One description, two Kyverno kinds. Only images of the named projects are looked at, and only with
the one key that is given: a signature that anybody else made, however valid, counts for nothing.

Kyverno fetches signatures from the registry, which is Harbor. So this policy waits for something
that its siblings do not need, and what it may hold up is kept small: the excluded namespaces are
never asked about, nor is an image that a pod had before, and by default the API server goes on
without an answer. docs/decisions/0012-signatures.md has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from components.image_policy.require_harbor import (
    IMAGE_LISTS,
    Enforcement,
    PolicyKind,
    match_constraints,
    pod_images,
    text,
)

NAME: Final = "verify-harbor-signatures"

FailurePolicy = Literal["Ignore", "Fail"]

KINDS: Final[dict[PolicyKind, str]] = {
    "ValidatingPolicy": "ImageValidatingPolicy",
    "ClusterPolicy": "ClusterPolicy",
}
"""Kind of `require-harbor-images` → kind of this policy, of the same API version."""

_ATTESTOR: Final = "sovereign"
_UNSIGNED: Final = "not signed with this Sovereign's key: "


@dataclass(frozen=True, kw_only=True)
class SignedImages:
    """`prefixes`: what images that may run begin with. `projects`: Harbor projects among them whose
    images have to be signed.

    `public_key`: PEM. `rekor_url`: the transparency log that has to know a signature; None: none.
    `pull_secret`: of Kyverno's namespace; None: signatures are read anonymously.
    `failure_policy`: what the API server does under Enforce while Kyverno does not answer.
    """

    prefixes: tuple[str, ...]
    projects: tuple[str, ...]
    public_key: str
    action: Enforcement
    failure_policy: FailurePolicy
    timeout_seconds: int
    rekor_url: str | None
    pull_secret: str | None
    excluded_namespaces: tuple[str, ...]

    def __post_init__(self) -> None:
        """ValueError where no image could match: Kyverno takes an empty list for every image."""
        if not self.signed_prefixes:
            raise ValueError("no image would have to be signed")

    @property
    def signed_prefixes(self) -> tuple[str, ...]:
        """What images begin with that have to be signed."""
        return tuple(self._signed_prefixes())

    def _signed_prefixes(self) -> Iterator[str]:
        for prefix in self.prefixes:
            host, _, path = prefix.partition("/")
            if not path:
                yield from (f"{host}/{project}/" for project in self.projects)
            elif path.partition("/")[0] in self.projects:
                yield prefix

    @property
    def refuses(self) -> bool:
        """Whether pods are refused. If not, nothing else may be done to them either."""
        return self.action == "Enforce"


def signature_policy(kind: PolicyKind, wanted: SignedImages) -> dict[str, Any]:
    """`annotations` and `spec` of the policy; KINDS has its kind."""
    if kind == "ValidatingPolicy":
        return {"annotations": {}, "spec": _image_validating_policy(wanted)}
    return {
        "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"},
        "spec": _cluster_policy(wanted),
    }


@dataclass(frozen=True, kw_only=True)
class Demands:
    """Which images a policy wants signed, with which key, known to which log (None: to none)."""

    images: tuple[str, ...]
    public_key: str
    log: str | None


def demands(spec: dict[str, Any]) -> Demands:
    """Read from a policy's `spec`, ours or as the API server has it with defaults filled in. Two
    policies that demand the same judge alike, whatever they do about it."""
    if "attestors" in spec:
        cosign = spec["attestors"][0]["cosign"]
        log = cosign["ctlog"]
        return Demands(
            images=tuple(reference["glob"] for reference in spec["matchImageReferences"]),
            public_key=cosign["key"]["data"],
            log=None if log.get("insecureIgnoreTlog") else log["url"],
        )
    verification = spec["rules"][0]["verifyImages"][0]
    keys = verification["attestors"][0]["entries"][0]["keys"]
    return Demands(
        images=tuple(verification["imageReferences"]),
        public_key=keys["publicKeys"],
        log=None if keys["rekor"].get("ignoreTlog") else keys["rekor"]["url"],
    )


def _failure_policy(wanted: SignedImages) -> FailurePolicy:
    return wanted.failure_policy if wanted.refuses else "Ignore"


def _pins_digests(wanted: SignedImages) -> bool:
    """Whether tags of new pods become the digests whose signatures were verified.

    Otherwise a tag that is moved once the pod has been admitted would run unverified from the
    container's next restart on.
    """
    return wanted.refuses


# --- ImageValidatingPolicy ---------------------------------------------------------------------


def _image_validating_policy(wanted: SignedImages) -> dict[str, Any]:
    images = " + ".join(f"images.{name}" for name in IMAGE_LISTS)
    spec: dict[str, Any] = {
        "validationActions": ["Deny" if wanted.refuses else "Audit"],
        "failurePolicy": _failure_policy(wanted),
        "evaluation": {"admission": {"enabled": True}, "background": {"enabled": True}},
        "webhookConfiguration": {"timeoutSeconds": wanted.timeout_seconds},
        "autogen": {"podControllers": {"controllers": []}},
        "matchConstraints": match_constraints(
            wanted.excluded_namespaces,
            resources=("pods", "pods/ephemeralcontainers"),
            operations=("CREATE", "UPDATE"),
        ),
        "matchConditions": [_brings_in_an_image_of_ours(wanted)],
        "matchImageReferences": [{"glob": glob} for glob in _globs(wanted)],
        # Take the place of Kyverno's own of these names, which know neither image volumes nor what
        # the pod had before.
        "images": [{"name": name, "expression": _new_images((name,))} for name in IMAGE_LISTS],
        "attestors": [{"name": _ATTESTOR, "cosign": _cosign(wanted)}],
        "variables": [
            {
                "name": "unsigned",
                "expression": f"({images}).filter(image, "
                f"verifyImageSignatures(image, [attestors.{_ATTESTOR}]) < 1)",
            }
        ],
        "validations": [
            {
                "expression": "variables.unsigned.size() == 0",
                "messageExpression": f"{text(_UNSIGNED)} + variables.unsigned.join(', ')",
            },
            {
                # Kyverno pins containers only.
                "expression": "images.volumes.all(image, image.contains('@sha256:'))",
                "messageExpression": "'an image volume is named by digest: ' "
                "+ images.volumes.join(', ')",
            },
        ],
        "validationConfigurations": {
            "mutateDigest": _pins_digests(wanted),
            "verifyDigest": False,
            "required": True,
        },
    }
    if wanted.pull_secret is not None:
        spec["credentials"] = {"secrets": [wanted.pull_secret]}
    return spec


def _globs(wanted: SignedImages) -> list[str]:
    return [f"{prefix}*" for prefix in wanted.signed_prefixes]


def _cosign(wanted: SignedImages) -> dict[str, Any]:
    log: dict[str, Any] = {"insecureIgnoreTlog": True, "insecureIgnoreSCT": True}
    if wanted.rekor_url is not None:
        log = {"url": wanted.rekor_url, "insecureIgnoreSCT": True}
    return {"key": {"data": wanted.public_key}, "ctlog": log}


def _brings_in_an_image_of_ours(wanted: SignedImages) -> dict[str, str]:
    """Answered by the API server, which asks Kyverno about no other pod."""
    ours = " || ".join(f"image.startsWith({text(prefix)})" for prefix in wanted.signed_prefixes)
    return {
        "name": "brings-in-an-image-of-ours",
        "expression": f"{_new_images(IMAGE_LISTS)}.exists(image, {ours})",
    }


def _new_images(lists: tuple[str, ...]) -> str:
    """CEL: images of these lists that the pod did not have before."""
    known = f"(oldObject == null ? [] : {pod_images('oldObject')})"
    return f"{pod_images('object', lists)}.filter(image, !(image in {known}))"


# --- ClusterPolicy -----------------------------------------------------------------------------

# JMESPath: what a pod names, POD being where it stands in the request.
_CONTAINER_IMAGES: Final = (
    "{{ POD.spec.[containers, initContainers, ephemeralContainers][].image || `[]` }}"
)


def _cluster_policy(wanted: SignedImages) -> dict[str, Any]:
    return {
        "admission": True,
        "background": True,
        "emitWarning": False,
        # No matchConditions: with them Kyverno 1.19.1 never calls its verification and then refuses
        # every image as unverified. So it is asked about every pod, and must not fail closed.
        "webhookConfiguration": {
            "failurePolicy": _failure_policy(wanted),
            "timeoutSeconds": wanted.timeout_seconds,
        },
        "rules": [
            {
                "name": NAME,
                "match": {
                    "any": [{"resources": {"kinds": ["Pod"], "operations": ["CREATE", "UPDATE"]}}]
                },
                "exclude": {"any": [{"resources": {"namespaces": [*wanted.excluded_namespaces]}}]},
                "preconditions": {"any": [_IS_NO_UPDATE, _BRINGS_IN_AN_IMAGE]},
                "imageExtractors": {
                    "Pod": [
                        {"path": "/spec/containers/*/image"},
                        {"path": "/spec/initContainers/*/image"},
                        {"path": "/spec/ephemeralContainers/*/image"},
                        {"path": "/spec/volumes/*/image/reference"},
                    ]
                },
                "verifyImages": [_verification(wanted)],
            }
        ],
    }


_IS_NO_UPDATE: Final = {
    "key": "{{ request.operation || 'CREATE' }}",
    "operator": "NotEquals",
    "value": "UPDATE",
}
_BRINGS_IN_AN_IMAGE: Final = {
    "key": _CONTAINER_IMAGES.replace("POD", "request.object"),
    "operator": "AnyNotIn",
    "value": _CONTAINER_IMAGES.replace("POD", "request.oldObject"),
}


def _verification(wanted: SignedImages) -> dict[str, Any]:
    log: dict[str, Any] = {"ignoreTlog": True}
    if wanted.rekor_url is not None:
        log = {"url": wanted.rekor_url}
    verification: dict[str, Any] = {
        "type": "Cosign",
        "failureAction": wanted.action,
        "imageReferences": _globs(wanted),
        "mutateDigest": _pins_digests(wanted),
        "verifyDigest": False,
        "required": True,
        # Its cache goes by tag: one that is moved to an unsigned image would pass for an hour.
        "useCache": False,
        "attestors": [
            {
                "count": 1,
                "entries": [
                    {
                        "keys": {
                            "publicKeys": wanted.public_key,
                            "signatureAlgorithm": "sha256",
                            "rekor": log,
                            "ctlog": {"ignoreSCT": True},
                        }
                    }
                ],
            }
        ],
    }
    if wanted.pull_secret is not None:
        verification["imageRegistryCredentials"] = {"secrets": [wanted.pull_secret]}
    return verification
