"""Before anything is created: is it the right cluster, and has it what this stack needs?"""

from __future__ import annotations

import pulumi

from components.adopted import Adopted
from components.kubernetes.client import ClusterClient, ClusterUnreachable
from components.preflight import evidence, identity, requirements
from components.preflight.adoption import check
from components.stack_config import StackConfig


def run(config: StackConfig) -> Adopted:
    """What exists already and is adopted.

    Raises RunError with all that is missing or must not be touched, before the first resource is
    registered. In a preview an API server that does not answer is no problem: the preview is an
    offline one, and shows everything as new.
    """
    settings = config.settings
    try:
        client = ClusterClient(settings.cluster.context)
        problems = identity.problems(client, settings.cluster)
        # What stands in a cluster that is not the stack's says nothing.
        if not problems:
            problems = evidence.problems(client, settings) + check.problems(client, config)
        problems += requirements.missing(client, requirements.requirements(settings))
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
