"""Enforce is decided on evidence: what Audit's reports say would have been refused.

Kyverno writes reports: for each pod it judges, new or running, whether a policy would have refused
it. `problems` reads them before the first resource is registered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from components.image_policy import require_harbor, signatures
from components.image_policy.component import signed_images
from components.image_policy.require_harbor import PolicyKind
from components.image_policy.signatures import SignedImages
from components.kubernetes.client import ClusterClient
from components.settings.model import Settings

_REPORTS: Final = (
    "/apis/wgpolicyk8s.io/v1alpha2/policyreports",
    # Where Kyverno was installed with openreports.enabled.
    "/apis/openreports.io/v1alpha1/reports",
)
_MOST_PODS: Final = 10
_LONGEST_REASON: Final = 200


def problems(client: ClusterClient, settings: Settings) -> list[str]:
    """Why a policy must not refuse pods yet. Raises ClusterUnreachable.

    Evidence is asked for at the step from Audit to Enforce; a policy that refuses pods already has
    passed it. `require-harbor-images` may start with Enforce, on a cluster where nothing runs yet.
    Signatures may not: only reports prove that Kyverno can read them.
    """
    section, signed = settings.image_policy, signed_images(settings)
    reasons: list[str] = []
    if section.enabled and section.enforcement == "Enforce" and not section.accept_refusals:
        reasons += _require_problems(client, section.kind)
    if signed is not None and signed.refuses and not signed.settings.accept_refusals:
        reasons += _signature_problems(client, section.kind, signed)
    return reasons


def _require_problems(client: ClusterClient, kind: PolicyKind) -> list[str]:
    spec = _applied(client, kind=kind, served=kind, name=require_harbor.NAME)
    if spec is None or refuses(spec):
        return []
    return _refusals(
        verdicts(_reports(client), require_harbor.NAME),
        setting="imagePolicy.enforcement",
        accept="imagePolicy.acceptRefusals",
        remedy="take these images from Harbor",
    )


def _signature_problems(client: ClusterClient, kind: PolicyKind, signed: SignedImages) -> list[str]:
    spec = _applied(client, kind=kind, served=signatures.KINDS[kind], name=signatures.NAME)
    declared = signatures.signature_policy(kind, signed)["spec"]
    setting, accept = "imagePolicy.signatures.action", "imagePolicy.signatures.acceptRefusals"
    if spec is None or signatures.demands(spec) != signatures.demands(declared):
        so_far = "not applied yet" if spec is None else "applied with other projects or another key"
        return [_too_early(f"the policy {signatures.NAME} is {so_far}", setting, accept)]
    if refuses(spec):
        return []
    judged = verdicts(_reports(client), signatures.NAME)
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


def _reports(client: ClusterClient) -> list[dict[str, Any]]:
    lists = (client.get(path) for path in _REPORTS)
    return [report for listed in lists if listed for report in listed["items"]]


# --- Pure --------------------------------------------------------------------------------------


def refuses(spec: dict[str, Any]) -> bool:
    """Whether a policy with this spec, of any of our kinds, refuses pods."""
    if "validationActions" in spec:
        return "Deny" in spec["validationActions"]
    (rule,) = spec["rules"]
    (check,) = rule["verifyImages"] if "verifyImages" in rule else [rule["validate"]]
    return check["failureAction"] == "Enforce"


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
        return []
    lines = [f"  {pod}: {_short(reason)}" for pod, reason in list(refused.items())[:_MOST_PODS]]
    if len(refused) > _MOST_PODS:
        lines.append(f"  and {len(refused) - _MOST_PODS} more")
    return [
        f"sovereign-harbor:{setting} = Enforce would refuse what runs now; Audit's reports name "
        f"{len(refused)} of {len(judged)} pods\n" + "\n".join(lines) + "\n"
        f"  fix: {remedy}, or leave their namespaces out (imagePolicy.extraExcludedNamespaces)\n"
        f"  or, with their owners' consent: pulumi config set --path '{accept}' true"
    ]


def _too_early(reason: str, setting: str, accept: str) -> str:
    return (
        f"sovereign-harbor:{setting} = Enforce, but {reason}: nobody knows what would be refused\n"
        f"  fix: pulumi config set --path '{setting}' Audit, pulumi up, and look at the reports "
        "(docs/runbooks/enforce-signatures.md)\n"
        f"  or, where refusals are accepted: pulumi config set --path '{accept}' true"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"
