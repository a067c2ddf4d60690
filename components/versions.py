"""Every version this program installs or was built against, pinned once."""

from __future__ import annotations

from typing import Final

HARBOR_CHART: Final = "1.18.3"
"""Version of the chart goharbor/harbor-helm of a stack that names none. It decides the version of
Harbor, so raising it upgrades every such Sovereign: docs/decisions/0017-upgrades.md."""

# renovate: datasource=helm depName=harbor registryUrl=https://helm.goharbor.io
NEWEST_HARBOR_CHART: Final = "1.19.1"
"""Version of the chart that is written into the file of a new Sovereign. components/harbor_lines.py
says what is known of it."""

# renovate: datasource=docker depName=docker.io/valkey/valkey
VALKEY_IMAGE: Final = (
    "docker.io/valkey/valkey:8.1.5"
    "@sha256:e51a82741b780e4bf315db10753edf07eea6496d405fa7df2a8677a18f5e7464"
)
"""The official image, amd64 and arm64. 8.1.4 closed CVE-2025-49844."""

# renovate: datasource=docker depName=ghcr.io/cloudnative-pg/postgresql
POSTGRES_IMAGE: Final = "ghcr.io/cloudnative-pg/postgresql:17.6-standard-bookworm"

# renovate: datasource=docker depName=docker.io/goharbor/harbor-portal
RECORDED_METRICS_IMAGE: Final = "docker.io/goharbor/harbor-portal:v2.14.3"
"""Whose nginx serves the recorded metrics (components/monitoring/recorded.py). Any version does."""

# renovate: datasource=docker depName=ghcr.io/cloudnative-pg/cloudnative-pg
POSTGRES_OPERATOR_IMAGE: Final = "ghcr.io/cloudnative-pg/cloudnative-pg:1.30.0"
"""The operator's own image, an init container of each database pod. The estate installs the
operator, so another version may run."""

# renovate: datasource=docker depName=ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar
BACKUP_SIDECAR_IMAGE: Final = "ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar:v0.14.0"
"""The container that the operator's backup plugin adds to database pods. As for the operator,
another version may run."""
