"""The stand-in Harbor chart does what the sandbox, and the real chart's users, rely on.

Two halves. The first needs only helm and checks behaviour. The second, the parity test, needs the
real chart too, and compares the two object by object:

    TEST_HARBOR_CHART=/path/to/harbor-helm-1.18.3 pytest tests/render/test_stand_in_chart.py
"""

from __future__ import annotations

import base64
import configparser
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import rendering
from tests.support.rendering import (
    REAL,
    STAND_IN,
    Object,
    Objects,
    Values,
    containers,
    helm_template,
    merged,
    names,
    needs,
    parsed,
    registry_config,
    secret_text,
)

pytestmark = needs("helm")


def rendered(values: Values | None = None, chart: str | Path = STAND_IN) -> str:
    return rendering.rendered(values, chart)


def objects(values: Values | None = None, chart: str | Path = STAND_IN) -> Objects:
    return parsed(rendered(values, chart))


def refusal(values: Values) -> str:
    run = helm_template(STAND_IN, values)
    assert run.returncode != 0, "this should have been refused"
    return run.stderr


# --------------------------------------------------------------------------------------------------
# Values

EXTERNAL_DATABASE: Values = {
    "database": {"type": "external", "external": {"host": "pg-rw", "existingSecret": "pg-app"}}
}
BEHIND_GATEWAY: Values = {
    "externalURL": "https://registry.example.org",
    "expose": {
        "type": "route",
        "tls": {"enabled": False},
        "route": {
            "parentRefs": [{"name": "gw", "namespace": "kube-system", "sectionName": "https"}],
            "hosts": ["registry.example.org"],
        },
    },
}
S3: Values = {
    "persistence": {
        "imageChartStorage": {
            "type": "s3",
            "disableredirect": True,
            "s3": {
                "existingSecret": "harbor-s3",
                "region": "fsn1",
                "bucket": "registry",
                "regionendpoint": "https://s3.example.org",
                "secure": True,
                "v4auth": True,
                "rootdirectory": "/harbor",
                "chunksize": "67108864",
                "multipartcopychunksize": "33554432",
                "multipartcopymaxconcurrency": "16",
                "multipartcopythresholdsize": "33554432",
                "storageclass": "STANDARD",
            },
        }
    }
}
PINNED: Values = {
    "existingSecretAdminPassword": "harbor-admin",
    "existingSecretSecretKey": "harbor-key",
    "core": {
        "existingSecret": "harbor-core-own",
        "secretName": "harbor-token",
        "existingXsrfSecret": "harbor-xsrf",
    },
    "jobservice": {"existingSecret": "harbor-job-own", "jobLoggers": ["database"]},
    "registry": {
        "existingSecret": "harbor-registry-own",
        "credentials": {"existingSecret": "harbor-registry-login"},
    },
    "redis": {
        "type": "external",
        "external": {"addr": "valkey-primary.valkey:6379", "password": "0abc/d?e"},
    },
}
ALL_PINNED = merged(EXTERNAL_DATABASE, BEHIND_GATEWAY, S3, PINNED)

OWN_SECRETS = {
    "harbor-core",
    "harbor-jobservice",
    "harbor-registry",
    "harbor-registry-htpasswd",
    "harbor-registryctl",
}


# --------------------------------------------------------------------------------------------------
# Behaviour


def test_default_render_is_the_real_charts_default():
    rendering = objects()
    assert names(rendering, "Deployment") == {
        f"harbor-{part}" for part in ("core", "jobservice", "portal", "registry")
    }
    assert names(rendering, "StatefulSet") == {
        f"harbor-{x}" for x in ("database", "redis", "trivy")
    }
    assert names(rendering, "PersistentVolumeClaim") == {"harbor-jobservice", "harbor-registry"}
    assert names(rendering, "Secret") == OWN_SECRETS | {
        "harbor-database",
        "harbor-trivy",
        "harbor-ingress",
    }
    for _, one in containers(rendering):
        assert re.fullmatch(r"goharbor/[a-z-]+:v2\.14\.3", one["image"])
        assert one["securityContext"]["runAsNonRoot"] is True
        assert one["securityContext"]["allowPrivilegeEscalation"] is False


