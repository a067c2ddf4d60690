"""The section `cluster`: which cluster this stack may touch. Pure."""

from typing import Annotated

from components.settings.schema.rules import CLUSTER_NAME, NON_EMPTY, Section, SettingRule, matching


class ClusterSettings(Section):
    """Which cluster this stack may touch."""

    name: Annotated[str, CLUSTER_NAME] | None = None
    """Cluster entry that the kubeconfig context must reach. Required outside the sandbox."""
    context: Annotated[str, NON_EMPTY] | None = None
    """Kubeconfig context to use; the current one when unset."""
    uid: (
        Annotated[
            str,
            SettingRule(
                allowed="the UID of the cluster's namespace kube-system",
                example="$(kubectl get namespace kube-system -o jsonpath={.metadata.uid})",
                check=matching(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
            ),
        ]
        | None
    ) = None
    """Identity of the cluster: the UID of its namespace kube-system. Not checked when unset."""
