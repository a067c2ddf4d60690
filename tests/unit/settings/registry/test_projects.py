"""Projects, proxy caches and robots of the section `registry`, as the program reads them."""

from __future__ import annotations

from typing import Any

from components.settings.registry.section import RegistrySettings
from tests.support.raw_settings import accepted


def registry(**section: Any) -> RegistrySettings:
    return accepted("registry", section).registry


def test_with_nothing_said_there_is_no_project_and_no_cache() -> None:
    section = registry()
    assert section.enabled
    assert not section.adopt
    assert section.projects == {}
    assert section.proxy_caches == {}


def test_a_project_follows_the_scanner_unless_it_says_otherwise() -> None:
    settings = accepted("registry", {"projects": {"apps": {}, "dev": {"blockSeverity": "off"}}})
    apps, dev = (settings.registry.projects[name] for name in ("apps", "dev"))
    assert apps.scans_on_push(settings.trivy)
    assert apps.blocked_severity(settings.trivy) == "critical"
    assert dev.blocked_severity(settings.trivy) == ""
    assert apps.quota_bytes() == -1


def test_a_cache_has_an_endpoint_and_seven_days() -> None:
    cache = registry(
        proxyCaches={
            "hub": {"upstream": {"type": "github", "username": "u", "password": {"secret": "t"}}}
        }
    ).proxy_caches["hub"]
    assert cache.upstream.type == "github-ghcr"
    assert cache.upstream.address == "https://ghcr.io"
    assert cache.upstream.host == "ghcr.io"
    assert cache.keep_days_since_pull == 7
    assert cache.harbors_speed_limit == cache.harbors_connections == -1


def test_the_secrets_that_a_section_refers_to_are_needed() -> None:
    login = {"type": "harbor", "url": "https://a.test", "username": "u"}
    section: dict[str, Any] = {
        "proxyCaches": {"a": {"upstream": {**login, "password": {"secret": "upstreamToken"}}}},
        "robots": {"ci": {"permissions": {"*": ["pull"]}, "secret": {"secret": "ciRobot"}}},
        "projects": {"p": {}},
    }
    assert set(registry(**section).needed_secrets) == {"upstreamToken", "ciRobot"}
    assert registry(**section, enabled=False).needed_secrets == ()


def test_a_robots_rights_are_expanded_for_each_declared_project() -> None:
    robot = registry(
        projects={"a": {}, "b": {}},
        robots={
            "ci": {"permissions": {"*": ["pull"], "b": ["tag:list"]}, "system": ["project:list"]}
        },
    ).robots["ci"]
    assert [(each.kind, each.namespace, each.access) for each in robot.access(["b", "a"])] == [
        ("project", "a", ("repository:pull",)),
        ("project", "b", ("repository:pull", "tag:list")),
        ("system", "/", ("project:list",)),
    ]
    assert robot.harbors_days == -1