def test_external_database_leaves_five_secrets_of_harbors_own():
    values = merged(EXTERNAL_DATABASE, BEHIND_GATEWAY, {"trivy": {"enabled": False}})
    rendering = objects(values)
    assert names(rendering, "Secret") == OWN_SECRETS
    assert "POSTGRESQL_PASSWORD" not in rendering["Secret", "harbor-core"]["data"]


def test_filesystem_default_knows_no_vendor():
    # Pinned, or the letters may turn up in a random secret.
    values = merged(EXTERNAL_DATABASE, BEHIND_GATEWAY, PINNED)
    assert registry_config(objects(values))["storage"]["filesystem"]
    assert not re.search(r"S3|\bs3\b|amazonaws", rendered(values))


def test_s3_render():
    rendering = objects(ALL_PINNED)
    storage = registry_config(rendering)["storage"]
    assert storage["s3"] == {
        "region": "fsn1",
        "bucket": "registry",
        "regionendpoint": "https://s3.example.org",
        "secure": True,
        "v4auth": True,
        "rootdirectory": "/harbor",
        "chunksize": 67108864,
        "multipartcopychunksize": 33554432,
        "multipartcopymaxconcurrency": 16,
        "multipartcopythresholdsize": 33554432,
        "storageclass": "STANDARD",
    }
    assert storage["redirect"] == {"disable": True}
    assert "harbor-registry" not in names(rendering, "PersistentVolumeClaim")
    env = rendering["ConfigMap", "harbor-core"]["data"]
    assert env["REGISTRY_STORAGE_PROVIDER_NAME"] == "s3"
    assert not [key for key in rendering["Secret", "harbor-registry"]["data"] if "S3" in key]


def test_s3_keys_from_values_go_to_the_registrys_secret():
    keys = {"s3": {"accesskey": "me", "secretkey": "hush"}, "type": "s3"}
    data = secret_text(objects({"persistence": {"imageChartStorage": keys}}), "harbor-registry")
    assert data["REGISTRY_STORAGE_S3_ACCESSKEY"] == "me"
    assert data["REGISTRY_STORAGE_S3_SECRETKEY"] == "hush"


def test_s3_secret_reaches_both_containers_of_the_registry():
    reached = {
        one["name"]
        for name, one in containers(objects(ALL_PINNED))
        if {"secretRef": {"name": "harbor-s3"}} in one.get("envFrom", [])
    }
    assert reached == {"registry", "registryctl"}


