"""Names and labels that more than one component uses. Pure."""

from __future__ import annotations

from typing import Final

SEAM_NAMESPACE: Final = "flux-system"
SEAM_SECRET: Final = "object-storage"
"""The estate's vendor-neutral seam: flux-system/object-storage, five keys."""

SOVEREIGN_LABEL: Final = "catalyst.openova.io/sovereign"
"""The estate's label on namespaces; its value is the Sovereign's FQDN."""


FIELD_MANAGER: Final = {"pulumi.com/patchFieldManager": "sovereign-harbor"}
"""Annotation of every object that this program writes itself. By default each create invents a
field manager, and an object whose creation was interrupted conflicts with its own second try."""


def taken_over(import_id: str | None) -> dict[str, str]:
    """Annotations of an object that this program writes, and may have taken over.

    By them it takes the fields that it sets from whoever set them to something else.
    """
    return (
        FIELD_MANAGER if import_id is None else {**FIELD_MANAGER, "pulumi.com/patchForce": "true"}
    )


def labels(fqdn: str, component: str) -> dict[str, str]:
    """The labels of every object this program writes itself."""
    return {
        "app.kubernetes.io/part-of": "sovereign-harbor",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "pulumi",
        SOVEREIGN_LABEL: fqdn,
    }
