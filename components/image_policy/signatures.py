"""The companion `verify-harbor-signatures`: images of our own projects carry our signature. Pure.

One description, two Kyverno kinds. Images of the named Harbor projects are verified, with the one
key of the settings: a signature by any other key, however valid, does not count. Neither does an
attestation by this key, such as a provenance or a vulnerability report.

Kyverno fetches signatures from the registry, which is Harbor, so this policy needs a Harbor that
answers. What it can hold up is kept small: pods of the excluded namespaces and images that a pod
had before are not verified, and by default the API server admits a pod when Kyverno does not answer
(docs/decisions/0012-signatures.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from components.image_policy import unchanged
from components.image_policy.cel import text
from components.image_policy.require_harbor import (
    CONTAINER_LISTS,
    IMAGE_LISTS,
    PolicyKind,
    begins_with,
    cluster_policy_match,
    match_constraints,
    pod_images,
)
from components.settings.signatures import SignaturesSettings
from components.settings.unchanged_pods import UnchangedPodsSettings

NAME: Final = "verify-harbor-signatures"
PIN_NAME: Final = "pin-harbor-images"
UNCHANGED_RULE: Final = f"{NAME}-unchanged"
"""The rule of a ClusterPolicy for pods whose images stay."""

KINDS: Final[dict[PolicyKind, str]] = {
    "ValidatingPolicy": "ImageValidatingPolicy",
    "ClusterPolicy": "ClusterPolicy",
}
"""Kind of `require-harbor-images` → kind of this policy, of the same API version."""

_ATTESTOR: Final = "sovereign"
_UNSIGNED: Final = "not signed with this Sovereign's key: "
_UNPINNED: Final = (
    "name these images by digest, since Kyverno cannot add it (to an image volume, to a pod that "
    "names one image twice and another one, to a pod whose operator compares images): "
)


@dataclass(frozen=True, kw_only=True)
class SignedImages:
    """`settings`: which Harbor projects have to be signed with which key, and what happens if not.

    `prefixes`: what images that may run begin with, slash included.
    `unchanged`: pods whose tags are not replaced by digests.
    """

    settings: SignaturesSettings
    prefixes: tuple[str, ...]
    excluded_namespaces: tuple[str, ...]
    unchanged: UnchangedPodsSettings = field(default_factory=UnchangedPodsSettings)

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

    `images`: globs. `excluded_namespaces`: where none is asked for. `public_key`: PEM. `log`: URL;
    None where no log has to know a signature.
    """

    images: tuple[str, ...]
    excluded_namespaces: tuple[str, ...]
    public_key: str
    log: str | None

    def are_met_by(self, applied: Demands | None) -> bool:
        """Whether what `applied` admits meets these demands, too."""
        return (
            applied is not None
            and set(self.images) <= set(applied.images)
            and set(self.excluded_namespaces) >= set(applied.excluded_namespaces)
            and (self.public_key, self.log) == (applied.public_key, applied.log)
        )


def demands(spec: dict[str, Any]) -> Demands | None:
    """The demands of a policy's `spec`, as built here or as the API server has it, with defaults.

    Two policies with the same demands judge alike, whether they report or refuse. None where
    somebody else wrote the policy.
    """
    try:
        return _demands(spec)
    except (KeyError, IndexError, ValueError):
        return None


def _demands(spec: dict[str, Any]) -> Demands:
    excluded = _excluded(spec)
    if "attestors" in spec:
        cosign = spec["attestors"][0]["cosign"]
        log = cosign["ctlog"]
        return Demands(
            images=tuple(reference["glob"] for reference in spec["matchImageReferences"]),
            excluded_namespaces=excluded,
            public_key=cosign["key"]["data"],
            log=None if log.get("insecureIgnoreTlog") else log["url"],
        )
    verification = spec["rules"][0]["verifyImages"][0]
    keys = verification["attestors"][0]["entries"][0]["keys"]
    return Demands(
        images=tuple(verification["imageReferences"]),
        excluded_namespaces=excluded,
        public_key=keys["publicKeys"],
        log=None if keys["rekor"].get("ignoreTlog") else keys["rekor"]["url"],
    )