def test_everything_pinned_renders_the_same_bytes_twice():
    first, second = (helm_template(STAND_IN, ALL_PINNED) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert names(objects(ALL_PINNED), "Secret") >= {"harbor-core"}
    assert not objects(ALL_PINNED)["Secret", "harbor-core"]["data"]


def test_what_is_not_pinned_is_new_at_each_render():
    first, second = (helm_template(STAND_IN, EXTERNAL_DATABASE).stdout for _ in range(2))
    changed = {
        line.split(":")[0].strip() for line in set(first.splitlines()) ^ set(second.splitlines())
    }
    assert changed == {
        "secret",
        "CSRF_KEY",
        "JOBSERVICE_SECRET",
        "REGISTRY_HTTP_SECRET",
        "REGISTRY_HTPASSWD",
        "tls.crt",
        "tls.key",
        "ca.crt",
        "checksum/secret",
        "checksum/secret-core",
        "checksum/secret-jobservice",
    }


def test_redis_password_is_escaped_in_urls():
    url = objects(ALL_PINNED)["ConfigMap", "harbor-core"]["data"]["_REDIS_URL_CORE"]
    assert url == "redis://:0abc%2Fd%3Fe@valkey-primary.valkey:6379/0?idle_timeout_seconds=30"


class SmallCluster(BaseHTTPRequestHandler):
    """As much of an API server as helm needs to look Secrets up while it renders."""

    secrets: Mapping[str, Mapping[str, str]] = {
        "valkey": {"REDIS_PASSWORD": "pa/ss"},
        "no-password": {"password": "x"},
        "harbor-core": {"secret": "kept core", "CSRF_KEY": "kept csrf"},
        "harbor-jobservice": {"JOBSERVICE_SECRET": "kept job"},
        "harbor-registry": {"REGISTRY_HTTP_SECRET": "kept http"},
    }

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> Object | None:
        path = self.path.split("?")[0]
        name = path.removeprefix("/api/v1/namespaces/registry/secrets/")
        if name in self.secrets:
            data = {k: base64.b64encode(v.encode()).decode() for k, v in self.secrets[name].items()}
            return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        secret = {"name": "secrets", "namespaced": True, "kind": "Secret", "verbs": ["get"]}
        return {
            "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [secret]},
        }.get(path)

    def do_GET(self) -> None:
        answer = self.answer()
        missing = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(answer or missing).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def in_cluster(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SmallCluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [
            {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    yield "--dry-run=server", "--kubeconfig", str(tmp_path / "kubeconfig")
    server.shutdown()
    server.server_close()


def looked_up(name: str) -> Values:
    return {"redis": {"type": "external", "external": {"existingSecret": name}}}


CHARTS = [STAND_IN, *([Path(REAL)] if REAL else [])]


@pytest.mark.parametrize("chart", CHARTS, ids=["stand-in", "real"][: len(CHARTS)])
def test_in_a_cluster_secrets_are_kept_and_redis_is_looked_up(
    chart: Path, in_cluster: tuple[str, ...]
):
    run = helm_template(chart, looked_up("valkey"), *in_cluster)
    assert run.returncode == 0, run.stderr
    rendering = parsed(run.stdout)
    core = secret_text(rendering, "harbor-core")
    assert (core["secret"], core["CSRF_KEY"]) == ("kept core", "kept csrf")
    assert secret_text(rendering, "harbor-jobservice")["JOBSERVICE_SECRET"] == "kept job"
    registry = secret_text(rendering, "harbor-registry")
    assert registry == {"REGISTRY_HTTP_SECRET": "kept http"}
    # As it is: this is the trap of passwords that are not letters and digits.
    url = "redis://:pa/ss@192.168.0.2:6379"
    assert rendering["ConfigMap", "harbor-core"]["data"]["_REDIS_URL_CORE"].startswith(f"{url}/0?")
    jobs = yaml.safe_load(rendering["ConfigMap", "harbor-jobservice"]["data"]["config.yml"])
    assert jobs["worker_pool"]["redis_pool"]["redis_url"] == f"{url}/1"
    assert secret_text(rendering, "harbor-trivy")["redisURL"].startswith(f"{url}/5?")
    assert "password" not in registry_config(rendering)["redis"]
    from_secret = {"name": "valkey", "key": "REDIS_PASSWORD"}
    given = [
        one["name"]
        for _, one in containers(rendering)
        for env in one.get("env") or []
        if env["name"] == "REGISTRY_REDIS_PASSWORD"
        and env["valueFrom"] == {"secretKeyRef": from_secret}
    ]
    assert sorted(given) == ["registry", "registryctl"]


def test_redis_secret_without_the_right_key_is_refused(in_cluster: tuple[str, ...]):
    run = helm_template(STAND_IN, looked_up("no-password"), *in_cluster)
    assert 'Secret "no-password" has no key REDIS_PASSWORD' in run.stderr


def storage(**keys: Any) -> Values:
    return {"persistence": {"imageChartStorage": keys}}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (storage(disableRedirect=True), "disableRedirect"),
        (storage(s3={"region_endpoint": "https://x"}), "region_endpoint"),
        ({"expose": {"tls": {"secret": {"notarySecretName": "x"}}}}, "notarySecretName"),
        ({"notary": {"enabled": False}}, "notary"),
        ({"core": {"podAnotations": {}}}, "podAnotations"),
        ({"core": {"resources": {"request": {}}}}, "request"),
        ({"registry": {"resources": {}}}, "resources"),
        ({"core": {"topologySpreadConstraints": [{"labelSelector": {}}]}}, "labelSelector"),
        # Numbers the real chart writes as floats
        (storage(s3={"chunksize": 5242880}), "chunksize"),
        (storage(s3={"multipartcopychunksize": 33554432}), "multipartcopychunksize"),
        (storage(gcs={"chunksize": 5242880}), "chunksize"),
        ({"redis": {"external": {"registryDatabaseIndex": 2}}}, "registryDatabaseIndex"),
        # Values Harbor does not start with
        ({"secretKey": "short"}, "secretKey"),
        ({"core": {"xsrfKey": "short"}}, "xsrfKey"),
        ({"externalURL": "https://registry.example.org/"}, "externalURL"),
        ({"registry": {"credentials": {"htpasswdString": "u:$apr1$x$y"}}}, "htpasswdString"),
    ],
)
def test_schema_refuses(values: Values, named: str):
    message = refusal(values)
    assert "values don't meet the specifications of the schema" in message
    assert named in message


def test_schema_is_strict_wherever_it_names_keys():
    def walk(node: Any, path: str) -> Iterator[str]:
        if isinstance(node, dict):
            if "properties" in node and "type" in node and node.get("additionalProperties", True):
                yield path
            for key, value in node.items():
                yield from walk(value, f"{path}/{key}")
        elif isinstance(node, list):
            for number, value in enumerate(node):
                yield from walk(value, f"{path}/{number}")

    schema = json.loads((STAND_IN / "values.schema.json").read_text())
    assert list(walk(schema, "")) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"internalTLS": {"enabled": True}}, "internalTLS.enabled is not implemented"),
        ({"registry": {"middleware": {"enabled": True}}}, "registry.middleware.enabled"),
        (
            {"expose": {"type": "route", "tls": {"enabled": False}}},
            "expose.type route needs expose.route.parentRefs",
        ),
        (
            merged(BEHIND_GATEWAY, {"expose": {"tls": {"enabled": True}}}),
            "core would wait for a Secret that no template makes",
        ),
        ({"expose": {"type": "clusterIP"}}, "needs expose.tls.auto.commonName"),
        ({"expose": {"tls": {"certSource": "secret"}}}, "needs expose.tls.secret.secretName"),
        ({"expose": {"ingress": {"kubeVersionOverride": "1.18.0"}}}, "before 1.19"),
        ({"ipFamily": {"families": ["IPv4"]}}, "ipFamily.families with"),
        ({"core": {"tokenKey": "PEM"}}, "core.tokenKey and core.tokenCert belong together"),
        ({"database": {"external": {"existingSecret": "x"}}}, "database.type is internal"),
        ({"redis": {"external": {"existingSecret": "x"}}}, "redis.type is internal"),
        (
            {"redis": {"type": "external", "external": {"existingSecret": "valkey"}}},
            'Secret "valkey" must be in namespace "registry" before the chart is rendered',
        ),
    ],
)
def test_refuses_with_a_reason(values: Values, message: str):
    assert message in refusal(values)


