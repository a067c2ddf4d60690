"""Namespaces in which any image may run: what a cold cluster needs to bring Harbor back. Pure.

While Harbor is down, pods of these namespaces cannot pull images from it. A policy that covers such
a namespace locks the cluster: pods that Harbor needs cannot start, so Harbor stays down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLUSTER: Final[Mapping[str, str]] = {
    "kube-system": "control plane, DNS, CNI and CSI drivers; static pods report here",
    "kyverno": "answers the policy's own webhook",
    "cnpg-system": "the operator that restarts Harbor's database",
}
"""Namespace → why Harbor cannot come back without it. Enforce is refused when one is missing."""

ESTATE: Final[Mapping[str, str]] = {
    "cilium": "CNI, where it is not in kube-system",
    "longhorn-system": "CSI, where volumes are its",
    "flux-system": "brings all of the above to the cluster",
    "cert-manager": "issues the certificate under which images are pulled from Harbor",
}
"""Namespace → why it is left out by default. An estate without that software may leave it in."""


def needed_for_harbor(
    *, harbor: str, sealing: str, database: str | None, cache: str | None
) -> dict[str, str]:
    """Namespace → why. `database` and `cache`: namespace of a shared server; None for a dedicated
    one."""
    needed = {**CLUSTER, harbor: "Harbor itself, its database and its cache"}
    needed.setdefault(sealing, "the controller that unseals Harbor's credentials")
    for namespace, why in ((database, "Harbor's database"), (cache, "Harbor's cache")):
        if namespace is not None:
            needed.setdefault(namespace, why)
    return needed
