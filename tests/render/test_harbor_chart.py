"""What our values make of Harbor's chart: asserted on the rendered objects, not on the values.

On the stand-in, or on the real chart:

    TEST_HARBOR_CHART=/path/to/harbor-helm-1.18.3 pytest tests/render/test_harbor_chart.py

The same holds for 1.19.1; test_next_chart.py says what is different in it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.credentials import REGISTRY_ACCOUNT, read_by_component, secret_name
from components.harbor.post_render import post_render
from components.harbor.release import POST_RENDERER
from components.harbor.values import VALKEY_SECRET_ANNOTATION, HarborValues, harbor_values
from components.harbor_inputs import Gateway, Ingress, RemoteStorage, VolumeStorage
from components.network.exposure import chart_exposure
from components.object_storage.location import s3_driver
from components.settings.harbor import HarborReplicas
from tests.support import builders
from tests.support.program import Created, created
from tests.support.rendering import (
    CHART,
    REAL,
    STAND_IN,
    Object,
    Objects,
    as_helm_reads,
    container,
    containers,
    containers_of,
    documents,
    environment_of,
    helm,
    helm_template,
    merged,
    names,
    needs,
    parse_by_registry,
    parsed,
    pods,
    registry_config,
    rendered,
    secret_references,
    secret_text,
    texts,
)

pytestmark = needs("helm")

GATEWAY = {"name": "edge", "namespace": "kube-system", "sectionName": "https"}

# Trivy's, and the key of our Secret that they read.
VARIABLES = ("SCANNER_REDIS_URL", "SCANNER_STORE_REDIS_URL", "SCANNER_JOB_QUEUE_REDIS_URL")
KEY = "trivyRedisUrl"

COMPONENTS = {"core", "jobservice", "portal", "registry", "trivy"}
READ_BY = read_by_component()

STORE = {
    "kind": "s3",
    "endpoint": "https://s3.example.org",
    "region": "fsn1",
    "bucket": "omantel-harbor",
    "chunkSize": "5242880",
    "multipartCopyChunkSize": "33554432",
    "multipartCopyThresholdSize": "67108864",
    "multipartCopyMaxConcurrency": "10",
    "rootDirectory": "images",
}
SETTINGS = builders.settings(storage=STORE)


@pytest.fixture(scope="session")
def sovereign() -> Created:
    """What the program creates for SETTINGS."""
    return created(SETTINGS)


# --------------------------------------------------------------------------------------------------
# Cases: what a Sovereign may look like, as changes to the values of SETTINGS


def values_of(sovereign: Created, **changes: Any) -> HarborValues:
    spec = HarborValues(
        settings=SETTINGS,
        storage=sovereign.storage,
        database=sovereign.database,
        cache=sovereign.cache,
        secrets=sovereign.secret_names,
        exposure=Gateway(parent_refs=(GATEWAY,)),
    )
    return replace(spec, **changes)


def bucket(sovereign: Created, **changes: Any) -> RemoteStorage:
    assert isinstance(sovereign.storage, RemoteStorage)
    return replace(sovereign.storage, **changes)


def keyless(sovereign: Created) -> HarborValues:
    """The pods' own identity instead of keys, and the endpoint that the region implies."""
    assert sovereign.location is not None
    location = replace(sovereign.location, endpoint=None, root_directory="")
    return values_of(sovereign, storage=bucket(sovereign, options=s3_driver(location, None)))


def trusting(sovereign: Created) -> HarborValues:
    """A store with a private CA, to which clients are redirected."""
    storage = bucket(sovereign, redirect=True, ca_bundle_secret="store-ca")
    return values_of(sovereign, storage=storage)


def of_another_estate(sovereign: Created) -> HarborValues:
    """A route with labels, one IP version, a priority, and a shared cache with TLS and a user."""
    stack = builders.settings(
        storage=STORE,
        harbor={
            "priorityClass": "business-critical",
            "ipFamily": {"ipv4": False, "policy": "SingleStack", "families": ["IPv6"]},
        },
        exposure={
            "kind": "gateway",
            "host": "harbor.example.com",
            "parentRefs": [{"name": "own", "namespace": "registry", "kind": "ListenerSet"}],
            "labels": {"expose": "public"},
            "annotations": {"example.com/ttl": "60"},
        },
    )
    cache = replace(
        sovereign.cache, host="fd00::7", username="harbor", tls=True, trusts_own_ca=True
    )
    return values_of(sovereign, settings=stack, cache=cache, exposure=chart_exposure(stack))


