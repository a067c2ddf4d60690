"""What exists already is adopted whole, or refused with the commands that help."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from components.harbor.recovery import Record
from components.preflight.adoption.database import cluster_problems, is_ours, unwritten
from components.preflight.adoption.release import (
    PUBLISHED_KEY,
    key_problem,
    key_warning,
    lock_problem,
    release_problems,
)
from components.preflight.adoption.running import RunningHarbor, running_harbor
from tests.support.builders import BUCKET, FILESYSTEM, Cluster, settings

KEY = "estatesKey16char"
S3 = {"bucket": "omantel-harbor", "rootdirectory": "/", "region": "us-east-1"}

RUNNING = RunningHarbor(
    address="https://registry.omantel.omani.works",
    key_secret="harbor-core",
    key=KEY,
    database_host="harbor-pg-rw.harbor.svc.cluster.local",
    database_name="registry",
    store=S3,
)
DEPLOYED = Record(
    path="",
    revision=2,
    status="deployed",
    chart_version="1.18.3",
    external_url=None,
    has_values=False,
    made_here=False,
)
SHARED = {
    "mode": "shared",
    "host": "pg-rw.databases.svc",
    "name": "harbor",
    "username": "harbor",
    "secret": {"namespace": "databases", "name": "pg-app"},
}


# --- Reading what runs -------------------------------------------------------------------------


def chart_objects(namespace: str = "harbor") -> dict[str, Any]:
    """What of a release's objects is read, as the chart writes them."""
    apps, core = f"/apis/apps/v1/namespaces/{namespace}", f"/api/v1/namespaces/{namespace}"
    volumes = [
        {"name": "config", "configMap": {"name": "harbor-core"}},
        {"name": "secret-key", "secret": {"secretName": "harbor-core", "items": []}},
    ]
    return {
        f"{apps}/deployments/harbor-core": {"spec": {"template": {"spec": {"volumes": volumes}}}},
        f"{core}/secrets/harbor-core": {
            "data": {"secretKey": base64.b64encode(KEY.encode()).decode()}
        },
        f"{core}/configmaps/harbor-core": {
            "data": {
                "EXT_ENDPOINT": RUNNING.address,
                "POSTGRESQL_HOST": RUNNING.database_host,
                "POSTGRESQL_DATABASE": RUNNING.database_name,
            }
        },
        f"{core}/configmaps/harbor-registry": {
            "data": {
                "config.yml": "version: 0.1\nstorage:\n  delete: {enabled: true}\n  s3:\n"
                "    bucket: omantel-harbor\n    rootdirectory: /\n    region: us-east-1\n"
                "  redirect: {disable: true}\n"
            }
        },
    }


def read(objects: dict[str, Any]) -> RunningHarbor | None:
    return running_harbor(Cluster(objects), "harbor")  # pyright: ignore[reportArgumentType]


def test_a_harbor_is_read_from_its_own_objects() -> None:
    assert read(chart_objects()) == RUNNING


KEY_FILE = {"name": "key-of-core", "mountPath": "/etc/core/key", "subPath": "key"}


@pytest.mark.parametrize(
    ("secret", "entry"),
    [
        (
            {"secretName": "harbor-secrets", "items": [{"key": "core-key", "path": "key"}]},
            "core-key",
        ),
        ({"secretName": "harbor-secrets"}, "key"),
    ],
    ids=["one entry", "the whole Secret"],
)
def test_a_harbor_of_other_manifests_has_its_key_where_core_reads_it(
    secret: dict[str, Any], entry: str
) -> None:
    objects = chart_objects()
    pod = {
        "containers": [{"name": "core", "volumeMounts": [KEY_FILE]}],
        "volumes": [{"name": "secret-key"}, {"name": "key-of-core", "secret": secret}],
    }
    deployment = "/apis/apps/v1/namespaces/harbor/deployments/harbor-core"
    objects[deployment] = {"spec": {"template": {"spec": pod}}}
    encoded = base64.b64encode(KEY.encode()).decode()
    objects["/api/v1/namespaces/harbor/secrets/harbor-secrets"] = {"data": {entry: encoded}}
    running = read(objects)
    assert running is not None
    assert running == replace(RUNNING, key_secret="harbor-secrets", key_entry=entry)
    problem = key_problem(running, is_key=None, namespace="harbor", stack="omantel")
    assert f"jsonpath='{{.data.{entry}}}'" in (problem or "")


def test_of_a_core_without_a_mounted_key_nothing_is_said_about_it() -> None:
    def never(_: str) -> bool:
        return False

    running = replace(RUNNING, key_secret="", key="")
    for is_key in (None, never):
        problem = key_problem(running, is_key=is_key, namespace="harbor", stack="omantel")
        assert problem is None


def test_a_namespace_without_harbor_has_none() -> None:
    assert read({}) is None


