"""Whether the cluster is the one that the stack names."""

from __future__ import annotations

import pulumi

from components.kubernetes.client import ClusterClient, dig
from components.settings.cluster import ClusterSettings


def problems(
    client: ClusterClient, cluster: ClusterSettings, stack: str | None = None
) -> list[str]:
    """Why this is not the cluster that the stack names; empty when it is.

    `stack`: for the commands; None in a run of the engine, which knows it. Raises
    ClusterUnreachable.
    """
    differences: list[str] = []
    if client.cluster_name is None:
        # The account of a pod names no cluster, so it could be any: only the UID tells.
        if cluster.name is not None and cluster.uid is None:
            differences.append(
                f"sovereign-harbor:cluster.name = {cluster.name}, but KUBECONFIG is not set and "
                "there is no ~/.kube/config: the account of the pod in which this runs would be "
                "used, and it names no cluster\n"
                "  fix: set KUBECONFIG. If this very cluster is meant, say so by its UID: pulumi "
                "config set --path 'cluster.uid' \"$(kubectl get namespace kube-system -o "
                f'jsonpath={{.metadata.uid}})" -s {stack or pulumi.get_stack()}'
            )
    elif cluster.name is not None and client.cluster_name != cluster.name:
        differences.append(
            f"sovereign-harbor:cluster.name = {cluster.name}, but the kubeconfig's context reaches "
            f"cluster {client.cluster_name}\n"
            "  fix: choose the context with cluster.context, or KUBECONFIG with the right file"
        )
    if cluster.uid is not None:
        uid = dig(client.get("/api/v1/namespaces/kube-system"), "metadata", "uid")
        if uid != cluster.uid:
            differences.append(
                f"sovereign-harbor:cluster.uid = {cluster.uid}, but this cluster's kube-system has "
                f"{uid or 'none'}: it is another cluster of the same name"
            )
    return differences
