"""Names, labels and annotations that more than one component uses. Pure."""

from __future__ import annotations

from typing import Final

SEAM_NAMESPACE: Final = "flux-system"
SEAM_SECRET: Final = "object-storage"
"""The estate's seam: by this Secret other programs find the bucket (object_storage/seam.py)."""

SOVEREIGN_LABEL: Final = "catalyst.openova.io/sovereign"
"""The estate's label on namespaces; its value is the Sovereign's FQDN."""

ROUTE: Final = "harbor-route"
"""Name of the HTTPRoute that the chart makes for the release `harbor`."""

DATABASE_CLUSTER: Final = "harbor-pg"
"""Name of the Cluster of a dedicated database; its pods are named after it."""

REGISTRY_CERTIFICATE: Final = "harbor-registry"
"""Name of the registry's Certificate, where cert-manager makes one."""

RECORDED_METRICS: Final = "harbor-recorded-metrics"
"""ConfigMap in which commands record metrics, and the pod that serves them."""

HARBOR_PODS: Final = {"app": "harbor", "release": "harbor"}
"""Labels that the chart gives all objects and pods of the release `harbor`; its Services and
Deployments select by them, so they cannot change."""

RECORDED_METRICS_SERVER: Final = f"{RECORDED_METRICS}-server"
"""ConfigMap of the web server that serves them."""

ALERTS: Final = "harbor"
"""PrometheusRule with the alerts."""

DASHBOARD: Final = "harbor-dashboard"
"""ConfigMap with Grafana's dashboard."""

PART_OF: Final = ("app.kubernetes.io/part-of", "sovereign-harbor")
"""Label of every object that this program writes; a namespace with it is the program's own."""


VELERO_EXCLUDES: Final = {"velero.io/exclude-from-backup": "true"}
"""Label of what Velero leaves out of its backups."""

FIELD_MANAGER: Final = {"pulumi.com/patchFieldManager": "sovereign-harbor"}
"""Annotation of every object that this program writes itself. By default each creation gets a field
manager of a random name, and the second try of an interrupted creation conflicts with the first."""


def adopting(adopted_id: str | None) -> dict[str, str]:
    """Annotations of an object that this program writes; `adopted_id`: its ID if it is adopted.

    An adopted object has fields that somebody else set. The annotations let this program set those
    that it declares, whoever owns them.
    """
    return (
        FIELD_MANAGER if adopted_id is None else {**FIELD_MANAGER, "pulumi.com/patchForce": "true"}
    )


def labels(fqdn: str, component: str) -> dict[str, str]:
    """The labels of every object this program writes itself."""
    return {
        PART_OF[0]: PART_OF[1],
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "pulumi",
        SOVEREIGN_LABEL: fqdn,
    }