def test_says_it_is_a_stand_in():
    meta = yaml.safe_load((STAND_IN / "Chart.yaml").read_text())
    assert (meta["name"], meta["version"], meta["appVersion"]) == ("harbor", "1.18.3", "2.14.3")
    assert meta["annotations"]["sovereign-harbor/stand-in"] == "true"
    assert "STAND-IN" in meta["description"]
    assert "STAND-IN" in (STAND_IN / "templates" / "NOTES.txt").read_text()


# --------------------------------------------------------------------------------------------------
# Parity with the real chart
#
# Whole objects are compared, not only the parts somebody thought of: kinds and names, labels,
# selectors, containers, ports, environment, volumes, probes, resources, Service ports, the keys and
# values of ConfigMaps and Secrets, configuration files as parsed. What may differ is listed here.

DIFFERENCES: tuple[tuple[str, str], ...] = (
    # Each render makes these anew, in both charts.
    (r"Secret/\S+-core data\.(secret|CSRF_KEY|tls\.crt|tls\.key) changed", "random"),
    (r"Secret/\S+-jobservice data\.JOBSERVICE_SECRET changed", "random"),
    (r"Secret/\S+-registry data\.REGISTRY_HTTP_SECRET changed", "random"),
    (r"Secret/\S+-registry-htpasswd data\.REGISTRY_HTPASSWD changed", "random"),
    (r"Secret/\S+-(ingress|nginx) data\.(ca\.crt|tls\.crt|tls\.key) changed", "random"),
    # A checksum covers text, and the texts are our own.
    (r"\S+ spec\.template\.metadata\.annotations\.checksum/\S+ changed", "own text"),
    # The configurations of nginx do the same in other words.
    (r"ConfigMap/\S+-(nginx|portal) data\.nginx\.conf changed", "own text"),
    # The real chart forgets the namespace on these two Services; helm puts it in when it installs.
    (r"Service/harbor metadata\.namespace only in the stand-in", "nodePort, loadBalancer"),
)

