"""Which objects are taken, refused, kept and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.registry.errors import HarborError, Refused
from components.registry.kinds.base import UNKNOWN
from sandbox.fake_harbor.kinds import repositories
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ADMIN_PASSWORD, Registry

PULL = [{"kind": "project", "namespace": "apps", "access": ["repository:pull"]}]


@pytest.fixture
def fake() -> Iterator[FakeHarbor]:
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        yield harbor


@pytest.fixture
def registry(fake: FakeHarbor) -> Registry:
    return Registry(fake).with_account()


def project(registry: Registry, name: str = "apps", **metadata: str) -> None:
    """As a person makes one."""
    registry.ask("POST", "/projects", {"project_name": name, "metadata": metadata})


def test_a_project_as_harbor_makes_it_is_taken_without_a_word(registry: Registry) -> None:
    project(registry)
    outputs = registry.create("Project", name="apps", scanOnPush=True, blockSeverity="critical")
    assert outputs["scanOnPush"] and outputs["blockSeverity"] == "critical"


def test_what_a_person_set_is_not_overwritten(registry: Registry) -> None:
    project(registry, public="true", auto_scan="true")
    for attempt in (registry.create, registry.preview):
        with pytest.raises(Refused, match=r"project apps exists .*: public is True\. .*adopt"):
            attempt("Project", name="apps", scanOnPush=True)
    assert registry.ask("GET", "/projects/apps")["metadata"]["public"] == "true"


def test_adopt_changes_what_differs(fake: FakeHarbor, registry: Registry) -> None:
    project(registry, public="true")
    outputs = Registry(fake, adopt="true").create("Project", name="apps")
    assert not outputs["public"]


def test_a_robot_of_a_person_keeps_its_secret(fake: FakeHarbor, registry: Registry) -> None:
    project(registry)
    body = {
        "name": "ci",
        "level": "project",
        "duration": -1,
        "permissions": [
            {
                "kind": "project",
                "namespace": "apps",
                "access": [{"resource": "repository", "action": "pull"}],
            }
        ],
    }
    secret = registry.ask("POST", "/robots", body)["secret"]
    inputs: dict[str, Any] = {
        "name": "ci",
        "project": "apps",
        "permissions": PULL,
        "secret": "Secret12345",
    }
    with pytest.raises(Refused, match=r"robot apps\+ci exists .*its secret would change"):
        registry.create("Robot", **inputs)
    assert registry.api.accepts("robot$apps+ci", secret)

    Registry(fake, adopt=True).create("Robot", **inputs)
    assert registry.api.accepts("robot$apps+ci", "Secret12345")


def test_a_proxy_cache_never_becomes_a_project(fake: FakeHarbor, registry: Registry) -> None:
    registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")
    outputs = registry.create("Project", name="cache", endpoint="up")

    with pytest.raises(Refused, match="endpoint cannot change from 'up' to ''"):
        registry.changed("Project", outputs, name="cache", endpoint="")
    with pytest.raises(Refused, match=r"exists in Harbor as a proxy cache of endpoint up"):
        Registry(fake, adopt=True).create("Project", name="cache")


def test_an_endpoint_that_is_missing_is_named(registry: Registry) -> None:
    """Harbor answers 500 to a number that it does not know."""
    with pytest.raises(Refused, match="Harbor has no endpoint nowhere"):
        registry.create("Project", name="cache", endpoint="nowhere")


def test_a_project_with_repositories_stays_and_says_so(
    fake: FakeHarbor, registry: Registry
) -> None:
    outputs = registry.create("Project", name="apps")
    repositories.put(fake.world, "apps", "deep/er", "sha256:0", ["v1"])

    registry.delete("Project", outputs)

    assert registry.ask("GET", "/projects/apps") is not None
    (warning,) = registry.warnings
    assert "project apps stays in Harbor" in warning and "deleteContents" in warning


def test_a_project_that_is_named_is_deleted_with_its_repositories(
    fake: FakeHarbor, registry: Registry
) -> None:
    outputs = registry.create("Project", name="apps")
    repositories.put(fake.world, "apps", "deep/er", "sha256:0", ["v1"])
    repositories.put(fake.world, "apps", "app", "sha256:0", ["v1"])

    named = Registry(fake, deleteContents='["apps"]')
    named.delete("Project", outputs)

    assert registry.ask("GET", "/projects/apps") is None
    assert named.warnings == []


def test_an_endpoint_of_a_cache_stays_and_says_so(registry: Registry) -> None:
    endpoint = registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")
    registry.create("Project", name="cache", endpoint="up")
    registry.delete("Endpoint", endpoint)
    (warning,) = registry.warnings
    assert warning.startswith("endpoint up stays in Harbor")
    assert registry.read("Endpoint", "up", endpoint) is not None


def test_an_endpoint_of_a_persons_policy_is_not_deleted(registry: Registry) -> None:
    endpoint = registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")
    policy = {"name": "by-hand", "src_registry": {"id": endpoint["harborId"]}}
    registry.ask("POST", "/replication/policies", policy)
    with pytest.raises(HarborError, match=r"412 .*referenced by replication policies"):
        registry.delete("Endpoint", endpoint)


def test_an_endpoint_that_harbor_does_not_reach_is_named(
    fake: FakeHarbor, registry: Registry
) -> None:
    fake.settings.reachable = ["https://up.test"]
    inputs = {"name": "up", "type": "docker-registry", "url": "https://up.test"}
    outputs = registry.create("Endpoint", **inputs)
    for attempt in (
        lambda: registry.create("Endpoint", **{**inputs, "name": "b", "url": "https://b.test"}),
        lambda: registry.update("Endpoint", outputs, **{**inputs, "url": "https://b.test"}),
    ):
        with pytest.raises(Refused, match=r"Harbor does not reach https://b\.test"):
            attempt()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("group", "set registry.login, or leave the group out"), ("user", "let the person log in")],
)
def test_a_member_that_harbor_cannot_know_is_named(
    kind: str, words: str, registry: Registry
) -> None:
    """It answers only `devs not found: not supported`."""
    project(registry)
    member = {"project": "apps", "kind": kind, "name": "devs", "role": "developer"}
    with pytest.raises(Refused, match=f"member {kind} devs of project apps: .*{words}"):
        registry.create("Member", **member)


def test_a_value_that_harbor_ignores_is_told(registry: Registry) -> None:
    """2.14 does not know the key, and answers 201."""
    with pytest.raises(Exception, match="does not show it: caCertificate is ''"):
        registry.create(
            "Endpoint",
            name="up",
            type="docker-registry",
            url="https://up.test",
            caCertificate="-----BEGIN CERTIFICATE-----",
        )


def test_a_quota_is_changed_where_harbor_looks_for_it(registry: Registry) -> None:
    """storage_limit in PUT of a project is ignored with 200."""
    outputs = registry.create("Project", name="apps", quota=1024)
    outputs = registry.update("Project", outputs, name="apps", quota=2048)
    assert outputs["quota"] == 2048


def test_a_renewed_robot_lives_as_long_as_declared_from_now_on(
    fake: FakeHarbor, registry: Registry
) -> None:
    """Harbor counts days from the creation, and the same number moves no date."""
    registry.create("Project", name="apps")
    inputs: dict[str, Any] = {"name": "ci", "project": "apps", "permissions": PULL, "days": 30}
    outputs = registry.create("Robot", **inputs, secret="Secret12345")
    robot = next(r for r in fake.world.table("robots").values() if r["name"] == "apps+ci")
    robot["creation_time"] = "2020-01-01T00:00:00.000Z"

    assert registry.changed("Robot", outputs, **inputs, secret="Fresh12345") == ("secret",)
    outputs = registry.update("Robot", outputs, **inputs, secret="Fresh12345")

    assert outputs["days"] == 30 and outputs["duration"] > 2000
    assert registry.changed("Robot", outputs, **inputs, secret="Fresh12345") == ()
    assert registry.read("Robot", "apps+ci", outputs) == outputs


def test_a_preview_of_a_renewal_does_not_know_the_new_end(registry: Registry) -> None:
    project(registry)
    robot: dict[str, Any] = {"name": "ci", "project": "apps", "permissions": PULL, "days": 30}
    outputs = registry.create("Robot", **robot, secret="Secret12345")

    def end(**changed: Any) -> Any:
        inputs = {**robot, "secret": "Secret12345", **changed}
        return registry.provider.update("urn", "Robot", outputs, inputs, preview=True)["expiresAt"]

    assert end(description="of the build") == outputs["expiresAt"]
    assert end(days=60) is UNKNOWN
    assert end(secret="Secret67890") is UNKNOWN


def test_a_disabled_robot_is_disabled(registry: Registry) -> None:
    """`disable` in POST is ignored, and a PUT without it enables."""
    registry.create("Project", name="apps")
    inputs: dict[str, Any] = {
        "name": "ci",
        "project": "apps",
        "permissions": PULL,
        "secret": "Secret12345",
    }
    outputs = registry.create("Robot", **inputs, enabled=False)
    assert outputs["enabled"] is False
    outputs = registry.update("Robot", outputs, **inputs, enabled=False, description="still")
    assert outputs["enabled"] is False


def test_a_project_named_by_digits_is_found_by_its_name(registry: Registry) -> None:
    outputs = registry.create("Project", name="12345")
    assert registry.read("Project", "12345", outputs) == outputs
    registry.delete("Project", outputs)
    assert registry.read("Project", "12345", outputs) is None
