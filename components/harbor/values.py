"""Values of Harbor's chart 1.18.3, from typed inputs. Pure: no pulumi, no I/O, no secret.

Every secret is a reference to a Secret by name. Whatever the chart would make up at random is
given, so two renders of the same input are the same bytes (goharbor/harbor-helm #2263, #2139).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

RELEASE: Final = "harbor"
"""Release name; since it contains "harbor" the chart prefixes its objects with it alone."""

MINTED_SECRET_KEY: Final = "harbor-minted-secret-key"
"""Secret with the AES key of the stored credentials; its name marks a release of ours."""

GIVEN_SECRET_KEY: Final = "harbor-given-secret-key"
"""The same for a key that was not minted here: it came with a Harbor that was taken over. By the
name of the Secret that Harbor reads it is known which stack must be given its key."""

REGISTRY_USER: Final = "harbor_registry_user"
"""Name in the registry's htpasswd line; the chart takes it from values only (harbor-helm #1830)."""

VALKEY_PASSWORD_KEY: Final = "REDIS_PASSWORD"
URL_PASSWORD_KEY: Final = "urlPassword"
DATABASE_PASSWORD_KEY: Final = "password"

VALKEY_SECRET_ANNOTATION: Final = "sovereign-harbor/valkey-secret"
"""Tells the post-renderer which Secret Trivy's pods read."""

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RemoteStorage:
    """Blobs outside the cluster. `driver`: the registry's name for it, s3 for one.

    `options`: the chart's values of that driver, references to Secrets among them.
    """

    driver: str
    options: Mapping[str, Any]
    redirect: bool = False
    """Send clients to the store by 307. Off: the registry passes blobs through, so that clients,
    scanner and network policies need to know one host only (harbor #23050, #15542)."""
    ca_bundle_secret: str | None = None
    service_account: str | None = None
    """ServiceAccount of the registry's pods, where it stands for a key."""


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


@dataclass(frozen=True, kw_only=True)
class SecretNames:
    """Names of the Secrets that pin what the chart would invent or default."""

    admin_password: str
    secret_key: str
    core: str
    csrf_key: str
    token_certificate: str
    jobservice: str
    registry_http: str
    registry_user: str


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where Harbor's pods run. Default: amd64, as Harbor 2.14 has no arm64 images (#22491)."""

    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """HTTPRoute through Gateway API; TLS ends at the gateway."""

    parent_refs: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """Ingress of a controller that ends TLS with the certificate in `tls_secret`."""

    class_name: str
    tls_secret: str
    annotations: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """Trivy. `offline`: its databases are brought to its volume by hand."""

    enabled: bool = True
    severities: tuple[str, ...] = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
    vulnerability_types: tuple[str, ...] = ("os", "library")
    ignore_unfixed: bool = False
    offline: bool = False
    database_repositories: tuple[str, ...] = ()
    java_database_repositories: tuple[str, ...] = ()
    """Empty: the chart's own."""
    timeout: str = "5m0s"
    storage_size: str | None = None


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Figures on port 8001, and whether the Prometheus operator is told of them."""

    enabled: bool = False
    service_monitor: bool = False


@dataclass(frozen=True, kw_only=True)
class HarborValues:
    """All that decides the chart's values."""

    registry_fqdn: str
    storage: RemoteStorage | VolumeStorage
    database: Database
    cache: Cache
    secrets: SecretNames
    exposure: Gateway | Ingress
    placement: Placement
    replicas: Mapping[str, int]
    resources: Mapping[str, Mapping[str, Mapping[str, str]]]
    log_level: str = "info"
    storage_class: str | None = None
    update_strategy: str = "RollingUpdate"
    scanner: Scanner = Scanner()
    metrics: Metrics = Metrics()