def test_the_key_is_in_no_text_of_it() -> None:
    assert KEY not in repr(RUNNING)


def test_what_a_release_lacks_is_read_as_empty() -> None:
    objects = chart_objects()
    objects = {path: one for path, one in objects.items() if not path.endswith("harbor-registry")}
    running = read(objects)
    assert running is not None
    assert running.store == {}


# --- The key -----------------------------------------------------------------------------------


def refused_key(secret: str, given: str | None) -> str | None:
    is_key: Callable[[str], bool] | None = None if given is None else given.__eq__
    running = replace(RUNNING, key_secret=secret)
    return key_problem(running, is_key=is_key, namespace="harbor", stack="omantel")


@pytest.mark.parametrize(
    ("secret", "given", "word"),
    [
        ("harbor-core", KEY, None),
        ("their-own-secret", KEY, None),
        ("harbor-minted-secret-key", None, None),
        ("harbor-given-secret-key", KEY, None),
        ("harbor-core", None, "was given none"),
        ("harbor-core", KEY[::-1], "was given another one"),
        ("their-own-secret", None, "Secret their-own-secret"),
        ("harbor-given-secret-key", None, "was given none"),
        ("harbor-given-secret-key", KEY[::-1], "was given another one"),
        ("harbor-minted-secret-key", KEY[::-1], "was given another one"),
    ],
)
def test_harbor_never_gets_another_key_than_it_has(
    secret: str, given: str | None, word: str | None
) -> None:
    words = refused_key(secret, given)
    if word is None:
        assert words is None
        return
    assert words is not None
    assert word in words
    assert f"kubectl get secret {secret} -n harbor" in words
    assert "pulumi config set --secret harborSecretKey -s omantel" in words
    assert KEY not in words
    assert KEY[::-1] not in words


def test_the_key_that_the_chart_publishes_is_named_in_a_warning() -> None:
    assert key_warning(RUNNING) is None
    assert PUBLISHED_KEY in (key_warning(replace(RUNNING, key=PUBLISHED_KEY)) or "")


# --- The release -------------------------------------------------------------------------------


def problems(
    running: dict[str, Any], record: dict[str, Any], sections: dict[str, Any]
) -> list[str]:
    return list(
        release_problems(
            replace(RUNNING, **running),
            replace(DEPLOYED, **record),
            settings(**sections),
            "omantel",
        )
    )


@pytest.mark.parametrize(
    ("running", "record", "sections"),
    [
        ({}, {}, {}),
        ({"database_host": "harbor-pg-rw"}, {}, {}),
        ({"database_host": "harbor-pg-rw.harbor.svc"}, {}, {}),
        (
            {"database_host": "pg-rw.databases.svc.cluster.local", "database_name": "harbor"},
            {},
            {"database": SHARED},
        ),
        ({"store": {**S3, "rootdirectory": None}}, {}, {}),
        (
            {"store": {**S3, "rootdirectory": "/images"}},
            {},
            {"storage": {**BUCKET, "rootDirectory": "images"}},
        ),
        ({"store": {}}, {}, {"storage": FILESYSTEM}),
        ({"store": {"bucket": "omantel-harbor"}}, {}, {}),
    ],
    ids=str,
)
def test_a_release_that_stays_the_same_harbor_may_be_adopted(
    running: dict[str, Any], record: dict[str, Any], sections: dict[str, Any]
) -> None:
    assert problems(running, record, sections) == []


@pytest.mark.parametrize(
    ("running", "record", "reason", "fix"),
    [
        ({}, {"has_values": True}, "readably into this stack's state", "without them"),
        ({}, {"status": "pending-upgrade"}, "is pending-upgrade", "with helm first"),
        (
            {"database_host": "harbor-database"},
            {},
            "the chart's own PostgreSQL",
            "adopt-a-release.md",
        ),
        (
            {"database_host": "harbor-pg-rw.databases"},
            {},
            "at harbor-pg-rw.databases, and would use registry at harbor-pg-rw",
            "database.mode shared",
        ),
        ({"database_name": "core"}, {}, "uses database core", "database.mode shared"),
        (
            {"store": {"rootdirectory": "/storage"}},
            {},
            "are in a volume, and would be looked for in omantel-harbor",
            "adopt-a-release.md",
        ),
        (
            {"store": {**S3, "bucket": "other"}},
            {},
            "are in other, and would be looked for in omantel-harbor",
            "set storage to where they are",
        ),
        (
            {"store": {**S3, "rootdirectory": "/images"}},
            {},
            "below /images in the bucket",
            "pulumi config set --path 'storage.rootDirectory' '/images' -s omantel",
        ),
    ],
)
def test_a_release_that_would_become_another_harbor_is_refused(
    running: dict[str, Any], record: dict[str, Any], reason: str, fix: str
) -> None:
    (words,) = problems(running, record, {})
    said, _, remedy = words.partition("\n  fix: ")
    assert reason in said
    assert fix in remedy


