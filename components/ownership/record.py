"""The mark's ConfigMap in the cluster."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context
from components.kubernetes.naming import FIELD_MANAGER
from components.ownership.state_mark import CONFIG_MAP, KEY


def create(context: Context, after: pulumi.Resource) -> None:
    """Writes the mark into the cluster after `after`: before that nothing could be lost."""
    k8s.core.v1.ConfigMap(
        "state-mark-record",
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
