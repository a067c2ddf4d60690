"""Kinds of registries, by Harbor's own names for its adapters, and how each was seen to behave."""

from __future__ import annotations

ADAPTERS = (
    "ali-acr",
    "aws-ecr",
    "azure-acr",
    "docker-hub",
    "docker-registry",
    "github-ghcr",
    "google-gcr",
    "harbor",
    "huawei-SWR",
    "jfrog-artifactory",
    "tencent-tcr",
    "volcengine-cr",
)
"""What GET /replication/adapters lists."""

UNLISTED = ("quay", "dtr")
"""Accepted all the same."""

PROXY_CACHES = (
    "docker-hub",
    "harbor",
    "azure-acr",
    "aws-ecr",
    "ali-acr",
    "google-gcr",
    "docker-registry",
    "github-ghcr",
    "jfrog-artifactory",
)
"""Those over which a proxy cache may be made."""

PANICS_WITHOUT_CREDENTIAL = ("dtr", "tencent-tcr")
UNHEALTHY_WITHOUT_CREDENTIAL = ("google-gcr",)

IN_THE_ADDRESS = {
    "aws-ecr": ".amazonaws.",
    "ali-acr": ".aliyuncs.",
    "volcengine-cr": ".volces.",
}
"""Adapters that check the form of the address: what must be in it (an approximation)."""

FIXED_ADDRESS = {"docker-hub": "https://hub.docker.com"}
"""Adapters that ask one address, whatever address is given."""
