"""Namespaces in which any image may run: what a cold cluster needs to bring Harbor back. Pure.

An image of these pods cannot come from Harbor while Harbor is not there. A policy that does not
leave them out locks the cluster: Harbor is down, so nothing that Harbor needs can start.
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
"""Namespace → why it is left out by default. An estate that has none of it may drop it."""


def needed_for_harbor(
    *, harbor: str, sealing: str, database: str | None, cache: str | None
) -> dict[str, str]:
    """Namespace → why; `database` and `cache`: where somebody else's server runs, if it does."""
    needed = {**CLUSTER, harbor: "Harbor itself, its database and its cache"}
    needed.setdefault(sealing, "the controller that unseals Harbor's credentials")
    for namespace, why in ((database, "Harbor's database"), (cache, "Harbor's cache")):
        if namespace is not None:
            needed.setdefault(namespace, why)
    return needed