def _excluded(spec: dict[str, Any]) -> tuple[str, ...]:
    if "rules" in spec:
        return tuple(spec["rules"][0]["exclude"]["any"][0]["resources"]["namespaces"])
    (selector,) = spec["matchConstraints"]["namespaceSelector"]["matchExpressions"]
    return tuple(selector["values"])


def _failure_policy(signed: SignedImages) -> str:
    return signed.settings.failure_policy if signed.refuses else "Ignore"


def _pins_digests(signed: SignedImages) -> bool:
    """Whether tags of new pods become the digests whose signatures were verified.

    With a tag, a container's next restart would run unverified whatever the tag points to by then.
    """
    return signed.refuses


# --- ImageValidatingPolicy ---------------------------------------------------------------------

_SIGNATURE: Final = "signature"
_SIGNATURE_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
"""Predicate type of a signature in Sigstore's bundle format (cosign, pkg/types/predicate.go)."""

_BUNDLED: Final = "sovereign-bundled"
"""The attestor that accepts whatever the key signed in bundle format, and nothing in the older one.
A signature in the older format always has a value for this annotation, and a bundle never has one
(cosign, pkg/oci/static/signature.go)."""
_ONLY_BUNDLES: Final = {"dev.cosignproject.cosign/signature": ""}


def _image_validating_policy(signed: SignedImages) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "validationActions": ["Deny" if signed.refuses else "Audit"],
        "failurePolicy": _failure_policy(signed),
        "evaluation": {"admission": {"enabled": True}, "background": {"enabled": True}},
        "webhookConfiguration": {"timeoutSeconds": signed.settings.timeout_seconds},
        "autogen": {"podControllers": {"controllers": []}},
        "matchConstraints": _pods(signed),
        "matchConditions": [_brings_in_an_image_of_ours(signed)],
        "matchImageReferences": [{"glob": glob} for glob in _globs(signed)],
        "images": [
            # Each image once, whatever its list: Kyverno 1.19.1 never answers about a pod when it
            # meets an image again and then a new one (sdk, imagedataloader/context.go: Get keeps
            # its lock).
            {"name": "containers", "expression": f"{_new_images(IMAGE_LISTS)}.distinct()"},
            # Kyverno's own lists of these names would bring the images in once more.
            {"name": "initContainers", "expression": "[]"},
            {"name": "ephemeralContainers", "expression": "[]"},
        ],
        "attestors": [
            {"name": _ATTESTOR, "cosign": _cosign(signed)},
            {"name": _BUNDLED, "cosign": {**_cosign(signed), "annotations": _ONLY_BUNDLES}},
        ],
        "attestations": [{"name": _SIGNATURE, "intoto": {"type": _SIGNATURE_PREDICATE}}],
        "variables": [
            {"name": "unpinned", "expression": f"images.containers.filter({_unpinned(signed)})"},
            {"name": "unsigned", "expression": f"images.containers.filter(image, !({_IS_SIGNED}))"},
        ],
        "validations": [
            {
                "expression": "variables.unpinned.size() == 0",
                "messageExpression": f"{text(_UNPINNED)} + variables.unpinned.join(', ')",
            },
            {
                "expression": "variables.unsigned.size() == 0",
                "messageExpression": f"{text(_UNSIGNED)} + variables.unsigned.join(', ')",
            },
        ],
        "validationConfigurations": {
            "mutateDigest": False,  # pin_policy does
            "verifyDigest": False,
            "required": True,
        },
    }
    return {**spec, **_credentials(signed)}


