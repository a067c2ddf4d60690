"""Enforce is decided on evidence: what Audit's reports say would have been refused.

Kyverno writes reports: for each pod it judges, new or running, whether a policy would have refused
it. `problems` reads them before the first resource is registered.

Reports are about the policy that is applied. When the new one allows less (another registry host, a
prefix or an excluded namespace less), the pods that run are the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pulumi

from components.commands import for_stack, run, set_value
from components.image_policy import require_harbor, signatures
from components.image_policy.component import harbor_images, signed_images
from components.image_policy.require_harbor import Allowances, HarborImages, PolicyKind
from components.image_policy.signatures import SignedImages
from components.kubernetes.client import ClusterClient, dig
from components.settings.image_policy import ImagePolicySettings
from components.settings.model import Settings

_REPORTS: Final = (
    "/apis/wgpolicyk8s.io/v1alpha2/policyreports",
    # Where Kyverno was installed with openreports.enabled.
    "/apis/openreports.io/v1alpha1/reports",
)
_PODS_A_PART: Final = 500
_MOST_PODS: Final = 10
_LONGEST_REASON: Final = 200


def problems(client: ClusterClient, settings: Settings) -> list[str]:
    """Why a policy must not refuse pods yet. Raises ClusterUnreachable.

    Evidence is asked for at the step from Audit to Enforce, and when a policy that refuses pods
    begins to refuse more. `require-harbor-images` may start with Enforce, on a cluster where
    nothing runs yet. Signatures may not: only reports prove that Kyverno can read them.
    """
    section, signed = settings.image_policy, signed_images(settings)
    reasons: list[str] = []
    if section.enabled and section.enforcement == "Enforce" and not section.accept_refusals:
        reasons += _require_problems(client, section.kind, settings)
    if signed is not None and signed.refuses and not signed.settings.accept_refusals:
        reasons += _signature_problems(client, section.kind, signed)
    return [for_stack(reason, pulumi.get_stack()) for reason in reasons]


def _require_problems(client: ClusterClient, kind: PolicyKind, settings: Settings) -> list[str]:
    spec = _applied(client, kind=kind, served=kind, name=require_harbor.NAME)
    if spec is None:
        _tell_evidence("imagePolicy.enforcement", {})
        return []
    declared = harbor_images(settings)
    before = require_harbor.allowances(spec)
    narrowing = None if before is None else Narrowing.between(before, declared)
    reasons = _narrowing_problems(client, narrowing, declared, settings) if narrowing else []
    if refuses(spec):
        return reasons
    return reasons + _refusals(
        verdicts(reports(client), require_harbor.NAME),
        setting="imagePolicy.enforcement",
        accept="imagePolicy.acceptRefusals",
        remedy="take these images from Harbor",
    )


def _narrowing_problems(
    client: ClusterClient, narrowing: Narrowing, declared: HarborImages, settings: Settings
) -> list[str]:
    refused = narrowing.refused(pods(client), declared)
    way = " && ".join(narrowing.ways_back(settings.image_policy))
    way = for_stack(way, pulumi.get_stack())
    if not refused:
        pulumi.log.warn(
            f"require-harbor-images no longer allows {narrowing}. No pod of the cluster needs it "
            "now; what is scaled to zero or starts by a schedule was not looked at\n"
            f"  to allow it: {way}"
        )
        return []
    return [
        "sovereign-harbor:imagePolicy.enforcement = Enforce, and require-harbor-images would no "
        f"longer allow {narrowing}; pods that run now and would be refused at their next start: "
        f"{len(refused)}\n" + "\n".join(listed(refused)) + "\n"
        f"  fix: {way}\n"
        f"  then {run('up')}; name these images anew, and remove that entry afterwards\n"
        "  or, with their owners' consent: "
        f"{set_value('imagePolicy.acceptRefusals', 'true')}"
    ]


def pods(client: ClusterClient) -> Iterator[dict[str, Any]]:
    """All pods, in parts: a large cluster has more than one answer should hold."""
    more = ""
    while True:
        part = client.get(f"/api/v1/pods?limit={_PODS_A_PART}{more}")
        yield from dig(part, "items") or []
        token = dig(part, "metadata", "continue")
        if not token:
            return
        more = f"&continue={quote(token)}"


def _signature_problems(client: ClusterClient, kind: PolicyKind, signed: SignedImages) -> list[str]:
    spec = _applied(client, kind=kind, served=signatures.KINDS[kind], name=signatures.NAME)
    declared = signatures.demands(signatures.signature_policy(kind, signed)["spec"])
    assert declared is not None
    setting, accept = "imagePolicy.signatures.action", "imagePolicy.signatures.acceptRefusals"
    if spec is None or not declared.are_met_by(signatures.demands(spec)):
        so_far = (
            "not applied yet"
            if spec is None
            else "applied with other projects, hosts or excluded namespaces, or another key"
        )
        return [_too_early(f"the policy {signatures.NAME} is {so_far}", setting, accept)]
    if refuses(spec):
        return []
    judged = verdicts(reports(client), signatures.NAME)
    if not judged:
        return [
            _too_early(
                f"no report says anything of {signatures.NAME} yet. Kyverno's reports controller "
                "writes them, within a minute of a pod with an image of "
                f"{', '.join(signed.settings.projects)}",
                setting,
                accept,
            )
        ]
    return _refusals(judged, setting=setting, accept=accept, remedy="sign these images")


def _applied(
    client: ClusterClient, *, kind: PolicyKind, served: str, name: str
) -> dict[str, Any] | None:
    """The spec of a policy in the cluster, where its kind is `served`; None when it is missing."""
    plural = f"{served.lower().removesuffix('y')}ies"
    policy = client.get(f"/apis/{require_harbor.API_VERSIONS[kind]}/{plural}/{name}")
    return None if policy is None else policy["spec"]


def reports(client: ClusterClient) -> list[dict[str, Any]]:
    lists = (client.get(path) for path in _REPORTS)
    return [report for listed in lists if listed for report in listed["items"]]


# --- Pure --------------------------------------------------------------------------------------


def refuses(spec: dict[str, Any]) -> bool:
    """Whether a policy with this spec, of any of our kinds, refuses pods."""
    if "validationActions" in spec:
        return "Deny" in spec["validationActions"]
    rule = spec["rules"][0]
    (check,) = rule["verifyImages"] if "verifyImages" in rule else [rule["validate"]]
    return check.get("failureAction") == "Enforce"


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """What a policy allows now, and will not allow: prefixes, and namespaces that it will cover."""

    before: Allowances
    prefixes: tuple[str, ...]
    namespaces: tuple[str, ...]

    @classmethod
    def between(cls, before: Allowances, declared: HarborImages) -> Narrowing | None:
        """None where everything that is allowed stays allowed."""
        narrowing = cls(
            before=before,
            prefixes=tuple(p for p in before.prefixes if not p.startswith(declared.prefixes)),
            namespaces=tuple(
                name
                for name in before.excluded_namespaces
                if name not in declared.excluded_namespaces
            ),
        )
        return narrowing if narrowing.prefixes or narrowing.namespaces else None

    def refused(self, pods: Iterable[dict[str, Any]], declared: HarborImages) -> dict[str, str]:
        """Pod → its images that are allowed now, and refused by `declared`."""
        refused: dict[str, str] = {}
        for pod in pods:
            namespace = pod["metadata"]["namespace"]
            if namespace in declared.excluded_namespaces:
                continue
            images = [
                image
                for image in require_harbor.images_of(pod)
                if not declared.allow(image)
                and (namespace in self.namespaces or image.startswith(self.before.prefixes))
            ]
            if images:
                refused[f"{namespace}/{pod['metadata']['name']}"] = ", ".join(images)
        return refused

    def ways_back(self, section: ImagePolicySettings) -> Iterator[str]:
        """Commands after which the policy allows as much as before."""
        for key, setting, values in (
            ("extraPrefixes", section.extra_prefixes, self.prefixes),
            ("extraExcludedNamespaces", section.extra_excluded_namespaces, self.namespaces),
        ):
            for index, value in enumerate(values, len(setting)):
                yield set_value(f"imagePolicy.{key}[{index}]", value)

    def __str__(self) -> str:
        parts = [f"images of {prefix}" for prefix in self.prefixes]
        parts += [f"any image in namespace {name}" for name in self.namespaces]
        return ", ".join(parts)


def verdicts(reports: Iterable[dict[str, Any]], policy: str) -> dict[str, str]:
    """Pod (namespace/name) → why `policy` would have refused it; "" if it would not have.

    An error counts as a refusal: under Enforce, Kyverno refuses what it could not verify.
    """
    reasons: dict[str, str] = {}
    for report in reports:
        scope = report.get("scope", {})
        pod = f"{scope.get('namespace', '?')}/{scope.get('name', '?')}"
        for result in report.get("results", []):
            if result["policy"] != policy or result.get("result") == "skip":
                continue
            is_refusal = result.get("result") in ("fail", "error")
            reason = result.get("message") or "no reason given"
            reasons[pod] = reason if is_refusal else reasons.get(pod, "")
    return reasons


def _refusals(judged: dict[str, str], *, setting: str, accept: str, remedy: str) -> list[str]:
    refused = {pod: reason for pod, reason in sorted(judged.items()) if reason}
    if not refused:
        _tell_evidence(setting, judged)
        return []
    return [
        f"sovereign-harbor:{setting} = Enforce would refuse what runs now; Audit's reports name "
        f"{len(refused)} of {len(judged)} pods\n" + "\n".join(listed(refused)) + "\n"
        f"  fix: {remedy}, or leave their namespaces out (imagePolicy.extraExcludedNamespaces)\n"
        f"  or, with their owners' consent: {set_value(accept, 'true')}"
    ]


def listed(refused: dict[str, str]) -> list[str]:
    """A line for each pod and its reason, of the first pods at most."""
    lines = [f"  {pod}: {_short(reason)}" for pod, reason in list(refused.items())[:_MOST_PODS]]
    if len(refused) > _MOST_PODS:
        lines.append(f"  and {len(refused) - _MOST_PODS} more")
    return lines


def _tell_evidence(setting: str, judged: dict[str, str]) -> None:
    """Who decides on Enforce sees in the preview how much is known."""
    reports = f"Audit's reports about {len(judged)} pods, none of which it would have refused"
    pulumi.log.info(
        f"sovereign-harbor:{setting} = Enforce rests on {reports if judged else 'no report'}"
    )


def _too_early(reason: str, setting: str, accept: str) -> str:
    return (
        f"sovereign-harbor:{setting} = Enforce, but {reason}: nobody knows what would be refused\n"
        f"  fix: {set_value(setting, 'Audit')}; {run('up')}; and look at the reports "
        "(docs/runbooks/enforce-signatures.md)\n"
        f"  or, where refusals are accepted: {set_value(accept, 'true')}"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"