def harbor_values(spec: HarborValues, *, revisions: Mapping[str, Any] | None = None) -> Values:
    """The values. `revisions`: component → revision of the Secrets it reads (may be an Output).

    A pod that reads a Secret by reference does not notice a new content (the chart has no checksum
    for it), so the revision stands in the pod's annotations.
    """
    annotate = {c: {"sovereign-harbor/secrets": r} for c, r in (revisions or {}).items()}

    def component(name: str) -> Values:
        values: Values = {
            "replicas": spec.replicas[name],
            "nodeSelector": dict(spec.placement.node_selector),
            "tolerations": [dict(t) for t in spec.placement.tolerations],
            "podAnnotations": annotate.get(name, {}),
        }
        if name != "registry":  # two containers: resources stand one level deeper
            values["resources"] = spec.resources[name]
        if spec.replicas[name] > 1:
            values["topologySpreadConstraints"] = [
                {  # the chart adds the labelSelector
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                }
            ]
        return values

    return {
        "externalURL": f"https://{spec.registry_fqdn}",
        "logLevel": spec.log_level,
        "updateStrategy": {"type": spec.update_strategy},
        "expose": _expose(spec),
        "persistence": _persistence(spec),
        "database": _database(spec.database),
        "redis": _redis(spec.cache),
        "existingSecretAdminPassword": spec.secrets.admin_password,
        "existingSecretAdminPasswordKey": "HARBOR_ADMIN_PASSWORD",
        "existingSecretSecretKey": spec.secrets.secret_key,
        "core": {
            **component("core"),
            "existingSecret": spec.secrets.core,
            "secretName": spec.secrets.token_certificate,
            "existingXsrfSecret": spec.secrets.csrf_key,
            "existingXsrfSecretKey": "CSRF_KEY",
            "extraEnvVars": _with_valkey_password(
                spec.cache,
                _REDIS_URL_CORE=_url(spec.cache, spec.cache.core_index, idle=True),
                _REDIS_URL_REG=_url(spec.cache, spec.cache.registry_index, idle=True),
                _REDIS_URL_HARBOR=_url(spec.cache, spec.cache.harbor_index, idle=True),
                _REDIS_URL_CACHE_LAYER=_url(spec.cache, spec.cache.cache_index, idle=True),
            ),
        },
        "jobservice": {
            **component("jobservice"),
            # In the database: a job log volume is ReadWriteOnce and hangs rolling updates
            # (harbor-helm #2288).
            "jobLoggers": ["database"],
            "existingSecret": spec.secrets.jobservice,
            "existingSecretKey": "JOBSERVICE_SECRET",
            "extraEnvVars": _with_valkey_password(
                spec.cache,
                JOB_SERVICE_POOL_REDIS_URL=_url(spec.cache, spec.cache.jobservice_index),
                _REDIS_URL_CORE=_url(spec.cache, spec.cache.core_index, idle=True),
                _REDIS_URL_CACHE_LAYER=_url(spec.cache, spec.cache.cache_index, idle=True),
            ),
        },
        "portal": component("portal"),
        "registry": {
            **component("registry"),
            **_identity(spec.storage),
            "existingSecret": spec.secrets.registry_http,
            "existingSecretKey": "REGISTRY_HTTP_SECRET",
            "credentials": {
                "username": REGISTRY_USER,
                "existingSecret": spec.secrets.registry_user,
            },
            "registry": {
                "resources": spec.resources["registry"],
                "extraEnvVars": [_valkey_secret("REGISTRY_REDIS_PASSWORD", spec.cache)],
            },
            "controller": {
                "resources": spec.resources["registryctl"],
                "extraEnvVars": [_valkey_secret("REGISTRY_REDIS_PASSWORD", spec.cache)],
            },
        },
        "trivy": {
            **_trivy(spec.scanner),
            **component("trivy"),
            "resources": _beyond_the_charts_limit(spec.resources["trivy"]),
            "podAnnotations": {
                **annotate.get("trivy", {}),
                VALKEY_SECRET_ANNOTATION: spec.cache.secret_name,
            },
        },
        "metrics": {
            "enabled": spec.metrics.enabled,
            "serviceMonitor": {"enabled": spec.metrics.service_monitor},
        },
        "exporter": {
            **component("exporter"),
            "extraEnvVars": _with_valkey_password(
                spec.cache, HARBOR_REDIS_URL=_url(spec.cache, spec.cache.jobservice_index)
            ),
        },
    }


def _expose(spec: HarborValues) -> Values:
    if isinstance(spec.exposure, Ingress):
        return {
            "type": "ingress",
            "tls": {
                "enabled": True,
                "certSource": "secret",
                "secret": {"secretName": spec.exposure.tls_secret},
            },
            "ingress": {
                "hosts": {"core": spec.registry_fqdn},
                "className": spec.exposure.class_name,
                "annotations": dict(spec.exposure.annotations),
            },
        }
    return {
        "type": "route",
        # The gateway ends TLS. With `enabled` core would mount a Secret that no template of type
        # route renders, and never start.
        "tls": {"enabled": False},
        "route": {
            "parentRefs": [dict(ref) for ref in spec.exposure.parent_refs],
            "hosts": [spec.registry_fqdn],
        },
    }


def _trivy(scanner: Scanner) -> Values:
    values: Values = {
        "enabled": scanner.enabled,
        "severity": ",".join(scanner.severities),
        "vulnType": ",".join(scanner.vulnerability_types),
        "ignoreUnfixed": scanner.ignore_unfixed,
        "timeout": scanner.timeout,
        # All three: offlineScan alone still downloads both databases.
        "skipUpdate": scanner.offline,
        "skipJavaDBUpdate": scanner.offline,
        "offlineScan": scanner.offline,
    }
    if scanner.database_repositories:
        values["dbRepository"] = list(scanner.database_repositories)
    if scanner.java_database_repositories:
        values["javaDBRepository"] = list(scanner.java_database_repositories)
    return values


