"""What is asked of the cluster before the first resource is registered."""

from __future__ import annotations

import pulumi

from components.adopted import Adopted
from components.kubernetes.client import ClusterClient, ClusterUnreachable
from components.preflight import evidence, fixed, identity, namespace, requirements
from components.preflight.adoption import check
from components.stack_config import StackConfig


def run(config: StackConfig) -> Adopted:
    """What exists already and is adopted.

    Raises RunError with everything that is missing or must not be touched. A preview goes on
    without an API server that answers: it is an offline one then, and shows everything as new.
    """
    settings, stack = config.settings, pulumi.get_stack()
    try:
        client = ClusterClient(settings.cluster.context)
        problems = identity.problems(client, settings.cluster)
        # The contents of a cluster that is not the stack's are no evidence of anything.
        if not problems:
            existing = check.problems(client, config)
            # A Harbor of somebody else says the same as its namespace, with the better advice.
            existing = existing or namespace.problems(client, settings, stack)
            if not existing or check.is_asked_for(settings):
                existing += fixed.problems(client, settings, stack)
            problems = evidence.problems(client, settings) + existing
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
            f"the cluster of stack {stack} is not reached: {error}\n"
            "  nothing was touched. KUBECONFIG and cluster.context decide which cluster is meant:\n"
            "  kubectl config get-contexts"
        ) from None
    if problems:
        raise pulumi.RunError(
            f"the cluster is not ready for stack {stack}; nothing was touched\n"
            + "\n".join(problems)
        )
    return check.adopted(settings)
