"""Whether the cluster is the one that the stack names."""

from __future__ import annotations

from components.kubernetes.client import ClusterClient
from components.settings.cluster import ClusterSettings


def problems(client: ClusterClient, cluster: ClusterSettings) -> list[str]:
    """Why this is not the cluster that the stack names; empty when it is."""
    differences: list[str] = []
    if cluster.name is not None and client.cluster_name != cluster.name:
        differences.append(
            f"sovereign-harbor:cluster.name = {cluster.name}, but the kubeconfig's context reaches "
            f"cluster {client.cluster_name}\n"
            "  fix: choose the context with cluster.context, or KUBECONFIG with the right file"
        )
    if cluster.uid is not None:
        namespace = client.get("/api/v1/namespaces/kube-system") or {"metadata": {"uid": "?"}}
        if namespace["metadata"]["uid"] != cluster.uid:
            differences.append(
                f"sovereign-harbor:cluster.uid = {cluster.uid}, but this cluster's kube-system has "
                f"{namespace['metadata']['uid']}: it is another cluster of the same name"
            )
    return differences
