"""The mark's ConfigMap in the cluster."""

from __future__ import annotations

import pulumi

from components.context import Context
from components.kubernetes.naming import FIELD_MANAGER
from components.kubernetes.objects import KubernetesObject
from components.ownership.state_mark import CONFIG_MAP, KEY


def create(context: Context, after: pulumi.Resource) -> None:
    """Writes the mark into the cluster after `after`: before that nothing could be lost."""
    KubernetesObject(
        "state-mark-record",
        "v1",
        "ConfigMap",
        metadata={
            "name": CONFIG_MAP,
            "namespace": context.namespace,
            "labels": context.labels("state"),
            "annotations": dict(FIELD_MANAGER),
        },
        data={KEY: context.mark},
        opts=pulumi.ResourceOptions.merge(
            context.options, pulumi.ResourceOptions(depends_on=[after])
        ),
    )