def test_another_estate_s_values_reach_the_objects(sovereign: Created) -> None:
    made = parsed(rendered(harbor_values(of_another_estate(sovereign)), CHART))
    route = made["HTTPRoute", "harbor-route"]
    assert route["spec"]["hostnames"] == ["harbor.example.com"]
    assert route["spec"]["parentRefs"][0]["kind"] == "ListenerSet"
    assert route["metadata"]["labels"]["expose"] == "public"
    assert route["metadata"]["annotations"]["example.com/ttl"] == "60"
    for component, pod in pods(made).items():
        assert pod["spec"]["priorityClassName"] == "business-critical", component
    for (kind, name), item in made.items():
        if kind == "Service":
            assert item["spec"]["ipFamilies"] == ["IPv6"], name
            assert item["spec"]["ipFamilyPolicy"] == "SingleStack", name
    configuration = yaml.safe_load(made["ConfigMap", "harbor-registry"]["data"]["config.yml"])
    assert configuration["redis"]["enableTLS"] is True
    for name in ("registry", "registryctl"):
        variables = environment_of(container(made, name))
        assert variables["REGISTRY_REDIS_ADDR"]["value"] == "[fd00::7]:6379"
    trusting = {
        component
        for component, pod in pods(made).items()
        if sovereign.cache.secret_name in str(pod["spec"]["volumes"])
    }
    assert {"core", "jobservice", "registry", "trivy"} <= trusting


def on_a_volume(sovereign: Created) -> HarborValues:
    return values_of(
        sovereign,
        settings=builders.settings(storage=builders.FILESYSTEM, harbor={"storageClass": "slow"}),
        storage=VolumeStorage(size="50Gi", storage_class="fast"),
    )


def large(sovereign: Created) -> HarborValues:
    settings = builders.settings(
        storage=STORE,
        harbor={"replicas": dict.fromkeys(HarborReplicas.model_fields, 3)},
        metrics={"enabled": True, "serviceMonitor": True},
    )
    return values_of(sovereign, settings=settings)


def behind_an_ingress(sovereign: Created) -> HarborValues:
    ingress = Ingress(class_name="traefik", tls_secret="harbor-tls", annotations={})
    return values_of(sovereign, exposure=ingress)


def beside_others(sovereign: Created) -> HarborValues:
    """A Valkey in which somebody else owns the lower databases."""
    cache = replace(
        sovereign.cache,
        host="valkey-primary.valkey",
        core_index=8,
        jobservice_index=9,
        registry_index=10,
        trivy_index=11,
        harbor_index=12,
        cache_index=13,
    )
    settings = builders.settings(storage=STORE, metrics={"enabled": True})
    return values_of(sovereign, settings=settings, cache=cache)


Case = Callable[[Created], HarborValues]
# Every kind of storage is in test_storage_matrix.py.
CASES: dict[str, Case] = {
    "bucket": values_of,
    "keyless": keyless,
    "private CA, redirect": trusting,
    "volume": on_a_volume,
    "large, metrics": large,
    "other indexes, metrics": beside_others,
    "ingress": behind_an_ingress,
}
every_case = pytest.mark.parametrize("case", CASES)


def helm_values(case: str, sovereign: Created, **annotations: str) -> dict[str, Any]:
    revisions = {**sovereign.annotations, **annotations}
    return harbor_values(CASES[case](sovereign), revisions=revisions)


def manifests(case: str, sovereign: Created, *more: str, chart: str | Path = CHART) -> str:
    arguments = ("--post-renderer", POST_RENDERER, *more)
    return rendered(helm_values(case, sovereign), chart, *arguments)


def objects(case: str, sovereign: Created, *more: str) -> Objects:
    return parsed(manifests(case, sovereign, *more))


# --------------------------------------------------------------------------------------------------
# Storage


@pytest.mark.parametrize("case", ["bucket", "volume", "large, metrics"])
def test_helm_lint_finds_no_failure(case: str, sovereign: Created):
    run = helm("lint", CHART, "--values", "-", values=helm_values(case, sovereign))
    assert run.returncode == 0, run.stdout
    assert "1 chart(s) linted, 0 chart(s) failed" in run.stdout


def test_without_object_storage_nothing_speaks_of_it(sovereign: Created):
    rendering = objects("volume", sovereign)
    assert names(rendering, "Secret") == {
        "harbor-core",
        "harbor-jobservice",
        "harbor-registry",
        "harbor-registryctl",
        "harbor-trivy",
    }
    storage = registry_config(rendering)["storage"]
    assert storage["filesystem"] == {"rootdirectory": "/storage"}
    assert not {"s3", "azure", "gcs", "oss", "swift"} & storage.keys()
    env = rendering["ConfigMap", "harbor-core"]["data"]
    assert env["REGISTRY_STORAGE_PROVIDER_NAME"] == "filesystem"
    about = re.compile(r"seaweed|amazonaws|(?<![a-z0-9])s3(?![a-z0-9])", re.IGNORECASE)
    assert [place for place, text in texts(rendering) if about.search(text)] == []
    # The same search finds plenty where there is a bucket.
    assert [place for place, text in texts(objects("bucket", sovereign)) if about.search(text)]