def _verified(attestors: str, attestation: str | None = None) -> str:
    """CEL: whether `image` has a signature by one of the attestors."""
    listed = f"[attestors[{text(attestors)}]]"
    if attestation is None:
        return f"verifyImageSignatures(image, {listed}) > 0"
    return f"verifyAttestationSignatures(image, attestations.{attestation}, {listed}) > 0"


# To Kyverno 1.19.1 any bundle by the key is a signature of the image (ivpol/cosign/verifier.go). In
# the older format, which Kyverno reads where there is no bundle, attestations have another tag.
_IS_SIGNED: Final = (
    f"{_verified(_ATTESTOR, _SIGNATURE)} || ({_verified(_ATTESTOR)} && !({_verified(_BUNDLED)}))"
)


def pin_policy(signed: SignedImages) -> dict[str, Any] | None:
    """`spec` of the companion that replaces tags by digests; None where nothing is to be pinned.

    It is a policy of its own, since it leaves out pods that have to be verified all the same:
    - pods whose operator compares images (unchanged.py);
    - pods that name one image by tag twice, and another one. For these Kyverno 1.19.1 never answers
      (see `images` above). `verify-harbor-signatures` refuses them while they name tags.

    With kind ClusterPolicy, the one policy verifies and pins.
    """
    if not signed.refuses:
        return None
    spec: dict[str, Any] = {
        "validationActions": ["Deny"],
        "failurePolicy": _failure_policy(signed),
        "evaluation": {"admission": {"enabled": True}, "background": {"enabled": False}},
        "webhookConfiguration": {"timeoutSeconds": signed.settings.timeout_seconds},
        "autogen": {"podControllers": {"controllers": []}},
        "matchConstraints": _pods(signed),
        "matchConditions": [
            _brings_in_an_image_of_ours(signed),
            unchanged.condition(signed.unchanged),
            {"name": "kyverno-can-pin-it", "expression": _kyverno_can_pin(signed)},
        ],
        "matchImageReferences": [{"glob": glob} for glob in _globs(signed)],
        # It verifies nothing, so it reads nothing.
        "images": [{"name": name, "expression": "[]"} for name in CONTAINER_LISTS],
        "attestors": [{"name": _ATTESTOR, "cosign": _cosign(signed)}],
        "validations": [{"expression": "true"}],
        "validationConfigurations": {
            "mutateDigest": True,
            "verifyDigest": False,
            "required": False,
        },
    }
    return {**spec, **_credentials(signed)}


def _unpinned(signed: SignedImages) -> str:
    """CEL, the arguments of a filter: images that have to be named by digest, and are not.

    Under Enforce every image: `pin_policy` has replaced the tags that it can. Audit reports the
    tags that it could not replace.
    """
    by_tag = "!image.contains('@sha256:')"
    if signed.refuses:
        return f"image, {by_tag}"
    is_pinned = f"{unchanged.expression(signed.unchanged)} && ({_kyverno_can_pin(signed)})"
    return f"image, {by_tag} && (image in {pod_images('object', ('volumes',))} || !({is_pinned}))"


def _kyverno_can_pin(signed: SignedImages) -> str:
    """CEL: whether the pod's tags of ours are all different, or all the same."""
    tags = (
        f"{pod_images('object', CONTAINER_LISTS)}"
        f".filter(image, ({begins_with(signed.signed_prefixes)}) && !image.contains('@'))"
        # Kyverno adds the default tag before it compares.
        ".map(image, image.matches(':[^/]+$') ? image : image + ':latest')"
    )
    return (
        f"[{tags}].all(tags, tags.all(tag, tags.exists_one(other, other == tag)) "
        "|| tags.all(tag, tag == tags[0]))"
    )


def _pods(signed: SignedImages) -> dict[str, Any]:
    return match_constraints(
        signed.excluded_namespaces,
        resources=("pods", "pods/ephemeralcontainers"),
        operations=("CREATE", "UPDATE"),
    )


