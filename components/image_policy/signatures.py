"""The companion `verify-harbor-signatures`: images of our own projects carry our signature. Pure.

One description, two Kyverno kinds. Images of the named Harbor projects are verified, with the one
key of the settings: a signature by any other key, however valid, does not count.

Kyverno fetches signatures from the registry, which is Harbor, so this policy needs a Harbor that
answers. What it can hold up is kept small: pods of the excluded namespaces and images that a pod
had before are not verified, and by default the API server admits a pod when Kyverno does not answer
(docs/decisions/0012-signatures.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from components.image_policy.require_harbor import (
    IMAGE_LISTS,
    PolicyKind,
    cluster_policy_match,
    match_constraints,
    pod_images,
    text,
)
from components.settings.signatures import SignaturesSettings

NAME: Final = "verify-harbor-signatures"

KINDS: Final[dict[PolicyKind, str]] = {
    "ValidatingPolicy": "ImageValidatingPolicy",
    "ClusterPolicy": "ClusterPolicy",
}
"""Kind of `require-harbor-images` → kind of this policy, of the same API version."""

_ATTESTOR: Final = "sovereign"
_UNSIGNED: Final = "not signed with this Sovereign's key: "


@dataclass(frozen=True, kw_only=True)
class SignedImages:
    """`settings`: which Harbor projects have to be signed with which key, and what happens if not.

    `prefixes`: what images that may run begin with, slash included.
    """

    settings: SignaturesSettings
    prefixes: tuple[str, ...]
    excluded_namespaces: tuple[str, ...]

    def __post_init__(self) -> None:
        """ValueError where no image could match: to Kyverno an empty list means every image."""
        if not self.signed_prefixes:
            raise ValueError("no image would have to be signed")

    @property
    def signed_prefixes(self) -> tuple[str, ...]:
        """What images that have to be signed begin with."""
        return tuple(self._signed_prefixes())

    def _signed_prefixes(self) -> Iterator[str]:
        for prefix in self.prefixes:
            host, _, path = prefix.partition("/")
            if not path:
                yield from (f"{host}/{project}/" for project in self.settings.projects)
            elif path.partition("/")[0] in self.settings.projects:
                yield prefix

    @property
    def refuses(self) -> bool:
        """Whether pods are refused. If not, nothing else is done to them either."""
        return self.settings.action == "Enforce"


def signature_policy(kind: PolicyKind, signed: SignedImages) -> dict[str, Any]:
    """`annotations` and `spec` of the policy; KINDS has its kind."""
    if kind == "ValidatingPolicy":
        return {"annotations": {}, "spec": _image_validating_policy(signed)}
    return {
        "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"},
        "spec": _cluster_policy(signed),
    }


@dataclass(frozen=True, kw_only=True)
class Demands:
    """Which images a policy wants signed, with which key, known to which transparency log.

    `images`: globs. `public_key`: PEM. `log`: URL; None where no log has to know a signature.
    """

    images: tuple[str, ...]
    public_key: str
    log: str | None


def demands(spec: dict[str, Any]) -> Demands:
    """The demands of a policy's `spec`, as built here or as the API server has it, with defaults.

    Two policies with the same demands judge alike, whether they report or refuse.
    """
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


def _failure_policy(signed: SignedImages) -> str:
    return signed.settings.failure_policy if signed.refuses else "Ignore"


def _pins_digests(signed: SignedImages) -> bool:
    """Whether tags of new pods become the digests whose signatures were verified.

    With a tag, a container's next restart would run unverified whatever the tag points to by then.
    """
    return signed.refuses


# --- ImageValidatingPolicy ---------------------------------------------------------------------


def _image_validating_policy(signed: SignedImages) -> dict[str, Any]:
    images = " + ".join(f"images.{name}" for name in IMAGE_LISTS)
    spec: dict[str, Any] = {
        "validationActions": ["Deny" if signed.refuses else "Audit"],
        "failurePolicy": _failure_policy(signed),
        "evaluation": {"admission": {"enabled": True}, "background": {"enabled": True}},
        "webhookConfiguration": {"timeoutSeconds": signed.settings.timeout_seconds},
        "autogen": {"podControllers": {"controllers": []}},
        "matchConstraints": match_constraints(
            signed.excluded_namespaces,
            resources=("pods", "pods/ephemeralcontainers"),
            operations=("CREATE", "UPDATE"),
        ),
        "matchConditions": [_brings_in_an_image_of_ours(signed)],
        "matchImageReferences": [{"glob": glob} for glob in _globs(signed)],
        # They replace Kyverno's own lists of these names, which leave out image volumes and hold
        # images that the pod had before.
        "images": [{"name": name, "expression": _new_images((name,))} for name in IMAGE_LISTS],
        "attestors": [{"name": _ATTESTOR, "cosign": _cosign(signed)}],
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
                # Kyverno replaces tags by digests in containers only.
                "expression": "images.volumes.all(image, image.contains('@sha256:'))",
                "messageExpression": "'an image volume is named by digest: ' "
                "+ images.volumes.join(', ')",
            },
        ],
        "validationConfigurations": {
            "mutateDigest": _pins_digests(signed),
            "verifyDigest": False,
            "required": True,
        },
    }
    if signed.settings.pull_secret is not None:
        spec["credentials"] = {"secrets": [signed.settings.pull_secret]}
    return spec


def _globs(signed: SignedImages) -> list[str]:
    return [f"{prefix}*" for prefix in signed.signed_prefixes]


def _cosign(signed: SignedImages) -> dict[str, Any]:
    log: dict[str, Any] = {"insecureIgnoreTlog": True, "insecureIgnoreSCT": True}
    if signed.settings.rekor_url is not None:
        log = {"url": signed.settings.rekor_url, "insecureIgnoreSCT": True}
    return {"key": {"data": signed.settings.public_key}, "ctlog": log}


def _brings_in_an_image_of_ours(signed: SignedImages) -> dict[str, str]:
    """A condition that the API server evaluates itself: it asks Kyverno about no other pod."""
    ours = " || ".join(f"image.startsWith({text(prefix)})" for prefix in signed.signed_prefixes)
    return {
        "name": "brings-in-an-image-of-ours",
        "expression": f"{_new_images(IMAGE_LISTS)}.exists(image, {ours})",
    }


def _new_images(lists: tuple[str, ...]) -> str:
    """CEL: images of these lists that the pod did not have before."""
    known = f"(oldObject == null ? [] : {pod_images('oldObject')})"
    return f"{pod_images('object', lists)}.filter(image, !(image in {known}))"


# --- ClusterPolicy -----------------------------------------------------------------------------

# JMESPath: the images of a pod's containers; POD stands for the pod's path in the request.
_CONTAINER_IMAGES: Final = (
    "{{ POD.spec.[containers, initContainers, ephemeralContainers][].image || `[]` }}"
)


def _cluster_policy(signed: SignedImages) -> dict[str, Any]:
    return {
        "admission": True,
        "background": True,
        "emitWarning": False,
        # No matchConditions: with them Kyverno 1.19.1 never calls its verification and then refuses
        # every image as unverified. So it is asked about every pod, and must not fail closed.
        "webhookConfiguration": {
            "failurePolicy": _failure_policy(signed),
            "timeoutSeconds": signed.settings.timeout_seconds,
        },
        "rules": [
            {
                "name": NAME,
                **cluster_policy_match(signed.excluded_namespaces),
                "preconditions": {"any": [_IS_NO_UPDATE, _BRINGS_IN_AN_IMAGE]},
                "imageExtractors": {
                    "Pod": [
                        {"path": "/spec/containers/*/image"},
                        {"path": "/spec/initContainers/*/image"},
                        {"path": "/spec/ephemeralContainers/*/image"},
                        {"path": "/spec/volumes/*/image/reference"},
                    ]
                },
                "verifyImages": [_verification(signed)],
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


def _verification(signed: SignedImages) -> dict[str, Any]:
    log: dict[str, Any] = {"ignoreTlog": True}
    if signed.settings.rekor_url is not None:
        log = {"url": signed.settings.rekor_url}
    verification: dict[str, Any] = {
        "type": "Cosign",
        "failureAction": signed.settings.action,
        "imageReferences": _globs(signed),
        "mutateDigest": _pins_digests(signed),
        "verifyDigest": False,
        "required": True,
        # Kyverno's cache goes by tag: a tag moved to an unsigned image would pass for an hour.
        "useCache": False,
        "attestors": [
            {
                "count": 1,
                "entries": [
                    {
                        "keys": {
                            "publicKeys": signed.settings.public_key,
                            "signatureAlgorithm": "sha256",
                            "rekor": log,
                            "ctlog": {"ignoreSCT": True},
                        }
                    }
                ],
            }
        ],
    }
    if signed.settings.pull_secret is not None:
        verification["imageRegistryCredentials"] = {"secrets": [signed.settings.pull_secret]}
    return verification