def _beyond_the_charts_limit(resources: Mapping[str, Mapping[str, str]]) -> Values:
    # The chart limits Trivy alone to one processor. What a chart sets can be replaced, not removed
    # (the Kubernetes provider drops nulls), and Kubernetes refuses a request above its limit.
    cpu = resources["requests"]["cpu"]
    cores = float(cpu.removesuffix("m")) / (1000 if cpu.endswith("m") else 1)
    return {**resources, "limits": {**resources["limits"], "cpu": cpu if cores > 1 else "1"}}


def _persistence(spec: HarborValues) -> Values:
    claims: Values = {"trivy": _claim(spec.scanner.storage_size, spec.storage_class)}
    if isinstance(spec.storage, VolumeStorage):
        claims["registry"] = {
            **_claim(spec.storage.size, spec.storage.storage_class),
            "accessMode": spec.storage.access_mode,
        }
        store: Values = {"type": "filesystem"}
    else:
        store = _remote(spec.storage)
    return {
        "enabled": True,
        "resourcePolicy": "keep",
        "persistentVolumeClaim": {name: claim for name, claim in claims.items() if claim},
        "imageChartStorage": store,
    }


def _claim(size: str | None, storage_class: str | None) -> Values:
    wanted = {"size": size, "storageClass": storage_class}
    return {key: value for key, value in wanted.items() if value is not None}


def _remote(storage: RemoteStorage) -> Values:
    store: Values = {
        "type": storage.driver,
        # All lower case: the chart ignores `disableRedirect` without a word.
        "disableredirect": not storage.redirect,
        storage.driver: dict(storage.options),
    }
    if storage.ca_bundle_secret is not None:
        store["caBundleSecretName"] = storage.ca_bundle_secret
    return store


def _identity(storage: RemoteStorage | VolumeStorage) -> Values:
    if isinstance(storage, VolumeStorage) or storage.service_account is None:
        return {}
    return {"serviceAccountName": storage.service_account, "automountServiceAccountToken": True}


def _database(database: Database) -> Values:
    return {
        "type": "external",
        "maxOpenConns": database.max_open_connections,
        "maxIdleConns": min(10, database.max_open_connections),
        "external": {
            "host": database.host,
            "port": str(database.port),
            "username": database.username,
            "coreDatabase": database.name,
            "sslmode": database.sslmode,
            "existingSecret": database.secret_name,
        },
    }


def _redis(cache: Cache) -> Values:
    # No `existingSecret` here: the chart would look it up while rendering and write the password
    # into four ConfigMaps (harbor-helm #1803). The pods get it by environment instead.
    return {
        "type": "external",
        "external": {
            "addr": f"{cache.host}:{cache.port}",
            "coreDatabaseIndex": str(cache.core_index),
            "jobserviceDatabaseIndex": str(cache.jobservice_index),
            "registryDatabaseIndex": str(cache.registry_index),
            "trivyAdapterIndex": str(cache.trivy_index),
            "harborDatabaseIndex": str(cache.harbor_index),
            "cacheLayerDatabaseIndex": str(cache.cache_index),
        },
    }


def _url(cache: Cache, index: int, *, idle: bool = False) -> str:
    # $(VALKEY_PASSWORD) is put in by the kubelet, from the variable defined before it.
    suffix = "?idle_timeout_seconds=30" if idle else ""
    return f"redis://:$(VALKEY_PASSWORD)@{cache.host}:{cache.port}/{index}{suffix}"


def cache_secret(cache: Cache, password: str) -> dict[str, str]:
    """What the Secret of the cache holds: the password as it is, escaped for URLs, and Trivy's URL.

    Somebody else's password may hold any character (harbor #20638). Trivy's pod has no variable
    that could be put into a URL, so it gets a whole one.
    """
    escaped = quote(password, safe="")
    return {
        VALKEY_PASSWORD_KEY: password,
        URL_PASSWORD_KEY: escaped,
        "trivyRedisUrl": f"redis://:{escaped}@{cache.host}:{cache.port}/{cache.trivy_index}",
    }


def _valkey_secret(variable: str, cache: Cache, key: str = VALKEY_PASSWORD_KEY) -> Values:
    reference = {"name": cache.secret_name, "key": key}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def _with_valkey_password(cache: Cache, **urls: str) -> list[Values]:
    plain = [{"name": name, "value": url} for name, url in urls.items()]
    return [_valkey_secret("VALKEY_PASSWORD", cache, URL_PASSWORD_KEY), *plain]
