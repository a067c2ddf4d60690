"""Every image that a Sovereign needs: its name upstream, and the name under which it is pulled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components import images, versions
from components.data_services.postgres import PostgresArgs, cluster_spec
from components.data_services.valkey import ValkeyArgs, stateful_set_spec
from components.images import Image, placed, published
from components.network.rules import DataServices, perimeter
from components.settings.database import DedicatedDatabase
from components.settings.image_registry import host_of
from components.settings.valkey import DedicatedValkey
from tests.support import builders
from tests.support.raw_settings import SHARED_DATABASE, SHARED_VALKEY

MIRROR = "mirror.internal:5000/harbor"
DIGEST = f"sha256:{'0' * 64}"


def of(**sections: Any) -> dict[str, Image]:
    """Component → its image."""
    made = images.images(builders.settings(**sections))
    by_component = {image.component: image for image in made}
    assert len(by_component) == len(made)
    return by_component


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("goharbor/harbor-core:v2.14.3", f"{MIRROR}/goharbor/harbor-core:v2.14.3"),
        ("docker.io/goharbor/harbor-core:v2.15.1", f"{MIRROR}/goharbor/harbor-core:v2.15.1"),
        (f"ghcr.io/a/b:17.6@{DIGEST}", f"{MIRROR}/a/b:17.6@{DIGEST}"),
        ("localhost:5000/a", f"{MIRROR}/a"),
        ("registry:5000/a/b", f"{MIRROR}/a/b"),
        ("busybox", f"{MIRROR}/library/busybox"),
        ("busybox:1.37", f"{MIRROR}/library/busybox:1.37"),
        (f"{MIRROR}/cnpg/postgresql:17.5", f"{MIRROR}/cnpg/postgresql:17.5"),
        ("mirror.internal:5000/harbor2/x", f"{MIRROR}/harbor2/x"),
    ],
)
def test_image_registry_replaces_the_host_and_nothing_else(reference: str, name: str) -> None:
    assert placed(reference, MIRROR) == name
    assert placed(reference, None) == reference


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("goharbor/harbor-core:v2.14.3", "docker.io/goharbor/harbor-core:v2.14.3"),
        ("docker.io/goharbor/harbor-core:v2.15.1", "docker.io/goharbor/harbor-core:v2.15.1"),
        ("busybox", "docker.io/library/busybox"),
        ("localhost/a", "localhost/a"),
    ],
)
def test_the_name_upstream_has_its_host(reference: str, name: str) -> None:
    assert published(reference) == name


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("registry.a.b/x", "registry.a.b"),
        ("registry.a.b:443/project", "registry.a.b"),
        ("localhost:5000/a", "localhost"),
        ("mirror.internal", ""),
        ("busybox:1.37", ""),
        ("goharbor/harbor-core:v2", ""),
        ("busybox:1", ""),
    ],
)
def test_the_host_of_a_name_has_no_port(text: str, host: str) -> None:
    assert host_of(text) == host


def test_a_whole_sovereign_needs_these_images() -> None:
    listed = of(metrics={"enabled": True})
    assert set(listed) == {
        *("core", "portal", "jobservice", "registry", "registryctl", "trivy", "exporter"),
        *("database", "database-operator", "cache", "trivy-db", "trivy-java-db"),
    }
    assert listed["core"].source == "docker.io/goharbor/harbor-core:v2.14.3"
    assert listed["core"].chart_key == "core.image"
    assert listed["core"].platform == "linux/amd64"
    assert listed["database"].source == versions.POSTGRES_IMAGE
    assert listed["database"].platform is None, "its pods run on nodes of any architecture"
    assert listed["cache"].digest == versions.VALKEY_IMAGE.partition("@")[2]
    assert listed["database-operator"].role == "operator"
    assert listed["trivy-db"].source == "mirror.gcr.io/aquasec/trivy-db:2"
    assert listed["trivy-db"].alternatives == ("ghcr.io/aquasecurity/trivy-db:2",)
    assert listed["trivy-java-db"].source == "mirror.gcr.io/aquasec/trivy-java-db:1"


@pytest.mark.parametrize(
    ("sections", "absent"),
    [
        ({"trivy": {"enabled": False, "blockSeverity": "NONE"}}, {"trivy", "trivy-db"}),
        ({}, {"exporter", "nginx", "internal database", "internal cache", "backup-sidecar"}),
        ({"database": SHARED_DATABASE}, {"database", "database-operator"}),
        ({"valkey": SHARED_VALKEY}, {"cache"}),
    ],
)
def test_what_no_pod_names_is_not_listed(sections: dict[str, Any], absent: set[str]) -> None:
    assert not set(of(**sections)) & absent


@pytest.mark.parametrize(
    ("version", "tag"),
    [("1.18.3", "v2.14.3"), ("1.18.4", "v2.14.4"), ("1.19.1", "v2.15.1"), ("1.19.1+a", "v2.15.1")],
)
def test_the_tag_follows_from_the_version_of_the_chart(version: str, tag: str) -> None:
    listed = of(harbor={"chart": {"version": version}})
    assert listed["registryctl"].source == f"docker.io/goharbor/harbor-registryctl:{tag}"


def test_the_images_of_the_chart_at_hand_count_more_than_what_is_known_of_its_version() -> None:
    values: Mapping[str, Any] = {
        "core": {"image": {"repository": "goharbor/harbor-core", "tag": "v2.14.9"}},
        "nginx": {"image": {"repository": "goharbor/nginx-photon", "tag": "v2.14.9"}},
        "ours": {"proxy": {"image": {"repository": "quay.io/us/proxy", "tag": "1"}}},
        "imagePullPolicy": "IfNotPresent",
    }
    chart = images.chart_images(values)
    settings = builders.settings(imageRegistry=MIRROR)
    made = {each.component: each for each in images.images(settings, chart)}
    assert made["core"].source == "docker.io/goharbor/harbor-core:v2.14.9"
    assert made["core"].reference == f"{MIRROR}/goharbor/harbor-core:v2.14.9"
    assert made["ours.proxy"].source == "quay.io/us/proxy:1"
    assert "nginx" not in made


def test_with_image_registry_every_image_and_database_is_in_it() -> None:
    for image in of(imageRegistry=MIRROR, metrics={"enabled": True}).values():
        assert image.reference.startswith(f"{MIRROR}/"), image
        assert not image.source.startswith(MIRROR), image


def test_without_image_registry_the_values_name_no_image() -> None:
    settings = builders.settings()
    assert images.chart_image(settings, "core.image") == {}
    assert images.scanner_repositories(settings) == settings.trivy.db_repositories


def test_the_values_name_the_repository_and_leave_the_tag_to_the_chart() -> None:
    settings = builders.settings(imageRegistry=MIRROR)
    assert images.chart_image(settings, "registry.controller.image") == {
        "image": {"repository": f"{MIRROR}/goharbor/harbor-registryctl"}
    }


def test_repositories_of_the_scanner_that_the_settings_name_stay() -> None:
    section = {"dbRepositories": ["ghcr.io/us/trivy-db:2"]}
    listed = of(imageRegistry=MIRROR, trivy=section)
    assert listed["trivy-db"].reference == "ghcr.io/us/trivy-db:2"
    assert listed["trivy-java-db"].reference == f"{MIRROR}/aquasec/trivy-java-db:1"


def test_the_data_services_are_pulled_from_image_registry() -> None:
    context = builders.context_of(options=pulumi.ResourceOptions())
    database = PostgresArgs(
        settings=DedicatedDatabase(image="ghcr.io/cloudnative-pg/postgresql:16.10"),
        password="",
        context=context,
        image_registry=MIRROR,
    )
    assert cluster_spec(database, "secret")["imageName"] == (
        f"{MIRROR}/cloudnative-pg/postgresql:16.10"
    )
    cache = ValkeyArgs(
        settings=DedicatedValkey(), password="", context=context, image_registry=MIRROR
    )
    spec = stateful_set_spec(cache, secret_name="secret", revision="1")
    (container,) = spec["template"]["spec"]["containers"]
    assert container["image"] == placed(versions.VALKEY_IMAGE, MIRROR)


def test_the_scanner_may_connect_to_the_port_of_image_registry() -> None:
    own = DataServices(database={"a": "b"}, cache={"c": "d"}, recorded_metrics={"e": "f"})
    edges = perimeter(builders.settings(imageRegistry=MIRROR), own).edges
    assert {edge.port for edge in edges if edge.source == "trivy" and edge.target == "outside"} == {
        5000
    }
