"""Values of Harbor's chart (components/harbor_lines.py), from typed inputs. Pure: no secret.

Every secret is a reference to a Secret by name. Whatever the chart would make up at random is
given, so two renders of the same input are the same bytes (goharbor/harbor-helm #2263, #2139).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.harbor_inputs import (
    REGISTRY_USER,
    URL_PASSWORD_KEY,
    VALKEY_PASSWORD_KEY,
    Cache,
    Database,
    Gateway,
    Ingress,
    RemoteStorage,
    SecretNames,
    VolumeStorage,
)
from components.images import chart_image, java_scanner_repositories, scanner_repositories
from components.kubernetes.quantities import requests_and_limits
from components.kubernetes.spread import spread
from components.settings.harbor import IpFamily
from components.settings.model import Settings, update_strategy

VALKEY_SECRET_ANNOTATION: Final = "sovereign-harbor/valkey-secret"
"""Tells the post-renderer which Secret Trivy's pods read."""

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class HarborValues:
    """All that decides the chart's values: the stack's settings and the parts Harbor stands on."""

    settings: Settings
    storage: RemoteStorage | VolumeStorage
    database: Database
    cache: Cache
    secrets: SecretNames
    exposure: Gateway | Ingress


def harbor_values(spec: HarborValues, *, revisions: Mapping[str, Any] | None = None) -> Values:
    """The values. `revisions`: component → revision of the Secrets it reads (may be an Output).

    A pod that reads a Secret by reference does not restart when its content changes (the chart has
    no checksum of it), so the revision is written into the pod's annotations.
    """
    annotate = {c: {"sovereign-harbor/secrets": r} for c, r in (revisions or {}).items()}
    settings, harbor = spec.settings, spec.settings.harbor
    replicas = harbor.replicas.model_dump()
    resources = {
        name: requests_and_limits(each["cpu"], each["memory"])
        for name, each in harbor.resources.model_dump().items()
    }

    def component(name: str) -> Values:
        values: Values = {
            "replicas": replicas[name],
            "nodeSelector": dict(harbor.node_selector),
            "tolerations": [t.model_dump(exclude_none=True) for t in harbor.tolerations],
            "podAnnotations": annotate.get(name, {}),
        }
        if name != "registry":  # two containers: resources and images stand one level deeper
            values["resources"] = resources[name]
            values |= chart_image(settings, f"{name}.image")
        values |= _non_default(priorityClassName=(harbor.priority_class, None))
        if replicas[name] > 1 and harbor.spread_over:
            # The chart adds the labelSelector.
            values["topologySpreadConstraints"] = spread(harbor.spread_over)
        return values

    return {
        "externalURL": settings.registry_address.url,
        "logLevel": harbor.log_level,
        "updateStrategy": {"type": update_strategy(settings)},
        "expose": _expose(spec),
        **_non_default(
            ipFamily=(_ip_family(harbor.ip_family), _ip_family(IpFamily())),
            caBundleSecretName=(_own_authority(spec), None),
        ),
        "persistence": _persistence(spec),
        "database": _database(spec.database),
        "redis": _redis(spec.cache),
        "existingSecretAdminPassword": spec.secrets.admin_password,
        "existingSecretAdminPasswordKey": "HARBOR_ADMIN_PASSWORD",
        "existingSecretSecretKey": spec.secrets.secret_key,
        "core": {
            **component("core"),
            "existingSecret": spec.secrets.core_secret,
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
            "existingSecret": spec.secrets.jobservice_secret,
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
            "existingSecret": spec.secrets.registry_http_secret,
            "existingSecretKey": "REGISTRY_HTTP_SECRET",
            "credentials": {
                "username": REGISTRY_USER,
                "existingSecret": spec.secrets.registry_user,
            },
            "registry": {
                **chart_image(settings, "registry.registry.image"),
                "resources": resources["registry"],
                "extraEnvVars": _registry_login(spec.cache),
            },
            "controller": {
                **chart_image(settings, "registry.controller.image"),
                "resources": resources["registryctl"],
                "extraEnvVars": _registry_login(spec.cache),
            },
        },
        "trivy": {
            **_trivy(settings),
            **component("trivy"),
            "resources": _beyond_the_charts_limit(resources["trivy"]),
            "podAnnotations": {
                **annotate.get("trivy", {}),
                VALKEY_SECRET_ANNOTATION: spec.cache.secret_name,
            },
        },
        "metrics": {
            "enabled": settings.metrics.enabled,
            "serviceMonitor": {
                "enabled": settings.metrics.service_monitor,
                **_non_default(additionalLabels=(settings.monitoring.object_labels, {})),
            },
        },
        "exporter": {
            **component("exporter"),
            "extraEnvVars": _with_valkey_password(
                spec.cache, HARBOR_REDIS_URL=_url(spec.cache, spec.cache.jobservice_index)
            ),
        },
    }