# In values.yaml: the real chart has a map where only a list works (a list from 1.18.4 on).
DEFAULT_DIFFERENCES = {"expose.route.parentRefs"}

TUNED: dict[str, Any] = {
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "arch", "operator": "Equal", "value": "x", "effect": "NoSchedule"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "high",
    "serviceAccountName": "someone",
    "automountServiceAccountToken": True,
}
TUNED_POD: dict[str, Any] = {
    **TUNED,
    "replicas": 2,
    "podAnnotations": {"example.org/hash": "abc"},
    "podLabels": {"team": "registry"},
    "extraEnvVars": [{"name": "EXTRA", "value": "1"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
        {"maxSkew": 2, "topologyKey": "node", "whenUnsatisfiable": "DoNotSchedule"},
    ],
}
SIZED: dict[str, Any] = {
    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": 2}}
}
WAITING: dict[str, Any] = {"initContainers": [{"name": "wait", "image": "busybox"}]}
OWN_CLAIM: dict[str, Any] = {"existingClaim": "mine", "subPath": "sub"}
CLASSED: dict[str, Any] = {
    "storageClass": "fast",
    "size": "9Gi",
    "accessMode": "ReadWriteMany",
    "annotations": {"a.example.org/b": "c"},
}
# The registry has its environment and resources per container, not per pod.
REGISTRY_POD: dict[str, Any] = {
    **{key: value for key, value in TUNED_POD.items() if key != "extraEnvVars"},
    "registry": {"extraEnvVars": TUNED_POD["extraEnvVars"], **SIZED},
    "controller": {"extraEnvVars": TUNED_POD["extraEnvVars"], **SIZED},
}
EVERY_POD_TUNED: Values = {
    "imagePullSecrets": [{"name": "pull"}],
    "caBundleSecretName": "trust",
    "metrics": {"enabled": True},
    "nginx": {**TUNED_POD, **SIZED},
    "portal": {**TUNED_POD, **SIZED, **WAITING, "serviceAnnotations": {"a": "b"}},
    "core": {**TUNED_POD, **SIZED, **WAITING, "serviceAnnotations": {"a": "b"}},
    "jobservice": {**TUNED_POD, **SIZED, **WAITING},
    "trivy": {**TUNED_POD, **SIZED, **WAITING},
    "exporter": {**TUNED_POD, **SIZED},
    "registry": {**REGISTRY_POD, **WAITING},
}
BACKENDS_TUNED: Values = {
    "database": {
        "podLabels": {"x": "y"},
        "podAnnotations": {"x": "y"},
        "internal": {
            **TUNED,
            **SIZED,
            "password": "other",
            "shmSizeLimit": "1Gi",
            "extraEnvVars": TUNED_POD["extraEnvVars"],
            "extrInitContainers": WAITING["initContainers"],
            "initContainer": {"permissions": SIZED},
        },
    },
    "redis": {
        "podLabels": {"x": "y"},
        "podAnnotations": {"x": "y"},
        "internal": {
            **TUNED,
            **SIZED,
            **WAITING,
            "extraEnvVars": TUNED_POD["extraEnvVars"],
            "harborDatabaseIndex": "6",
            "cacheLayerDatabaseIndex": "7",
        },
    },
}

CASES: dict[str, Values] = {
    "default": {},
    "filesystem": merged(
        storage(type="filesystem", filesystem={"rootdirectory": "/data", "maxthreads": 50}),
        EXTERNAL_DATABASE,
        {
            "updateStrategy": {"type": "Recreate"},
            "logLevel": "warning",
            "persistence": {
                "resourcePolicy": "",
                "persistentVolumeClaim": {
                    "registry": CLASSED,
                    "jobservice": {"jobLog": OWN_CLAIM},
                    "trivy": {"storageClass": "-"},
                },
            },
        },
    ),
    "s3, everything pinned": ALL_PINNED,
    "route": merged(
        BEHIND_GATEWAY, {"expose": {"route": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}}
    ),
    "ingress": {
        "caSecretName": "ca",
        "expose": {
            "tls": {"certSource": "secret", "secret": {"secretName": "web"}},
            "ingress": {
                "hosts": {"core": "registry.example.org"},
                "className": "cilium",
                "labels": {"x": "y"},
                "annotations": {"nginx.ingress.kubernetes.io/ssl-redirect": None, "more": "yes"},
            },
        },
    },
    "metrics": {
        "metrics": {
            "enabled": True,
            "registry": {"port": 9001, "path": "/m"},
            "exporter": {"port": 9002},
            "serviceMonitor": {
                "enabled": True,
                "interval": "15s",
                "additionalLabels": {"prometheus": "main"},
                "relabelings": [{"action": "drop", "regex": "x"}],
                "metricRelabelings": [{"action": "keep", "regex": "{{ .Release.Name }}.*"}],
            },
        }
    },
    "trivy off": {"trivy": {"enabled": False}},
    # Further than the product goes, so that the sandbox may.
    "s3 in values, not pinned": merged(
        S3,
        storage(
            caBundleSecretName="store-ca",
            s3={
                "existingSecret": "",
                "accesskey": "me",
                "secretkey": "hush",
                "skipverify": True,
                "encrypt": True,
                "keyid": "k",
            },
        ),
    ),
    "s3 false flags": storage(
        type="s3", s3={"secure": False, "skipverify": True, "v4auth": False, "encrypt": False}
    ),
    "azure": storage(type="azure", azure={"realm": "core.example.org"}),
    "azure, Secret": storage(type="azure", azure={"existingSecret": "az"}),
    "gcs": storage(type="gcs", gcs={"rootdirectory": "/x", "chunksize": "5242880"}),
    "gcs, Secret": storage(type="gcs", gcs={"existingSecret": "gc"}),
    "gcs, workload identity": storage(type="gcs", gcs={"useWorkloadIdentity": True}),
    "swift": storage(
        type="swift",
        swift={
            "region": "fr",
            "secretkey": "s",
            "accesskey": "a",
            "authversion": 3,
            "insecureskipverify": True,
            "chunksize": "5M",
            "tempurlmethods": "GET",
        },
    ),
    "swift, Secret": storage(type="swift", swift={"existingSecret": "sw"}),
    "oss": storage(type="oss", oss={"endpoint": "oss.example.org", "secure": True}),
    "oss, Secret": storage(type="oss", oss={"existingSecret": "os"}),
    "no persistence": {"persistence": {"enabled": False}},
    "claims of one's own": {
        "persistence": {
            "persistentVolumeClaim": {
                "registry": OWN_CLAIM,
                "database": OWN_CLAIM,
                "redis": OWN_CLAIM,
                "trivy": OWN_CLAIM,
            }
        }
    },
    "claims with classes": {
        "persistence": {
            "persistentVolumeClaim": {
                "jobservice": {"jobLog": CLASSED},
                "database": CLASSED,
                "redis": CLASSED,
                "trivy": CLASSED,
            }
        }
    },
    "every pod tuned": EVERY_POD_TUNED,
    "database and redis tuned": BACKENDS_TUNED,
    "clusterIP": merged(
        EVERY_POD_TUNED,
        {
            "expose": {
                "type": "clusterIP",
                "tls": {"auto": {"commonName": "harbor.example.org"}},
                "clusterIP": {"staticClusterIP": "10.0.0.9", "labels": {"a": "b"}},
            },
            "ipFamily": {"policy": "PreferDualStack"},
        },
    ),
    "dual stack": merged(
        ALL_PINNED,
        {"ipFamily": {"policy": "RequireDualStack", "families": ["IPv6", "IPv4"]}},
    ),
    "clusterIP without TLS": {
        "expose": {"type": "clusterIP", "tls": {"enabled": False}},
        "externalURL": "http://harbor",
    },
    "nodePort": {
        "expose": {
            "type": "nodePort",
            "tls": {"certSource": "secret", "secret": {"secretName": "web"}},
            "nodePort": {"annotations": {"a": "b"}},
        }
    },
    "loadBalancer": {
        "expose": {
            "type": "loadBalancer",
            "tls": {"auto": {"commonName": "10.1.2.3"}},
            "loadBalancer": {"IP": "10.1.2.3", "sourceRanges": ["10.0.0.0/8"]},
        }
    },
    "ingress without TLS": {"expose": {"tls": {"enabled": False}}},
    "ingress with somebody's certificate": {"expose": {"tls": {"certSource": "none"}}},
    "gce": {"expose": {"ingress": {"controller": "gce"}}},
    "ncp": {"expose": {"ingress": {"controller": "ncp"}}},
    "sentinel": {
        "redis": {
            "type": "external",
            "external": {
                "addr": "a:26379,b:26379",
                "sentinelMasterSet": "main",
                "username": "me",
                "password": "hush",
                "harborDatabaseIndex": "6",
                "cacheLayerDatabaseIndex": "7",
            },
        }
    },
    "redis with TLS": {"redis": {"type": "external", "external": {"tlsOptions": {"enable": True}}}},
    "sentinel with TLS": {
        "redis": {
            "type": "external",
            "external": {"tlsOptions": {"enable": True}, "sentinelMasterSet": "main"},
        }
    },
    "external database in values": {"database": {"type": "external"}, "metrics": {"enabled": True}},
    "metrics, everything pinned": merged(ALL_PINNED, {"metrics": {"enabled": True}}),
    "secrets in values": {
        "core": {"secret": "a" * 16, "xsrfKey": "b" * 32, "tokenKey": "key", "tokenCert": "cert"},
        "jobservice": {"secret": "c" * 16},
        "registry": {"secret": "d" * 16, "credentials": {"htpasswdString": "u:$2y$10$x"}},
        "secretKey": "e" * 16,
        "harborAdminPassword": "f",
    },
    "settings": {
        "core": {
            "configureUserSettings": '{"auth_mode":"oidc_auth"}',
            "quotaUpdateProvider": "redis",
            "artifactPullAsyncFlushDuration": 20,
            "gcTimeWindowHours": 1,
            "gdpr": {"deleteUser": True, "auditLogsCompliant": True},
            "startupProbe": {"enabled": False},
        },
        "jobservice": {"jobLoggers": ["stdout", "file", "database"], "maxJobWorkers": 3},
        "registry": {"relativeurls": True, "upload_purging": {"enabled": False}},
        "trivy": {"skipUpdate": True, "offlineScan": True, "gitHubToken": "t"},
        "uaaSecretName": "uaa",
        "logLevel": "fatal",
        "cache": {"enabled": True},
        "enableMigrateHelmHook": True,
        "ipFamily": {"ipv6": {"enabled": False}},
    },
    "migration with an external database": merged(
        ALL_PINNED, EVERY_POD_TUNED, {"enableMigrateHelmHook": True}
    ),
    "proxy": {
        "metrics": {"enabled": True},
        "proxy": {
            "httpProxy": "http://proxy:3128",
            "components": ["core", "jobservice", "trivy", "registry"],
        },
    },
    "traces to jaeger": {
        "trace": {"enabled": True, "attributes": {"a": "b"}, "jaeger": {"password": "p"}}
    },
    "traces to otel": {"trace": {"enabled": True, "provider": "otel", "namespace": "n"}},
    "other names": {"nameOverride": "reg"},
    "another name": {"fullnameOverride": "depot"},
}


def plain(node: Any) -> Any:
    """The same object as the API server sees it: what is null or empty is not there."""
    if isinstance(node, dict):
        # The API server's default for a volume without a source is an emptyDir.
        if "name" in node and "secret" in node and node["secret"] is None:
            node = {"name": node["name"], "emptyDir": {}}
        if "emptyDir" in node and not node["emptyDir"]:
            node = {**node, "emptyDir": "of any size"}
        # Defaults the real chart writes in some places and leaves out in others.
        if node.get("scheme") == "HTTP":
            node = {key: value for key, value in node.items() if key != "scheme"}
        if node.get("readOnly") is False:
            node = {key: value for key, value in node.items() if key != "readOnly"}
        out = {key: plain(value) for key, value in node.items()}
        for key, by in (("env", "name"), ("volumes", "name"), ("volumeMounts", "mountPath")):
            if isinstance(out.get(key), list):  # their order means nothing
                out[key] = sorted(out[key], key=lambda one: one[by])
        return {key: value for key, value in out.items() if value not in (None, "", {}, [])}
    if isinstance(node, list):
        return [plain(one) for one in node]
    return node


def comparable(item: Object) -> Object:
    """With configuration files parsed and Secrets decoded."""
    item = json.loads(json.dumps(item))  # a deep copy
    data = item.get("data") or {}
    for key in data:
        if item["kind"] == "Secret":
            # An empty password is still a key.
            data[key] = "decoded: " + base64.b64decode(data[key]).decode("latin-1")
        elif key.endswith(".yml"):
            data[key] = yaml.safe_load(data[key])
        elif key == "app.conf":
            parser = configparser.ConfigParser()
            parser.read_string("[top]\n" + data[key])
            data[key] = {name: dict(section) for name, section in parser.items()}
        else:
            data[key] = "value: " + data[key]
    return plain(item)


def differing(real: Any, ours: Any, path: str = "") -> Iterator[str]:
    if isinstance(real, dict) and isinstance(ours, dict):
        for key in sorted(real.keys() | ours.keys()):
            at = f"{path}.{key}" if path else key
            if key not in ours:
                yield f"{at} only in the real chart: {real[key]!r}"
            elif key not in real:
                yield f"{at} only in the stand-in: {ours[key]!r}"
            else:
                yield from differing(real[key], ours[key], at)
    elif isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        for number, (one, other) in enumerate(zip(real, ours, strict=True)):
            yield from differing(one, other, f"{path}[{number}]")
    elif real != ours:
        yield f"{path} changed: {real!r} -> {ours!r}"


def unexpected(difference: str) -> bool:
    return not any(re.match(pattern, difference) for pattern, _ in DIFFERENCES)


def version_of(chart: str | Path) -> str:
    """The version of a chart in a folder; "" of one in a package."""
    metadata = Path(chart) / "Chart.yaml"
    return yaml.safe_load(metadata.read_text())["version"] if metadata.is_file() else ""


# test_next_chart.py compares the stand-in of the next line.
needs_real_chart = pytest.mark.skipif(
    REAL is None or version_of(REAL) != version_of(STAND_IN),
    reason="set TEST_HARBOR_CHART to a folder with goharbor/harbor-helm 1.18.3",
)


@needs_real_chart
@pytest.mark.parametrize("case", CASES)
def test_renders_what_the_real_chart_renders(case: str):
    assert REAL
    real, ours = objects(CASES[case], REAL), objects(CASES[case])
    assert set(real) == set(ours)
    lines = [
        f"{kind}/{name} {line}"
        for kind, name in sorted(real)
        for line in differing(comparable(real[kind, name]), comparable(ours[kind, name]))
    ]
    assert [line for line in lines if unexpected(line)] == []


@needs_real_chart
def test_has_the_real_charts_values_and_defaults():
    assert REAL
    real = yaml.safe_load((Path(REAL) / "values.yaml").read_text())
    ours = yaml.safe_load((STAND_IN / "values.yaml").read_text())
    assert {line.split()[0] for line in differing(real, ours)} == DEFAULT_DIFFERENCES


@needs_real_chart
def test_shares_no_file_and_hardly_a_sentence_with_the_real_chart():
    """Interface may be equal, prose may not: no comment of the real chart is one of ours."""
    assert REAL

    def comments(root: Path) -> set[str]:
        files = [root / "values.yaml", *(root / "templates").rglob("*.*")]
        lines = (line.strip() for file in files for line in file.read_text().splitlines())
        return {line for line in lines if line.startswith("#") and line.count(" ") > 3}

    assert comments(Path(REAL)) & comments(STAND_IN) == set()
