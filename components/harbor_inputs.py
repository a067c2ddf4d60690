"""What the values of Harbor's chart say about storage, database, cache, Secrets and exposure.

Pure, and imports nothing of the project: the components that make those parts and the builder of
the values both import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

RELEASE: Final = "harbor"
"""Name of the release. It contains "harbor", so the chart names its objects by it alone."""

MINTED_SECRET_KEY: Final = "harbor-minted-secret-key"
"""Secret with the AES key of the credentials in Harbor's database. A release whose values name this
Secret is one of this program's."""

GIVEN_SECRET_KEY: Final = "harbor-given-secret-key"
"""Secret with the same key, where an adopted Harbor brought it along. The Secret's name tells that
the stack must be given the key, since it is not minted anew."""

REGISTRY_USER: Final = "harbor_registry_user"
"""Name in the registry's htpasswd line; the chart takes it from values only (harbor-helm #1830)."""

VALKEY_PASSWORD_KEY: Final = "REDIS_PASSWORD"
URL_PASSWORD_KEY: Final = "urlPassword"
CA_KEY: Final = "ca.crt"
"""The key that Harbor's chart reads of the Secret `caBundleSecretName`."""


@dataclass(frozen=True, kw_only=True)
class RemoteStorage:
    """Blobs outside the cluster. `driver`: the registry's name for it, s3 for one.

    `options`: the chart's values of that driver, references to Secrets among them.
    """

    driver: str
    options: Mapping[str, Any]
    redirect: bool = False
    """Send clients to the store by 307. Off: the registry passes blobs through, and clients,
    scanner and network policies have to do with one host only (harbor #23050, #15542)."""
    ca_bundle_secret: str | None = None
    service_account: str | None = None
    """ServiceAccount of the registry's pods, if they get access by it instead of by a key."""


@dataclass(frozen=True, kw_only=True)
class VolumeStorage:
    """Blobs in a PersistentVolumeClaim, kept on uninstall."""

    size: str
    storage_class: str | None = None
    access_mode: str = "ReadWriteOnce"


@dataclass(frozen=True, kw_only=True)
class Database:
    """PostgreSQL as Harbor reaches it; `secret_name` has the key `password`."""

    host: str
    port: int
    name: str
    username: str
    sslmode: str
    secret_name: str
    max_open_connections: int
    """Per pod of core, jobservice and exporter: each opens a pool of its own."""
    ca_bundle_secret: str | None = None
    """Secret with the key `ca.crt`: the authority that signed the server's certificate, which every
    pod of Harbor then trusts. None for a public authority, or where nobody checks."""


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Valkey as Harbor reaches it; `secret_name` has the keys of `cache_secret`."""

    host: str
    port: int
    secret_name: str
    core_index: int = 0
    jobservice_index: int = 1
    registry_index: int = 2
    trivy_index: int = 5
    harbor_index: int = 6
    cache_index: int = 7
    username: str = ""
    """User that logs in; empty for the server's default one."""
    tls: bool = False
    trusts_own_ca: bool = False
    """Whether the Secret has the authority of the server's certificate, under the key CA_KEY."""

    @property
    def address(self) -> str:
        """host:port; an IPv6 address in brackets, as URLs need it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self, index: int, password: str) -> str:
        """URL of a database; `password` is escaped already, or a variable of the pod."""
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{quote(self.username, safe='')}:{password}@{self.address}/{index}"


@dataclass(frozen=True, kw_only=True)
class SecretNames:
    """Names of the Secrets that pin what the chart would invent or default, one for each credential
    of components/credentials.py that Harbor reads from a Secret of its own, under its name."""

    admin_password: str
    secret_key: str
    core_secret: str
    csrf_key: str
    token_certificate: str
    jobservice_secret: str
    registry_http_secret: str
    registry_user: str


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """HTTPRoute through Gateway API; TLS ends at the gateway."""

    parent_refs: tuple[Mapping[str, str], ...]
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """Ingress of a controller that ends TLS with the certificate in `tls_secret`."""

    class_name: str
    tls_secret: str
    annotations: Mapping[str, str]
    controller: str = "default"


def cache_secret(cache: Cache, password: str, escaped: str | None = None) -> dict[str, str]:
    """Data of the cache's Secret: the password, the password escaped for URLs, and Trivy's URL.

    `escaped`: where both are templates that a store's operator fills in.

    The password of a shared cache may contain any character (harbor #20638). The chart cannot put a
    variable into the URL for Trivy's pod, so Trivy gets a whole one.
    """
    escaped = quote(password, safe="") if escaped is None else escaped
    return {
        VALKEY_PASSWORD_KEY: password,
        URL_PASSWORD_KEY: escaped,
        "trivyRedisUrl": cache.url(cache.trivy_index, escaped),
    }
