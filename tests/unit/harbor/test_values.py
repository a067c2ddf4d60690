"""Harbor's values: tables over a pure function. tests/render/ shows what the chart does."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from components.harbor.values import VALKEY_SECRET_ANNOTATION, HarborValues, harbor_values
from components.harbor_inputs import (
    REGISTRY_USER,
    URL_PASSWORD_KEY,
    VALKEY_PASSWORD_KEY,
    Cache,
    Database,
    Gateway,
    RemoteStorage,
    SecretNames,
    VolumeStorage,
    cache_secret,
)
from components.network.exposure import chart_exposure
from components.object_storage.location import BucketLocation, s3_driver
from tests.support.builders import settings
from tests.support.golden import compare

LOCATION = BucketLocation(
    bucket="omantel-harbor", region="fsn1", endpoint="https://fsn1.example.com"
)
CREDENTIALS = "harbor-objectstorage-credentials"
BUCKET = RemoteStorage(driver="s3", options=s3_driver(LOCATION, CREDENTIALS))
VOLUME = VolumeStorage(size="50Gi", storage_class="fast")
DATABASE = Database(
    host="harbor-pg-rw",
    port=5432,
    name="registry",
    username="harbor",
    sslmode="require",
    secret_name="harbor-pg-credentials",
    max_open_connections=30,
)
CACHE = Cache(
    host="valkey.example",
    port=6380,
    secret_name="cache-secret",
    core_index=10,
    jobservice_index=11,
    registry_index=12,
    trivy_index=15,
    harbor_index=13,
    cache_index=14,
)
COMPONENTS = ("core", "portal", "jobservice", "registry", "trivy", "exporter")
RESOURCES = {
    name: {"cpu": f"{number}m", "memory": f"{number}Mi"}
    for number, name in enumerate((*COMPONENTS, "registryctl"), start=1)
}
HARBOR: dict[str, Any] = {
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "arch", "operator": "Exists"}],
    "resources": RESOURCES,
}
SPEC = HarborValues(
    settings=settings(harbor=HARBOR),
    storage=BUCKET,
    database=DATABASE,
    cache=CACHE,
    secrets=SecretNames(
        **{field.name: f"name-of-{field.name}" for field in dataclasses.fields(SecretNames)}
    ),
    exposure=Gateway(parent_refs=({"name": "gateway", "namespace": "kube-system"},)),
)

Values = dict[str, Any]


def values(**changes: Any) -> Values:
    return harbor_values(dataclasses.replace(SPEC, **changes))


def with_bucket(**changes: Any) -> Values:
    location = {k: v for k, v in changes.items() if k in {f.name for f in _fields(LOCATION)}}
    rest = {k: v for k, v in changes.items() if k not in location}
    secret_name = rest.pop("secret_name", CREDENTIALS)
    options = s3_driver(dataclasses.replace(LOCATION, **location), secret_name)
    storage = dataclasses.replace(BUCKET, options=options, **rest)
    return values(storage=storage)["persistence"]["imageChartStorage"]


def _fields(of: Any) -> tuple[Any, ...]:
    return dataclasses.fields(of)


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path, and every key with an empty value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        at = f"{path}.{key}"
        yield at, item
        if isinstance(item, (dict, list)):
            yield from walk(item, at)


def env(component: Values) -> dict[str, Values]:
    return {variable["name"]: variable for variable in component.get("extraEnvVars", [])}


def reference(secret: str, key: str) -> Values:
    return {"secretKeyRef": {"name": secret, "key": key}}


# --- Storage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"replicas": {"core": 2}}, ["kubernetes.io/hostname"]),
        ({"replicas": {"core": 2}, "spreadOver": ["zone", "rack"]}, ["zone", "rack"]),
        ({"replicas": {"core": 2}, "spreadOver": []}, []),
        ({"spreadOver": ["zone"]}, []),
    ],
)
def test_several_replicas_spread_over_what_is_named(changes: Values, labels: list[str]) -> None:
    of_chart = values(settings=settings(harbor={**HARBOR, **changes}))
    constraints = of_chart["core"].get("topologySpreadConstraints", [])
    assert [each["topologyKey"] for each in constraints] == labels
    assert not [each for each in constraints if "labelSelector" in each], "the chart adds it"
    assert "topologySpreadConstraints" not in of_chart["portal"]


def test_without_object_storage_there_is_no_s3_key_anywhere() -> None:
    chart = values(storage=VOLUME)
    assert [path for path, _ in walk(chart) if "s3" in path.lower()] == []
    assert chart["persistence"]["imageChartStorage"] == {"type": "filesystem"}
    assert chart["persistence"]["persistentVolumeClaim"]["registry"] == {
        "size": "50Gi",
        "storageClass": "fast",
        "accessMode": "ReadWriteOnce",
    }


def test_with_a_bucket_the_registry_has_no_volume() -> None:
    chart = values()["persistence"]
    assert chart["imageChartStorage"]["type"] == "s3"
    assert "filesystem" not in chart["imageChartStorage"]
    assert "registry" not in chart["persistentVolumeClaim"]


def test_the_bucket_is_wired_as_configured() -> None:
    assert with_bucket() == {
        "type": "s3",
        "disableredirect": True,
        "s3": {
            "bucket": "omantel-harbor",
            "region": "fsn1",
            "regionendpoint": "https://fsn1.example.com",
            "v4auth": True,
            "secure": True,
            "existingSecret": "harbor-objectstorage-credentials",
        },
    }


@pytest.mark.parametrize(("redirect", "disabled"), [(False, True), (True, False)])
def test_redirects_are_spelled_as_the_chart_reads_them(redirect: bool, disabled: bool) -> None:
    chart = with_bucket(redirect=redirect)
    assert chart["disableredirect"] is disabled
    # The chart ignores the other spelling without a word.
    assert "disableRedirect" not in json.dumps(chart)


@pytest.mark.parametrize(
    ("endpoint", "secure"),
    [("https://s3.example.com", True), ("http://127.0.0.1:7070", False), (None, True)],
)
def test_tls_follows_the_endpoint(endpoint: str | None, secure: bool) -> None:
    s3 = with_bucket(endpoint=endpoint)["s3"]
    assert s3["secure"] is secure
    assert s3.get("regionendpoint") == endpoint
    assert ("regionendpoint" in s3) is (endpoint is not None)


def test_chunk_sizes_stay_texts() -> None:
    options = {"chunksize": "10485760", "multipartcopymaxconcurrency": "10"}
    s3 = with_bucket(driver_options=options)["s3"]
    assert {key: s3[key] for key in options} == options


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"root_directory": "harbor/v2"}, "rootdirectory", "harbor/v2"),
        ({"root_directory": ""}, "rootdirectory", None),
        ({"secret_name": None}, "existingSecret", None),
    ],
    ids=str,
)
def test_what_is_not_set_is_not_in_the_values(changes: Values, key: str, expected: Any) -> None:
    s3 = with_bucket(**changes)["s3"]
    assert s3.get(key) == expected
    assert (key in s3) is (expected is not None)


def test_a_private_authority_is_named_by_its_secret() -> None:
    assert with_bucket(ca_bundle_secret="ca")["caBundleSecretName"] == "ca"
    assert "caBundleSecretName" not in with_bucket()


@pytest.mark.parametrize("storage", [BUCKET, VOLUME], ids=["bucket", "volume"])
def test_volumes_outlive_the_release(storage: RemoteStorage | VolumeStorage) -> None:
    chart = values(storage=storage)["persistence"]
    assert chart["enabled"] is True
    assert chart["resourcePolicy"] == "keep"


# --- Secrets -----------------------------------------------------------------------------------

ALLOWED_TO_HOLD_TEXT = ("existing", "secretname", "valkey-secret")
"""Parts of key names that say: here stands the name of a Secret, or of one of its keys."""


@pytest.mark.parametrize("storage", [BUCKET, VOLUME], ids=["bucket", "volume"])
def test_no_key_of_the_values_holds_a_secret(storage: RemoteStorage | VolumeStorage) -> None:
    for path, value in walk(values(storage=storage)):
        key = path.rsplit(".", 1)[-1].lower()
        if any(word in key for word in ALLOWED_TO_HOLD_TEXT):
            continue
        names_a_secret = any(
            word in key
            for word in ("password", "secretkey", "accesskey", "secret", "xsrfkey", "htpasswd")
        )
        assert not (names_a_secret and isinstance(value, str)), f"{path} = {value}"


def test_urls_carry_a_variable_in_the_place_of_the_password() -> None:
    urls = [v for _, v in walk(values()) if isinstance(v, str) and v.startswith("redis://")]
    assert urls
    for url in urls:
        assert url.startswith("redis://:$(VALKEY_PASSWORD)@valkey.example:6380/")


def test_every_secret_that_the_chart_would_invent_is_given_by_name() -> None:
    chart = values()
    assert {
        "admin_password": chart["existingSecretAdminPassword"],
        "secret_key": chart["existingSecretSecretKey"],
        "core_secret": chart["core"]["existingSecret"],
        "csrf_key": chart["core"]["existingXsrfSecret"],
        "token_certificate": chart["core"]["secretName"],
        "jobservice_secret": chart["jobservice"]["existingSecret"],
        "registry_http_secret": chart["registry"]["existingSecret"],
        "registry_user": chart["registry"]["credentials"]["existingSecret"],
    } == dataclasses.asdict(SPEC.secrets)
    # The user's name is not read from the Secret, and must be the one of the htpasswd line.
    assert chart["registry"]["credentials"]["username"] == REGISTRY_USER
    assert chart["database"]["external"]["existingSecret"] == "harbor-pg-credentials"


def test_the_chart_is_not_told_of_the_cache_s_secret() -> None:
    # It would look the password up while rendering and write it into ConfigMaps.
    assert "existingSecret" not in json.dumps(values()["redis"])


# --- Data services -----------------------------------------------------------------------------


def test_the_database_is_external_and_its_port_a_text() -> None:
    chart = values()["database"]
    assert chart["type"] == "external"
    assert chart["maxOpenConns"] == 30
    assert chart["external"] == {
        "host": "harbor-pg-rw",
        "port": "5432",
        "username": "harbor",
        "coreDatabase": "registry",
        "sslmode": "require",
        "existingSecret": "harbor-pg-credentials",
    }


def test_harbor_trusts_the_database_s_authority_only_where_one_is_given() -> None:
    assert "caBundleSecretName" not in values()
    database = dataclasses.replace(DATABASE, ca_bundle_secret="harbor-pg-ca")
    assert values(database=database)["caBundleSecretName"] == "harbor-pg-ca"


@pytest.mark.parametrize(("open_", "idle"), [(30, 10), (10, 10), (4, 4)])
def test_no_more_connections_idle_than_open(open_: int, idle: int) -> None:
    database = dataclasses.replace(DATABASE, max_open_connections=open_)
    assert values(database=database)["database"]["maxIdleConns"] == idle


def test_the_indexes_of_the_cache_are_texts() -> None:
    assert values()["redis"] == {
        "type": "external",
        "external": {
            "addr": "valkey.example:6380",
            "coreDatabaseIndex": "10",
            "jobserviceDatabaseIndex": "11",
            "registryDatabaseIndex": "12",
            "harborDatabaseIndex": "13",
            "cacheLayerDatabaseIndex": "14",
            "trivyAdapterIndex": "15",
        },
    }


@pytest.mark.parametrize(
    ("component", "indexes"),
    [
        (
            "core",
            {
                "_REDIS_URL_CORE": "10?idle_timeout_seconds=30",
                "_REDIS_URL_REG": "12?idle_timeout_seconds=30",
                "_REDIS_URL_HARBOR": "13?idle_timeout_seconds=30",
                "_REDIS_URL_CACHE_LAYER": "14?idle_timeout_seconds=30",
            },
        ),
        (
            "jobservice",
            {
                "JOB_SERVICE_POOL_REDIS_URL": "11",
                "_REDIS_URL_CORE": "10?idle_timeout_seconds=30",
                "_REDIS_URL_CACHE_LAYER": "14?idle_timeout_seconds=30",
            },
        ),
        ("exporter", {"HARBOR_REDIS_URL": "11"}),
    ],
)
def test_pods_reach_the_cache_by_urls_in_their_environment(
    component: str, indexes: dict[str, str]
) -> None:
    variables = env(values()[component])
    assert variables.pop("VALKEY_PASSWORD")["valueFrom"] == reference(
        "cache-secret", URL_PASSWORD_KEY
    )
    prefix = "redis://:$(VALKEY_PASSWORD)@valkey.example:6380/"
    assert {name: variable["value"] for name, variable in variables.items()} == {
        name: prefix + index for name, index in indexes.items()
    }


@pytest.mark.parametrize("component", ["core", "jobservice", "exporter"])
def test_the_password_is_defined_before_the_urls_that_use_it(component: str) -> None:
    # The kubelet only puts in what stands further up.
    names = [variable["name"] for variable in values()[component]["extraEnvVars"]]
    assert names[0] == "VALKEY_PASSWORD"


@pytest.mark.parametrize("container", ["registry", "controller"])
def test_both_containers_of_the_registry_get_the_password(container: str) -> None:
    variables = env(values()["registry"][container])
    assert variables["REGISTRY_REDIS_PASSWORD"]["valueFrom"] == reference(
        "cache-secret", VALKEY_PASSWORD_KEY
    )


def test_trivy_is_told_which_secret_has_its_url() -> None:
    assert values()["trivy"]["podAnnotations"][VALKEY_SECRET_ANNOTATION] == "cache-secret"


@pytest.mark.parametrize("password", ["abc123", "p@ss/w:rd?#%&= é", ""])
def test_a_password_of_any_characters_survives_in_urls(password: str) -> None:
    secret = cache_secret(CACHE, password)
    assert secret[VALKEY_PASSWORD_KEY] == password
    assert unquote(secret[URL_PASSWORD_KEY]) == password
    url = urlsplit(secret["trivyRedisUrl"])
    assert unquote(url.password or "") == password
    assert (url.hostname, url.port, url.path) == ("valkey.example", 6380, "/15")
    assert url.query == url.fragment == ""


SHARED = dataclasses.replace(CACHE, host="fd00::7", username="harbor", tls=True, trusts_own_ca=True)


def test_a_shared_cache_is_reached_by_tls_as_a_user_at_an_ipv6_address() -> None:
    chart = values(cache=SHARED)
    external = chart["redis"]["external"]
    assert external["tlsOptions"] == {"enable": True}
    assert "[" not in external["addr"], "the chart writes it unquoted into YAML"
    assert env(chart["core"])["_REDIS_URL_CORE"]["value"] == (
        "rediss://harbor:$(VALKEY_PASSWORD)@[fd00::7]:6380/10?idle_timeout_seconds=30"
    )
    for container in ("registry", "controller"):
        variables = env(chart["registry"][container])
        assert variables["REGISTRY_REDIS_USERNAME"]["value"] == "harbor"
        assert variables["REGISTRY_REDIS_ADDR"]["value"] == "[fd00::7]:6380"
    url = urlsplit(cache_secret(SHARED, "p@ss")["trivyRedisUrl"])
    assert (url.scheme, url.username, url.hostname, url.port) == (
        "rediss",
        "harbor",
        "fd00::7",
        6380,
    )


def test_every_pod_trusts_the_authority_of_a_shared_cache() -> None:
    assert values(cache=SHARED)["caBundleSecretName"] == "cache-secret"
    assert "caBundleSecretName" not in values()


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ({"ipv6": False}, {"ipv4": {"enabled": True}, "ipv6": {"enabled": False}}),
        (
            {"policy": "SingleStack", "families": ["IPv6"]},
            {
                "ipv4": {"enabled": True},
                "ipv6": {"enabled": True},
                "policy": "SingleStack",
                "families": ["IPv6"],
            },
        ),
    ],
    ids=str,
)
def test_ip_versions_are_handed_on(family: dict[str, Any], expected: Values) -> None:
    assert values(settings=settings(harbor={"ipFamily": family}))["ipFamily"] == expected


def test_every_pod_of_harbor_has_its_priority() -> None:
    chart = values(settings=settings(harbor={"priorityClass": "business-critical"}))
    assert {chart[name]["priorityClassName"] for name in COMPONENTS} == {"business-critical"}


# --- Pods --------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", COMPONENTS)
def test_several_replicas_are_spread_over_nodes(component: str) -> None:
    chart = values(settings=settings(harbor={**HARBOR, "replicas": {component: 3}}))
    assert chart[component]["replicas"] == 3
    (spread,) = chart[component]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    # The chart adds its own labelSelector and writes it twice otherwise.
    assert "labelSelector" not in spread
    for other in set(COMPONENTS) - {component}:
        assert "topologySpreadConstraints" not in chart[other]


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_runs_where_the_placement_says(component: str) -> None:
    chart = values()[component]
    assert chart["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert chart["tolerations"] == [{"key": "arch", "operator": "Exists"}]


def test_every_container_has_its_own_resources() -> None:
    chart = values()
    given = {name: chart[name]["resources"] for name in COMPONENTS if name != "registry"}
    given["registry"] = chart["registry"]["registry"]["resources"]
    given["registryctl"] = chart["registry"]["controller"]["resources"]
    assert given["trivy"]["limits"].pop("cpu")
    assert given == {
        name: {"requests": of, "limits": {"memory": of["memory"]}} for name, of in RESOURCES.items()
    }
    assert "resources" not in chart["registry"]


@pytest.mark.parametrize(
    ("cpu", "limit"), [("50m", "1"), ("1", "1"), ("1000m", "1"), ("1500m", "1500m"), ("4", "4")]
)
def test_trivy_s_limit_is_the_chart_s_or_its_request(cpu: str, limit: str) -> None:
    # The chart sets a limit of one processor, and a request above its limit is refused.
    asked = settings(harbor={"resources": {"trivy": {"cpu": cpu, "memory": "1Gi"}}})
    assert values(settings=asked)["trivy"]["resources"] == {
        "requests": asked.harbor.resources.trivy.model_dump(),
        "limits": {"memory": "1Gi", "cpu": limit},
    }


def test_a_component_restarts_on_its_own_revision_alone() -> None:
    chart = harbor_values(SPEC, revisions={"core": "one", "trivy": "two"})
    annotations = {name: chart[name]["podAnnotations"] for name in COMPONENTS}
    assert annotations["core"] == {"sovereign-harbor/secrets": "one"}
    assert annotations["trivy"]["sovereign-harbor/secrets"] == "two"
    for name in set(COMPONENTS) - {"core", "trivy"}:
        assert annotations[name] == {}


GOLDEN = Path(__file__).parent / "golden"
INGRESS: dict[str, Any] = {
    "exposure": {"kind": "ingress", "className": "nginx", "tlsSecret": "wildcard"},
    "networkPolicies": {"enabled": False},
}


@pytest.mark.parametrize(("exposure", "sections"), [("gateway", {}), ("ingress", INGRESS)])
def test_a_stack_that_says_nothing_new_keeps_its_values(
    exposure: str, sections: dict[str, Any]
) -> None:
    stack = settings(**sections)
    spec = dataclasses.replace(SPEC, settings=stack, exposure=chart_exposure(stack))
    compare(json.loads(json.dumps(harbor_values(spec))), GOLDEN / f"{exposure}.yaml")


# --- The whole ---------------------------------------------------------------------------------


def test_clients_reach_the_registry_by_its_name() -> None:
    chart = values()
    assert chart["externalURL"] == "https://registry.omantel.omani.works"
    assert chart["expose"]["route"]["hosts"] == ["registry.omantel.omani.works"]
    assert chart["expose"]["tls"] == {"enabled": False}


@pytest.mark.parametrize("storage", [BUCKET, VOLUME], ids=["bucket", "volume"])
def test_the_same_input_gives_the_same_bytes_and_shares_nothing(
    storage: RemoteStorage | VolumeStorage,
) -> None:
    one, other = values(storage=storage), values(storage=storage)
    assert json.dumps(one) == json.dumps(other)
    for _, item in walk(one):
        if isinstance(item, dict):
            item.clear()
    assert json.dumps(values(storage=storage)) == json.dumps(other)


def test_no_number_is_large_enough_for_helm_to_write_it_with_an_exponent() -> None:
    for path, value in walk(values()):
        assert not isinstance(value, float), path
        assert not isinstance(value, int) or value < 1_000_000, path
