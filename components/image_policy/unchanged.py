"""Pods whose images stay as they are, since their operator compares them with its own. Pure.

CloudNativePG makes its pods itself, and replaces a pod whose image is not the one that it asked
for: a rewritten or pinned image would restart the database again and again. Zalando's operator
compares the pods of its StatefulSets. Their images are judged like all others, and never changed.
"""

from __future__ import annotations

import json
from typing import Final

from components.image_policy.cel import text
from components.settings.unchanged_pods import UnchangedPodsSettings

KUBERNETES_OWN: Final = (
    "v1/ReplicationController",
    "v1/Node",
    "apps/v1/ReplicaSet",
    "apps/v1/StatefulSet",
    "apps/v1/DaemonSet",
    "batch/v1/Job",
)
"""Owners of pods that compare no images: they look at a pod's labels only."""


def condition(pods: UnchangedPodsSettings) -> dict[str, str]:
    """A matchCondition that leaves these pods out."""
    return {"name": "no-operator-compares-images", "expression": expression(pods)}


def expression(pods: UnchangedPodsSettings) -> str:
    """CEL: whether the pod's images may be changed."""
    reasons: list[str] = []
    if pods.of_operators:
        own = ", ".join(map(text, KUBERNETES_OWN))
        reasons.append(
            "object.metadata.?ownerReferences.orValue([]).exists(owner, "
            "owner.?controller.orValue(false) "
            f"&& !((owner.apiVersion + '/' + owner.kind) in [{own}]))"
        )
    for label in pods.labels:
        key, _, value = label.partition("=")
        reasons.append(f"object.metadata.?labels[?{text(key)}].orValue('') == {text(value)}")
    return f"!({' || '.join(reasons)})" if reasons else "true"


def jmespath(pods: UnchangedPodsSettings) -> str | None:
    """JMESPath, for a ClusterPolicy: whether the pod's images stay; None where no pod is left out.

    Kyverno answers a missing key with an error, so each key that can be missing has an alternative.
    """
    reasons: list[str] = []
    if pods.of_operators:
        own = f"contains(`{json.dumps(KUBERNETES_OWN)}`, join('/', [apiVersion, kind]))"
        owners = "(request.object.metadata.ownerReferences || `[]`)"
        reasons.append(f"length({owners}[?(controller || `false`) && !{own}]) > `0`")
    for label in pods.labels:
        key, _, value = label.partition("=")
        reasons.append(f"(request.object.metadata.labels.{json.dumps(key)} || '') == '{value}'")
    return " || ".join(f"({reason})" for reason in reasons) or None