def _credentials(signed: SignedImages) -> dict[str, Any]:
    if signed.settings.pull_secret is None:
        return {}
    return {"credentials": {"secrets": [signed.settings.pull_secret]}}


def _globs(signed: SignedImages) -> list[str]:
    return [f"{prefix}*" for prefix in signed.signed_prefixes]


def _cosign(signed: SignedImages) -> dict[str, Any]:
    log: dict[str, Any] = {"insecureIgnoreTlog": True, "insecureIgnoreSCT": True}
    if signed.settings.rekor_url is not None:
        log = {"url": signed.settings.rekor_url, "insecureIgnoreSCT": True}
    return {"key": {"data": signed.settings.public_key}, "ctlog": log}


def _brings_in_an_image_of_ours(signed: SignedImages) -> dict[str, str]:
    """A condition that the API server evaluates itself: it asks Kyverno about no other pod."""
    ours = begins_with(signed.signed_prefixes)
    return {
        "name": "brings-in-an-image-of-ours",
        "expression": f"{_new_images(IMAGE_LISTS)}.exists(image, {ours})",
    }


def _new_images(lists: tuple[str, ...]) -> str:
    """CEL: images of these lists that the pod did not have before.

    The list around the known images is there to name them: computed for each image anew, they would
    cost the API server more than it spends on a condition.
    """
    known = f"[oldObject == null ? [] : {pod_images('oldObject')}]"
    new = f"{pod_images('object', lists)}.filter(image, !(image in known))"
    return f"{known}.map(known, {new})[0]"


# --- ClusterPolicy -----------------------------------------------------------------------------

# JMESPath: the images of a pod's containers; POD stands for the pod's path in the request.
_CONTAINER_IMAGES: Final = (
    "{{ POD.spec.[containers, initContainers, ephemeralContainers][].image || `[]` }}"
)


_EXTRACTED: Final = {
    "containers": "/spec/containers/*/image",
    "initContainers": "/spec/initContainers/*/image",
    "ephemeralContainers": "/spec/ephemeralContainers/*/image",
    "volumes": "/spec/volumes/*/image/reference",
}


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
        "rules": _rules(signed),
    }


def _rules(signed: SignedImages) -> list[dict[str, Any]]:
    """One rule that pins what it verified, and one for pods whose images stay (unchanged.py)."""
    pins = _pins_digests(signed)
    stays = unchanged.jmespath(signed.unchanged)
    if stays is None:
        return [_rule(signed, NAME, [], _verification(signed, pins=pins))]
    key = f"{{{{ {stays} }}}}"
    changed, kept = ({"key": key, "operator": "Equals", "value": value} for value in (False, True))
    return [
        _rule(signed, NAME, [changed], _verification(signed, pins=pins)),
        # Their images are named by digest under Enforce, or refused.
        _rule(
            signed,
            UNCHANGED_RULE,
            [kept],
            {**_verification(signed, pins=False), "verifyDigest": pins},
        ),
    ]


def _rule(
    signed: SignedImages, name: str, conditions: list[dict[str, Any]], verification: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        **cluster_policy_match(signed.excluded_namespaces),
        "preconditions": {"any": [_IS_NO_UPDATE, _BRINGS_IN_AN_IMAGE], "all": conditions},
        "imageExtractors": {
            # Kyverno keeps one list of images for each name; a later extractor with the same name,
            # or with none, would overwrite it.
            "Pod": [{"name": name, "path": path} for name, path in _EXTRACTED.items()]
        },
        "verifyImages": [verification],
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


def _verification(signed: SignedImages, *, pins: bool) -> dict[str, Any]:
    log: dict[str, Any] = {"ignoreTlog": True}
    if signed.settings.rekor_url is not None:
        log = {"url": signed.settings.rekor_url}
    verification: dict[str, Any] = {
        "type": "Cosign",
        "failureAction": signed.settings.action,
        "imageReferences": _globs(signed),
        "mutateDigest": pins,
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
