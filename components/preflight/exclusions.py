"""Which of the namespaces that the image policy leaves out exist.

Whoever may create a namespace could run any image in one that is left out and does not exist yet.
"""

from __future__ import annotations

import pulumi

from components.image_policy.component import default_exclusions
from components.kubernetes.client import ClusterClient
from components.settings.exclusions import ESTATE
from components.settings.model import Settings


def existing(client: ClusterClient, settings: Settings) -> frozenset[str]:
    """Those of the default that exist; Harbor's own counts, since the stack makes it.

    Warns about those that the stack's file lists and that do not exist. Raises ClusterUnreachable.
    """
    policy = settings.image_policy
    if not policy.enabled:
        return frozenset()
    own = settings.harbor.namespace
    default = (
        () if policy.excluded_namespaces is not None else (*default_exclusions(settings), *ESTATE)
    )
    there = {
        name: name == own or client.get(f"/api/v1/namespaces/{name}") is not None
        for name in (*default, *policy.listed_exclusions)
    }
    missing = sorted({name for name in policy.listed_exclusions if not there[name]})
    if missing:
        pulumi.log.warn(
            f"imagePolicy leaves out namespaces that do not exist: {', '.join(missing)}. Whoever "
            "creates one of them may run any image in it"
        )
    return frozenset(name for name, is_there in there.items() if is_there)
