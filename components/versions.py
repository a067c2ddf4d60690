"""Every version this program installs or was built against, pinned once."""

from __future__ import annotations

from typing import Final

# renovate: datasource=helm depName=harbor registryUrl=https://helm.goharbor.io
HARBOR_CHART: Final = "1.18.3"
"""Version of the chart goharbor/harbor-helm, which decides the version of Harbor."""

# renovate: datasource=docker depName=docker.io/valkey/valkey
VALKEY_IMAGE: Final = (
    "docker.io/valkey/valkey:8.1.5"
    "@sha256:e51a82741b780e4bf315db10753edf07eea6496d405fa7df2a8677a18f5e7464"
)
"""The official image, amd64 and arm64. 8.1.4 closed CVE-2025-49844."""

# renovate: datasource=docker depName=ghcr.io/cloudnative-pg/postgresql
POSTGRES_IMAGE: Final = "ghcr.io/cloudnative-pg/postgresql:17.6-standard-bookworm"

# renovate: datasource=docker depName=ghcr.io/cloudnative-pg/cloudnative-pg
POSTGRES_OPERATOR_IMAGE: Final = "ghcr.io/cloudnative-pg/cloudnative-pg:1.30.0"
"""The operator's own image, an init container of each database pod. The estate installs the
operator, so another version may run."""

# renovate: datasource=docker depName=ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar
BACKUP_SIDECAR_IMAGE: Final = "ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar:v0.14.0"
"""The container that the operator's backup plugin adds to database pods. As for the operator,
another version may run."""
