"""What is asked of the cluster before the first resource is registered."""

from __future__ import annotations

import pulumi

from components.adopted import Adopted
from components.kubernetes.client import ClusterClient, ClusterUnreachable
from components.preflight import evidence, identity, requirements
from components.preflight.adoption import check
from components.stack_config import StackConfig


def run(config: StackConfig) -> Adopted:
    """What exists already and is adopted.

    Raises RunError with everything that is missing or must not be touched. A preview goes on
    without an API server that answers: it is an offline one then, and shows everything as new.
    """
    settings = config.settings
    try:
        client = ClusterClient(settings.cluster.context)
        problems = identity.problems(client, settings.cluster)
        # The contents of a cluster that is not the stack's are no evidence of anything.
        if not problems:
            problems = evidence.problems(client, settings) + check.problems(client, config)
        problems += requirements.problems(client, settings)
    except ClusterUnreachable as error:
        if pulumi.runtime.is_dry_run():
            if check.is_asked_for(settings):
                pulumi.log.warn(
                    f"what this stack adopts was not looked at ({error}); the preview shows "
                    "it as new"
                )
            return Adopted()
        raise pulumi.RunError(
            f"the cluster of stack {pulumi.get_stack()} is not reached: {error}\n"
            "  nothing was touched. KUBECONFIG and cluster.context decide which cluster is meant:\n"
            "  kubectl config get-contexts"
        ) from None
    if problems:
        raise pulumi.RunError(
            f"the cluster is not ready for stack {pulumi.get_stack()}; nothing was touched\n"
            + "\n".join(problems)
        )
    return check.adopted(settings)