def test_all_that_stands_against_a_release_is_said_at_once() -> None:
    running = {"store": {}, "database_host": "harbor-database"}
    assert len(problems(running, {"has_values": True}, {})) == 3


# --- The database ------------------------------------------------------------------------------

IMAGE = "ghcr.io/cloudnative-pg/postgresql:17.6-standard-bookworm"
SPEC: dict[str, Any] = {
    "instances": 1,
    "imageName": "registry:5000/cloudnative-pg/postgresql:17.2",
    "storage": {"size": "10Gi"},
    "bootstrap": {
        "initdb": {"database": "registry", "owner": "harbor", "secret": {"name": "harbor-pg-app"}}
    },
}


@pytest.mark.parametrize("spec", [{}, {"backup": None, "affinity": {"x": "y"}}], ids=str)
def test_a_cluster_that_keeps_its_data_may_be_adopted(spec: dict[str, Any]) -> None:
    assert list(cluster_problems({**SPEC, **spec}, IMAGE, "omantel")) == []


@pytest.mark.parametrize(
    ("spec", "reason", "fix"),
    [
        (
            {"bootstrap": {"initdb": {"database": "core", "owner": "harbor"}}},
            "database registry and owner harbor",
            "database.mode shared",
        ),
        ({"bootstrap": {"recovery": {"source": "x"}}}, "by initdb", "database.mode shared"),
        ({"backup": {"barmanObjectStore": {}}}, "has backup,", "database.mode shared"),
        (
            {"imageName": "ghcr.io/cloudnative-pg/postgresql:16.4"},
            "another major version",
            "'database.image' ghcr.io/cloudnative-pg/postgresql:16.4",
        ),
        ({"imageName": None}, "another major version", "'database.image' <its image>"),
    ],
)
def test_a_cluster_that_would_lose_something_is_refused(
    spec: dict[str, Any], reason: str, fix: str
) -> None:
    (words,) = cluster_problems({**SPEC, **spec}, IMAGE, "omantel")
    said, _, remedy = words.partition("\n  fix: ")
    assert reason in said
    assert fix in remedy


def test_a_cluster_is_ours_by_the_secret_that_it_names() -> None:
    ours = {"bootstrap": {"initdb": {"secret": {"name": "harbor-pg-credentials"}}}}
    assert is_ours(ours)
    assert not is_ours(SPEC)
    assert not is_ours({"bootstrap": {"recovery": {}}})


def test_what_an_adoption_does_not_write_is_named() -> None:
    postgresql = {
        "parameters": {"max_connections": "100", "shared_buffers": "1GB"},
        "pg_hba": ["host all all all md5"],
    }
    assert unwritten(SPEC) == []
    parts = unwritten({**SPEC, "affinity": {}, "postgresql": postgresql})
    assert parts == ["affinity", "postgresql.pg_hba", "postgresql.parameters.shared_buffers"]


# --- Settings that a variable locks ------------------------------------------------------------


def overwritten(objects: dict[str, Any], *, in_the_config_map: bool) -> dict[str, Any]:
    core = "/api/v1/namespaces/harbor/configmaps/harbor-core"
    deployment = objects["/apis/apps/v1/namespaces/harbor/deployments/harbor-core"]
    if in_the_config_map:
        objects[core]["data"]["CONFIG_OVERWRITE_JSON"] = "{}"
    else:
        source = {"secretKeyRef": {"name": "harbor-core", "key": "CONFIG_OVERWRITE_JSON"}}
        variable = {"name": "CONFIG_OVERWRITE_JSON", "valueFrom": source}
        containers = [{"name": "core", "env": [{"name": "A", "value": "b"}, variable]}]
        deployment["spec"]["template"]["spec"]["containers"] = containers
    return objects


@pytest.mark.parametrize("in_the_config_map", [False, True])
def test_a_variable_that_locks_every_setting_is_refused(in_the_config_map: bool) -> None:
    client: Any = Cluster(overwritten(chart_objects(), in_the_config_map=in_the_config_map))
    running = running_harbor(client, "harbor")
    assert running is not None
    words = lock_problem(running, settings(), "omantel") or ""
    assert "core.configureUserSettings or core.extraEnvVars" in words
    assert "kubectl set env deployment/harbor-core -n harbor CONFIG_OVERWRITE_JSON-" in words
    assert lock_problem(running, settings(registry={"enabled": False}), "omantel") is None


def test_a_harbor_without_that_variable_is_not_refused() -> None:
    client: Any = Cluster(chart_objects())
    running = running_harbor(client, "harbor")
    assert running is not None
    assert lock_problem(running, settings(), "omantel") is None