def test_a_volume_is_as_asked_and_survives_uninstall(sovereign: Created):
    rendering = objects("volume", sovereign)
    assert names(rendering, "PersistentVolumeClaim") == {"harbor-registry"}
    claim = rendering["PersistentVolumeClaim", "harbor-registry"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    (scanner,) = rendering["StatefulSet", "harbor-trivy"]["spec"]["volumeClaimTemplates"]
    assert scanner["spec"]["storageClassName"] == "slow"
    for name in ("harbor-registry", "harbor-jobservice"):
        assert rendering["Deployment", name]["spec"]["strategy"]["type"] == "Recreate"


def test_a_bucket_reaches_the_registry_as_configured(sovereign: Created):
    rendering = objects("bucket", sovereign)
    storage = registry_config(rendering)["storage"]
    assert storage["s3"] == {
        "region": "fsn1",
        "bucket": "omantel-harbor",
        "regionendpoint": "https://s3.example.org",
        "secure": True,
        "v4auth": True,
        "rootdirectory": "images",
        "chunksize": 5242880,
        "multipartcopychunksize": 33554432,
        "multipartcopythresholdsize": 67108864,
        "multipartcopymaxconcurrency": 10,
    }
    assert storage["redirect"] == {"disable": True}
    assert "filesystem" not in storage
    env = rendering["ConfigMap", "harbor-core"]["data"]
    assert env["REGISTRY_STORAGE_PROVIDER_NAME"] == "s3"
    assert names(rendering, "PersistentVolumeClaim") == set()


def test_sizes_are_integers_to_the_registry(sovereign: Created):
    options = registry_config(objects("bucket", sovereign))["storage"]["s3"]
    sizes = {key: value for key, value in options.items() if key.startswith(("chunk", "multi"))}
    assert len(sizes) == 4
    assert {type(value) for value in sizes.values()} == {int}


@every_case
def test_no_number_is_large_enough_to_be_written_as_a_float(case: str, sovereign: Created):
    """Through the engine each number comes as a float, and Helm writes 1000000 as 1e+06."""

    def numbers(node: Any) -> list[float]:
        if isinstance(node, Mapping | list):
            inner = node.values() if isinstance(node, Mapping) else node
            return [number for value in inner for number in numbers(value)]
        return [node] if isinstance(node, int | float) and not isinstance(node, bool) else []

    given = numbers(helm_values(case, sovereign))
    assert given
    assert max(given) < 1_000_000


@pytest.mark.parametrize("case", ["bucket", "private CA, redirect"])
def test_both_containers_of_the_registry_get_the_keys(case: str, sovereign: Created):
    keys = {"secretRef": {"name": sovereign.secret_of["object-storage"]}}
    reached = {
        one["name"]
        for _, one in containers(objects(case, sovereign))
        if keys in one.get("envFrom", [])
    }
    assert reached == {"registry", "registryctl"}


def test_a_private_authority_reaches_both_containers_of_the_registry(sovereign: Created):
    rendering = objects("private CA, redirect", sovereign)
    assert registry_config(rendering)["storage"]["redirect"] == {"disable": False}
    volumes = pods(rendering)["registry"]["spec"]["volumes"]
    (volume,) = [one["name"] for one in volumes if "store-ca" in str(one)]
    trusting = {
        one["name"]
        for _, one in containers(rendering)
        if any(mount["name"] == volume for mount in one["volumeMounts"])
    }
    assert trusting == {"registry", "registryctl"}


def test_keyless_storage_names_no_secret_and_no_endpoint(sovereign: Created):
    rendering = objects("keyless", sovereign)
    options = registry_config(rendering)["storage"]["s3"]
    assert not {"accesskey", "secretkey", "regionendpoint", "rootdirectory"} & options.keys()
    secrets = {reference.name for reference in secret_references(pods(rendering)["registry"])}
    assert not [name for name in secrets if "objectstorage" in name]
    assert "REGISTRY_STORAGE" not in str(secret_text(rendering, "harbor-registry"))


# Case → what the registry takes its storage for, and the variables that it has from a Secret.
KEYS = {"REGISTRY_STORAGE_S3_ACCESSKEY": "a" * 20, "REGISTRY_STORAGE_S3_SECRETKEY": "b" * 40}
STORAGE: dict[str, tuple[str, Mapping[str, str]]] = {
    "bucket": ("s3", KEYS),
    "keyless": ("s3", {}),
    "private CA, redirect": ("s3", KEYS),
    "volume": ("filesystem", {}),
    "large, metrics": ("s3", KEYS),
}


@needs("registry")
@pytest.mark.parametrize("case", STORAGE)
def test_the_registry_accepts_its_configuration(case: str, sovereign: Created, tmp_path: Path):
    kind, variables = STORAGE[case]
    config = objects(case, sovereign)["ConfigMap", "harbor-registry"]["data"]["config.yml"]
    run = parse_by_registry(config, tmp_path, variables)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == kind


@needs("registry")
def test_the_registry_refuses_a_configuration_with_two_storages(sovereign: Created, tmp_path: Path):
    config = objects("bucket", sovereign)["ConfigMap", "harbor-registry"]
    twice = config["data"]["config.yml"].replace(
        "storage:\n", "storage:\n  filesystem:\n    rootdirectory: /storage\n", 1
    )
    run = parse_by_registry(twice, tmp_path, KEYS)
    assert run.returncode != 0
    assert "storage" in run.stderr


# --------------------------------------------------------------------------------------------------
# Nothing random, nothing published, nothing in the clear


@pytest.mark.parametrize("case", ["bucket", "volume", "large, metrics"])
def test_rendered_twice_the_bytes_are_the_same(case: str, sovereign: Created):
    again = helm_template(
        CHART, helm_values(case, sovereign), "--post-renderer", POST_RENDERER
    ).stdout
    assert again == manifests(case, sovereign)


def test_an_upgrade_with_unchanged_input_changes_no_object(sovereign: Created):
    case = "large, metrics"
    upgraded = objects(case, sovereign, "--is-upgrade")
    assert upgraded == objects(case, sovereign)
    assert len(pods(upgraded)) == len(COMPONENTS) + 1


PUBLISHED = ("Harbor12345", "not-a-secure-key", "harbor_registry_password", "changeit", "root123")
"""Passwords and keys that the chart or Harbor's documentation publish."""


def published_in(rendering: Objects) -> set[str]:
    return {word for _, text in texts(rendering) for word in PUBLISHED if word in text}


@every_case
def test_no_published_default_is_anywhere(case: str, sovereign: Created):
    assert published_in(objects(case, sovereign)) == set()


def test_the_search_for_published_defaults_finds_the_charts_own():
    assert published_in(parsed(rendered({}, CHART))) == set(PUBLISHED) - {"root123"}


@every_case
def test_the_charts_own_secrets_hold_no_credential(case: str, sovereign: Created):
    rendering = objects(case, sovereign)
    held = {name: secret_text(rendering, name) for name in names(rendering, "Secret")}
    cache = CASES[case](sovereign).cache
    url = f"redis://{cache.host}:{cache.port}/{cache.trivy_index}?idle_timeout_seconds=30"
    assert {name: data for name, data in held.items() if data} == {
        "harbor-registry": {"REGISTRY_REDIS_PASSWORD": ""},
        # Not what Trivy reads: the post-renderer points it elsewhere.
        "harbor-trivy": {"redisURL": url, "gitHubToken": ""},
    }


@every_case
def test_a_url_with_credentials_has_only_a_reference_in_it(case: str, sovereign: Created):
    rendering = objects(case, sovereign)
    credentials = [
        (place, match[1])
        for place, text in texts(rendering)
        for match in re.finditer(r"[a-z+]+://([^/\s@]*)@", text)
    ]
    assert {credential for _, credential in credentials} == {":$(VALKEY_PASSWORD)"}
    # The kubelet fills references in in containers only.
    assert {place.split("/")[0] for place, _ in credentials} == {"Deployment"}


# --------------------------------------------------------------------------------------------------
# Valkey and PostgreSQL


@pytest.mark.parametrize("case", ["large, metrics", "other indexes, metrics"])
def test_the_password_reaches_every_valkey_url_by_the_environment(case: str, sovereign: Created):
    """Each URL that the chart writes into a ConfigMap is overridden where it is read."""
    rendering = objects(case, sovereign)
    cache = CASES[case](sovereign).cache
    overridden: dict[str, dict[str, int]] = {}
    for _, one in containers(rendering):
        sources = [source.get("configMapRef") for source in one.get("envFrom", [])]
        from_map = {
            key: value
            for source in sources
            if source
            for key, value in (rendering["ConfigMap", source["name"]].get("data") or {}).items()
        }
        variables = environment_of(one)
        if one["name"] == "jobservice":
            # Here the chart writes it into a file, over which the variable has precedence.
            config = rendering["ConfigMap", "harbor-jobservice"]["data"]["config.yml"]
            (url,) = re.findall(r'redis_url: "(.*)"', config)
            from_map["JOB_SERVICE_POOL_REDIS_URL"] = url
        for name, url in from_map.items():
            if not url.startswith("redis://"):
                continue
            ours = variables[name]["value"]
            assert ours == url.replace("//", "//:$(VALKEY_PASSWORD)@")
            index = re.fullmatch(rf"redis://{re.escape(cache.host)}:{cache.port}/(\d+).*", url)
            assert index
            overridden.setdefault(one["name"], {})[name] = int(index[1])
            # A reference is filled in only from a variable that stands before it.
            order = list(variables)
            assert order.index("VALKEY_PASSWORD") < order.index(name)
            assert variables["VALKEY_PASSWORD"]["valueFrom"] == {
                "secretKeyRef": {"name": cache.secret_name, "key": "urlPassword"}
            }
    assert overridden == {
        "core": {
            "_REDIS_URL_CORE": cache.core_index,
            "_REDIS_URL_REG": cache.registry_index,
            "_REDIS_URL_HARBOR": cache.harbor_index,
            "_REDIS_URL_CACHE_LAYER": cache.cache_index,
        },
        "jobservice": {
            "JOB_SERVICE_POOL_REDIS_URL": cache.jobservice_index,
            "_REDIS_URL_CACHE_LAYER": cache.cache_index,
        },
        "exporter": {"HARBOR_REDIS_URL": cache.jobservice_index},
    }


def test_with_the_charts_cache_on_jobservice_has_its_url_too(sovereign: Created):
    values = merged(helm_values("bucket", sovereign), {"cache": {"enabled": True}})
    rendering = parsed(rendered(values, CHART))
    url = rendering["ConfigMap", "harbor-jobservice-env"]["data"]["_REDIS_URL_CORE"]
    variables = environment_of(container(rendering, "jobservice"))
    assert variables["_REDIS_URL_CORE"]["value"] == url.replace("//", "//:$(VALKEY_PASSWORD)@")


@pytest.mark.parametrize("case", ["bucket", "other indexes, metrics"])
def test_the_registry_and_trivy_get_the_valkey_password(case: str, sovereign: Created):
    rendering = objects(case, sovereign)
    cache = CASES[case](sovereign).cache
    config = registry_config(rendering)["redis"]
    assert config["addr"] == f"{cache.host}:{cache.port}"
    assert config["db"] == cache.registry_index
    # Chart 1.19 writes the key in any case; the variable replaces its empty value.
    assert not config.get("password")
    password = {"secretKeyRef": {"name": cache.secret_name, "key": "REDIS_PASSWORD"}}
    for name in ("registry", "registryctl"):
        variables = environment_of(container(rendering, name))
        assert variables["REGISTRY_REDIS_PASSWORD"]["valueFrom"] == password
    url = {"secretKeyRef": {"name": cache.secret_name, "key": "trivyRedisUrl"}}
    variables = environment_of(container(rendering, "trivy"))
    assert {name: variables[name]["valueFrom"] for name in VARIABLES} == dict.fromkeys(
        VARIABLES, url
    )


def test_the_database_is_reached_by_name_and_by_secret(sovereign: Created):
    rendering = objects("large, metrics", sovereign)
    core = rendering["ConfigMap", "harbor-core"]["data"]
    exporter = rendering["ConfigMap", "harbor-exporter-env"]["data"]
    at = sovereign.database
    for config, prefix, name in (
        (core, "POSTGRESQL", "DATABASE"),
        (exporter, "HARBOR_DATABASE", "DBNAME"),
    ):
        assert config[f"{prefix}_HOST"] == at.host
        assert config[f"{prefix}_PORT"] == "5432"
        assert config[f"{prefix}_USERNAME"] == at.username
        assert config[f"{prefix}_{name}"] == at.name
        assert config[f"{prefix}_SSLMODE"] == "require"
        assert config[f"{prefix}_MAX_OPEN_CONNS"] == str(at.max_open_connections)
        assert int(config[f"{prefix}_MAX_IDLE_CONNS"]) <= at.max_open_connections
    password = {"secretKeyRef": {"name": at.secret_name, "key": "password"}}
    for name, variable in (
        ("core", "POSTGRESQL_PASSWORD"),
        ("exporter", "HARBOR_DATABASE_PASSWORD"),
    ):
        assert environment_of(container(rendering, name))[variable]["valueFrom"] == password


# --------------------------------------------------------------------------------------------------
# Secrets and rotation


@pytest.mark.parametrize("case", [case for case in CASES if case != "private CA, redirect"])
def test_every_secret_a_pod_refers_to_exists(case: str, sovereign: Created):
    rendering = objects(case, sovereign)
    of_chart = {
        name: frozenset(secret_text(rendering, name)) for name in names(rendering, "Secret")
    }
    there = {**of_chart, **sovereign.keys}
    references = [
        (pod, one) for pod, spec in pods(rendering).items() for one in secret_references(spec)
    ]
    assert len(references) > 20
    missing = [
        (pod, one)
        for pod, one in references
        if one.name not in there or (one.key is not None and one.key not in there[one.name])
    ]
    assert missing == []


def test_every_secret_that_is_created_is_read(sovereign: Created):
    rendering = objects("large, metrics", sovereign)
    read = {one.name for pod in pods(rendering).values() for one in secret_references(pod)}
    # The account is the program's: no pod logs in by it.
    assert sovereign.keys.keys() - read == {secret_name(REGISTRY_ACCOUNT)}


ASKED_FOR = {"jobservice": {"database-password"}}
"""Read without a reference: jobservice asks core for the database's password when it starts
(/api/v2.0/internalconfig), and keeps it."""


def read_by_pods(sovereign: Created) -> dict[str, set[str]]:
    """Component → credentials that its pods read, from their references."""
    credential = {secret: what for what, secret in sovereign.secret_of.items()}
    return {
        component: {
            credential[one.name] for one in secret_references(pod) if one.name in credential
        }
        | ASKED_FOR.get(component, set())
        for component, pod in pods(objects("large, metrics", sovereign)).items()
    }


def test_readers_are_exactly_those_whose_pods_read(sovereign: Created):
    read = {component: secrets for component, secrets in read_by_pods(sovereign).items() if secrets}
    assert {component: set(of) for component, of in READ_BY.items()} == read
    for component, credentials in READ_BY.items():
        assert len(credentials) == len(set(credentials)), component


def test_what_is_asked_for_has_no_reference(sovereign: Created):
    """Or ASKED_FOR would hide that the chart has learnt to refer to it."""
    running = pods(objects("large, metrics", sovereign))
    for component, credentials in ASKED_FOR.items():
        secrets = {sovereign.secret_of[what] for what in credentials}
        assert secrets.isdisjoint(one.name for one in secret_references(running[component]))


def test_a_rotation_changes_the_annotation_of_its_readers_only(sovereign: Created):
    read = read_by_pods(sovereign)
    assert sovereign.rotated.keys() == sovereign.secret_of.keys()
    for credential, after in sovereign.rotated.items():
        changed = {name for name in after if after[name] != sovereign.annotations[name]}
        assert changed == {name for name, of in read.items() if credential in of}, credential


@pytest.mark.parametrize("component", READ_BY)
def test_an_annotation_restarts_the_pods_of_its_component_only(component: str, sovereign: Created):
    case = "large, metrics"
    values = helm_values(case, sovereign, **{component: "rotated"})
    after = pods(parsed(rendered(values, CHART, "--post-renderer", POST_RENDERER)))
    before = pods(objects(case, sovereign))
    assert {name for name in before if before[name] != after[name]} == {component}


# --------------------------------------------------------------------------------------------------
# Pods


@every_case
def test_there_are_harbors_pods_and_no_database_of_the_charts_own(case: str, sovereign: Created):
    running = pods(objects(case, sovereign))
    assert running.keys() == COMPONENTS | ({"exporter"} if "metrics" in case else set())


@every_case
def test_every_pod_runs_on_amd64_and_accepts_its_taint(case: str, sovereign: Created):
    for name, pod in pods(objects(case, sovereign)).items():
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/arch": "amd64"}, name
        assert pod["spec"]["tolerations"] == [
            {
                "key": "kubernetes.io/arch",
                "operator": "Equal",
                "value": "amd64",
                "effect": "NoSchedule",
            }
        ], name


@every_case
def test_every_container_has_its_resources(case: str, sovereign: Created):
    expected = {
        name: {"requests": of, "limits": {"memory": of["memory"]}}
        for name, of in SETTINGS.harbor.resources.model_dump().items()
    }
    expected["trivy"]["limits"]["cpu"] = "1"  # the chart's own, which cannot be taken away
    resources = {
        one["name"]: one.get("resources") for _, one in containers(objects(case, sovereign))
    }
    assert resources == {name: expected[name] for name in resources}
    assert len(resources) >= 6


@pytest.mark.parametrize(
    ("cpu", "limit"), [("500m", "1"), ("1", "1"), ("1500m", "1500m"), ("2", "2"), ("2.5", "2500m")]
)
def test_trivys_limit_is_never_below_its_request(cpu: str, limit: str, sovereign: Created):
    """The chart limits it to one processor; Kubernetes refuses a request above the limit."""
    asked = {"resources": {"trivy": {"cpu": cpu, "memory": "1Gi"}}}
    settings = builders.settings(storage=STORE, harbor=asked)
    values = harbor_values(values_of(sovereign, settings=settings))
    assert values["trivy"]["resources"]["limits"] == {"cpu": limit, "memory": "1Gi"}


RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


@every_case
def test_every_pod_meets_the_restricted_standard(case: str, sovereign: Created):
    """Kubernetes' Pod Security Standard `restricted`, rule by rule."""
    for name, pod in pods(objects(case, sovereign)).items():
        spec = pod["spec"]
        of_pod = spec.get("securityContext", {})
        assert not [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
        assert spec["automountServiceAccountToken"] is False
        for volume in spec.get("volumes") or []:
            assert volume.keys() - {"name"} <= RESTRICTED_VOLUMES, name
        for one in containers_of(pod):
            context = {**of_pod, **one["securityContext"]}
            assert context["runAsNonRoot"] is True, name
            assert context["runAsUser"] > 0, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert not context.get("privileged"), name
            assert not [port for port in one.get("ports", []) if "hostPort" in port], name


def test_several_replicas_are_spread_over_nodes(sovereign: Created):
    rendering = objects("large, metrics", sovereign)
    for (kind, _), item in rendering.items():
        if kind not in ("Deployment", "StatefulSet"):
            continue
        assert item["spec"]["replicas"] == 3
        (spread,) = item["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == {"matchLabels": item["spec"]["selector"]["matchLabels"]}
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        # With fewer nodes than replicas Harbor still runs.
        assert spread["whenUnsatisfiable"] == "ScheduleAnyway"


def test_one_replica_has_nothing_to_spread(sovereign: Created):
    for pod in pods(objects("bucket", sovereign)).values():
        assert "topologySpreadConstraints" not in pod["spec"]


def test_metrics_are_served_and_found(sovereign: Created):
    rendering = objects("large, metrics", sovereign)
    for name in ("core", "registry", "jobservice", "exporter"):
        ports = {
            p["name"]: p["port"] for p in rendering["Service", f"harbor-{name}"]["spec"]["ports"]
        }
        assert ports["http-metrics"] == 8001, name
    monitor = rendering["ServiceMonitor", "harbor"]
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == ["http-metrics"]
    assert registry_config(rendering)["http"]["debug"]["addr"] == ":8001"
    without = objects("bucket", sovereign)
    assert not [key for key in without if "exporter" in key[1] or key[0] == "ServiceMonitor"]


# --------------------------------------------------------------------------------------------------
# Exposure


def test_the_gateway_has_a_route_and_nobody_waits_for_a_certificate(sovereign: Created):
    rendering = objects("bucket", sovereign)
    route = rendering["HTTPRoute", "harbor-route"]["spec"]
    assert route["hostnames"] == ["registry.omantel.omani.works"]
    assert route["parentRefs"] == [GATEWAY]
    backends = {
        match["path"]["value"]: rule["backendRefs"][0]["name"]
        for rule in route["rules"]
        for match in rule["matches"]
    }
    assert backends["/v2/"] == backends["/service/"] == backends["/api/"] == "harbor-core"
    assert backends["/"] == "harbor-portal"
    assert not names(rendering, "Ingress")
    config = rendering["ConfigMap", "harbor-core"]["data"]
    assert config["EXT_ENDPOINT"] == "https://registry.omantel.omani.works"
    mounted = [mount["name"] for mount in container(rendering, "core")["volumeMounts"]]
    assert "ca-download" not in mounted


def test_an_ingress_has_the_host_and_its_certificate(sovereign: Created):
    rendering = objects("ingress", sovereign)
    ingress = rendering["Ingress", "harbor-ingress"]["spec"]
    assert ingress["ingressClassName"] == "traefik"
    host = "registry.omantel.omani.works"
    assert ingress["tls"] == [{"secretName": "harbor-tls", "hosts": [host]}]
    assert {rule["host"] for rule in ingress["rules"]} == {host}
    assert not names(rendering, "HTTPRoute")
    # No certificate of the chart's own making, which would be another one at each render.
    assert "harbor-ingress" not in names(rendering, "Secret")


def test_job_logs_need_no_volume(sovereign: Created):
    config = objects("bucket", sovereign)["ConfigMap", "harbor-jobservice"]["data"]["config.yml"]
    assert [logger["name"] for logger in yaml.safe_load(config)["job_loggers"]] == ["DB"]


# --------------------------------------------------------------------------------------------------
# The post-renderer

BOTH_CHARTS = [str(STAND_IN), *([REAL] if REAL else [])]


def by_name(items: list[Object]) -> Objects:
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


@pytest.mark.parametrize("chart", BOTH_CHARTS, ids=["stand-in", "real"][: len(BOTH_CHARTS)])
def test_post_rendering_changes_three_variables_and_nothing_else(
    chart: str, sovereign: Created, tmp_path: Path
):
    """As Helm reads it: every object, every type."""
    case = "large, metrics"
    before = documents(rendered(helm_values(case, sovereign), chart))
    after = documents(manifests(case, sovereign, chart=chart))
    assert len(before) == len(after) > 20
    read = as_helm_reads([*before, *after], tmp_path / "reader")
    expected = by_name(copy.deepcopy(read[: len(before)]))
    trivy = expected["StatefulSet", "harbor-trivy"]["spec"]["template"]
    secret = sovereign.cache.secret_name
    variables = environment_of(trivy["spec"]["containers"][0])
    for name in VARIABLES:
        assert variables[name]["valueFrom"]["secretKeyRef"]["name"] == "harbor-trivy"
        variables[name]["valueFrom"] = {"secretKeyRef": {"name": secret, "key": KEY}}
    assert by_name(read[len(before) :]) == expected
    assert by_name(read[: len(before)]) != expected
    # The annotation looks like a number here, and stays a text.
    revision = sovereign.annotations["trivy"]
    assert re.fullmatch(r"\d+e\d", revision)
    assert trivy["metadata"]["annotations"]["sovereign-harbor/secrets"] == revision


AWKWARD = (
    *("yes", "no", "on", "Off", "y", "N", "true", "False", "null", "~", ""),
    *("0777", "0o17", "0x1F", "1e3", "1E5", "12345e67", ".5", "1.", "-1", "+1", "1_000", "12:30"),
    *(".inf", "-.INF", ".nan", "2024-01-01", "2024-01-01T00:00:00Z", "=", "<<", "-", "?", "---"),
    *("a: b", "a #b", "#b", "*a", "&a", "!a", "%a", "@a", "`a", "[a", "{a", "'", '"', "\\n"),
    *(" a", "a ", "a\tb", "a\n", "\na", "a\n\nb\n", "a \nb", "ü", "😀", "\u2028", "x" * 300),
)


def quoted(text: str) -> str:
    escaped = "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{escaped}"'


def test_post_rendering_keeps_the_type_of_every_scalar(tmp_path: Path):
    """Texts that look like something else, quoted and plain, as values and as keys."""
    # Helm has no number for infinity, so no chart has one.
    unreadable = ("---", "-", "?", ".inf", "-.INF", ".nan")
    plain = [text for text in AWKWARD if re.fullmatch(r"[!-~]+", text) and text not in unreadable]
    plain = [text for text in plain if text[0] not in "#*&!%@`[{'\""]
    before = [f"kind: A\nkeys: {{{quoted(text)}: {quoted(text)}}}\n" for text in AWKWARD]
    before += [f"kind: A\nplain:\n  - {text}\n" for text in plain]
    before += ["kind: A\nblock: |+\n  a: 1\n  ---\n\nfolded: >-\n  a\n  b\n"]
    before += ["kind: A\ntab:\n  - apiVersion: v1\t\n    anchors: [&x {a: 1e3}, *x]\n"]
    separated = "".join(f"---\n{text}" for text in before)
    after = [f"{part}" for part in re.split(r"^---\n", post_render(separated), flags=re.M) if part]
    assert len(after) == len(before) > len(AWKWARD)
    read = as_helm_reads([*before, *after], tmp_path / "reader")
    assert not [manifest for manifest in read if "Error" in manifest]
    for text, manifest, kept in zip(before, read, read[len(before) :], strict=False):
        assert manifest == kept, text
    assert [manifest["keys"] for manifest in read[: len(AWKWARD)]] == [
        {text: text} for text in AWKWARD
    ]


STATEFUL_SET = f"""\
kind: StatefulSet
spec:
  template:
    metadata:
      annotations: {{{VALKEY_SECRET_ANNOTATION}: ours}}
    spec:
      containers:
        - name: trivy
          env:
            - {{name: SCANNER_REDIS_URL, value: redis://plain}}
            - {{name: OTHER, value: "1"}}
        - name: without
"""


def test_post_rendering_replaces_a_plain_value_too():
    (stateful_set,) = parsed_list(post_render(STATEFUL_SET))
    with_env, without = stateful_set["spec"]["template"]["spec"]["containers"]
    assert with_env["env"] == [
        {
            "name": "SCANNER_REDIS_URL",
            "valueFrom": {"secretKeyRef": {"name": "ours", "key": "trivyRedisUrl"}},
        },
        {"name": "OTHER", "value": "1"},
    ]
    assert without == {"name": "without"}


@pytest.mark.parametrize(
    "untouched",
    [
        STATEFUL_SET.replace("StatefulSet", "Deployment"),
        STATEFUL_SET.replace(VALKEY_SECRET_ANNOTATION, "another"),
        STATEFUL_SET.replace("SCANNER_REDIS_URL", "REDIS_URL"),
        "kind: StatefulSet\n",
        "kind: ConfigMap\ndata: {a: 'yes'}\n",
        "# only a comment\n",
        "",
    ],
)
def test_post_rendering_leaves_everything_else_alone(untouched: str):
    assert parsed_list(post_render(untouched)) == parsed_list(untouched)


def parsed_list(text: str) -> list[Object]:
    return [document for document in yaml.safe_load_all(text) if document]