def _ip_family(family: IpFamily) -> Values:
    return {
        "ipv4": {"enabled": family.ipv4},
        "ipv6": {"enabled": family.ipv6},
        **_non_default(policy=(family.policy, None), families=(list(family.families), [])),
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
                "hosts": {"core": spec.settings.registry_address.host},
                **_non_default(controller=(spec.exposure.controller, "default")),
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
            "hosts": [spec.settings.registry_address.host],
            **_non_default(
                labels=(dict(spec.exposure.labels), {}),
                annotations=(dict(spec.exposure.annotations), {}),
            ),
        },
    }


def _non_default(**values: tuple[Any, Any]) -> Values:
    """Values that differ from the chart's defaults, by key: (value, default).

    Existing releases have no others, and a key more would be an update of each of them.
    """
    return {key: value for key, (value, default) in values.items() if value != default}


def _trivy(settings: Settings) -> Values:
    trivy = settings.trivy
    values: Values = {
        "enabled": trivy.enabled,
        "severity": ",".join(trivy.severity),
        "vulnType": ",".join(trivy.vuln_types),
        "ignoreUnfixed": trivy.ignore_unfixed,
        "timeout": trivy.timeout,
        # All three: offlineScan alone still downloads both databases.
        "skipUpdate": trivy.offline,
        "skipJavaDBUpdate": trivy.offline,
        "offlineScan": trivy.offline,
    }
    if trivy.db_repositories:
        values["dbRepository"] = list(scanner_repositories(settings))
    if trivy.java_db_repositories:
        values["javaDBRepository"] = list(java_scanner_repositories(settings))
    return values


def _beyond_the_charts_limit(resources: Mapping[str, Mapping[str, str]]) -> Values:
    # The chart limits Trivy alone to one processor. What a chart sets can be replaced, not removed
    # (the Kubernetes provider drops nulls), and Kubernetes refuses a request above its limit.
    cpu = resources["requests"]["cpu"]
    cores = float(cpu.removesuffix("m")) / (1000 if cpu.endswith("m") else 1)
    return {**resources, "limits": {**resources["limits"], "cpu": cpu if cores > 1 else "1"}}


def _persistence(spec: HarborValues) -> Values:
    claims: Values = {
        "trivy": _claim(spec.settings.trivy.storage_size, spec.settings.harbor.storage_class)
    }
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
        "persistentVolumeClaim": claims,
        "imageChartStorage": store,
    }


def _claim(size: str, storage_class: str | None) -> Values:
    default = storage_class is None
    return {"size": size} if default else {"size": size, "storageClass": storage_class}


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


def _own_authority(spec: HarborValues) -> str | None:
    """Secret with the authority of the cache or of the database: the chart has one value for both.

    With it, core, jobservice and exporter add the authority to the public ones, as the database's
    driver without sslrootcert reads them. settings/cross/database.py refuses two authorities.
    """
    if spec.cache.trusts_own_ca:
        return spec.cache.secret_name
    return spec.database.ca_bundle_secret


def _redis(cache: Cache) -> Values:
    # No `existingSecret` here: the chart would look it up while rendering and write the password
    # into four ConfigMaps (harbor-helm #1803). The pods get it by environment instead.
    return {
        "type": "external",
        "external": {
            # Without brackets, which would begin a list: the chart writes it unquoted into the
            # registry's YAML. Every pod has the address by its environment.
            "addr": f"{cache.host}:{cache.port}",
            **_non_default(tlsOptions=({"enable": cache.tls}, {"enable": False})),
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
    return f"{cache.url(index, '$(VALKEY_PASSWORD)')}{suffix}"


def _valkey_secret(variable: str, cache: Cache, key: str = VALKEY_PASSWORD_KEY) -> Values:
    reference = {"name": cache.secret_name, "key": key}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def _registry_login(cache: Cache) -> list[Values]:
    password = _valkey_secret("REGISTRY_REDIS_PASSWORD", cache)
    more = {
        "REGISTRY_REDIS_USERNAME": cache.username,
        "REGISTRY_REDIS_ADDR": cache.address if ":" in cache.host else "",
    }
    return [password, *({"name": name, "value": value} for name, value in more.items() if value)]


def _with_valkey_password(cache: Cache, **urls: str) -> list[Values]:
    plain = [{"name": name, "value": url} for name, url in urls.items()]
    return [_valkey_secret("VALKEY_PASSWORD", cache, URL_PASSWORD_KEY), *plain]
