"""What the registry is with nothing said, and what a person is warned of."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from components.settings.registry import stack_secrets
from components.settings.registry.hints import hints
from components.settings.registry.section import RegistrySettings
from tests.support.raw_settings import accepted

TODAY = dt.date(2026, 11, 26)


def registry(**section: Any) -> RegistrySettings:
    return accepted("registry", section).registry


def test_with_nothing_said_the_registry_is_right_for_a_sovereign() -> None:
    settings = accepted("fqdn", "omantel.omani.works")
    section = settings.registry
    assert section.enabled
    assert section.system.defaults == {"project_creation_restriction": "adminonly"}
    assert section.system.values == {}
    assert section.system.prefix == "robot$"
    assert section.schedules.scan_all.cron(settings.trivy) == "0 0 0 * * *"
    assert section.schedules.garbage_collection.cron == "0 0 0 * * 0"
    assert section.schedules.garbage_collection.parameters == {
        "delete_untagged": False,
        "workers": 1,
    }
    assert section.schedules.audit_purge.cron == "0 0 0 * * 0"
    assert section.schedules.audit_purge.parameters["audit_retention_hour"] == 8760
    assert section.login is None
    assert section.proxy_caches == {}
    assert section.needed_secrets == ()


def test_without_a_scanner_no_scan_is_planned() -> None:
    settings = accepted("trivy", {"enabled": False})
    assert settings.registry.schedules.scan_all.cron(settings.trivy) == ""


def test_a_project_of_digits_is_a_name() -> None:
    assert registry(projects={"12345": {}}).declared_projects == ("12345",)


def test_the_default_quota_is_that_of_projects_that_say_none() -> None:
    section = registry(system={"defaultQuota": "10Gi"}, projects={"p": {}, "q": {"quota": "1Pi"}})
    assert section.projects["p"].quota_bytes(section.system.quota_bytes) == 10 * 1024**3
    assert section.projects["q"].quota_bytes(section.system.quota_bytes) == 1125899906842624


def test_every_item_of_the_configuration() -> None:
    section = registry(
        system={
            "sessionMinutes": 90,
            "tokenMinutes": 20,
            "defaultQuota": "1Gi",
            "auditForward": "syslog.test:514",
            "auditOnlyForward": True,
            "disabledAuditEvents": ["login_user", "logout_user"],
            "banner": {"message": "down on Friday", "type": "warning", "firstDay": "2026-12-01"},
            "scansCountAsPull": False,
            "readOnly": True,
        }
    ).system
    assert section.read_only
    assert section.values == {
        "session_timeout": 90,
        "token_expiration": 20,
        "storage_per_project": 1024**3,
        "audit_log_forward_endpoint": "syslog.test:514",
        "skip_audit_log_database": True,
        "disabled_audit_log_event_types": "login_user,logout_user",
        "banner_message": '{"message":"down on Friday","closable":true,"type":"warning",'
        '"fromDate":"2026-12-01T00:00:00.000Z"}',
        "scanner_skip_update_pulltime": True,
    }


def test_a_mirror_that_drops_parts_of_a_path() -> None:
    section = registry(
        projects={"openova": {}},
        mirrors={
            "m": {
                "from": {"type": "ghcr"},
                "repositories": ["openova-io/console/{web,api}"],
                "into": "openova",
                "dropParts": 1,
                "bandwidth": 1024,
            }
        },
    )
    mirror = section.mirrors["m"]
    assert [copy.target for copy in mirror.copies()] == [
        "openova/console/web",
        "openova/console/api",
    ]
    assert (mirror.replace_count, mirror.speed, mirror.harbors_trigger) == (1, 1024, "scheduled")


def ci(**settings: Any) -> dict[str, Any]:
    return {"projects": {"p": {"robots": {"ci": {"permissions": ["push"], **settings}}}}}


WARNED: list[tuple[dict[str, Any], str]] = [
    ({"deleteContents": ["old"]}, "nor to a name that no project has"),
    (ci(), "registry.projects.p.robots.ci.pullSecret.namespaces names those that do"),
    ({"projects": {"p": {"retention": {"keep": [{"lastPushed": 3}]}}}}, "no rule `always`"),
    (
        {"cveAllowlist": {"items": ["CVE-2024-3094"], "expires": "2026-11-25"}},
        "registry.cveAllowlist.expires was 2026-11-25",
    ),
    (
        {
            "proxyCaches": {
                "c": {
                    "upstream": {"type": "ghcr"},
                    "cveAllowlist": {"items": ["CVE-2024-3094"], "expires": "2026-01-01"},
                }
            }
        },
        "registry.proxyCaches.c.cveAllowlist.expires was",
    ),
    (
        {"projects": {"p": {"immutableTags": [{"exceptRepositories": ["p/app"]}]}}},
        "immutableTags[0] names p/app: a rule names repositories without their project, so this is "
        "p/p/app. For p/app write app",
    ),
    (
        {
            "projects": {"p": {}},
            "mirrors": {
                "hub": {
                    "from": {"type": "docker-hub"},
                    "repositories": ["library/*", "bitnami/*"],
                    "into": "p",
                    "keepPath": False,
                }
            },
        },
        "hub copies bitnami/* to p/*, as hub does library/*",
    ),
    (
        {
            "login": {
                "preset": "keycloak",
                "issuer": "https://sso.test",
                "clientId": "harbor",
                "clientSecret": {"secret": "oidcSecret"},
                "adminGroup": "admin",
            }
        },
        "the group is called /admin",
    ),
    (
        {
            "login": {
                "issuer": "https://sso.test",
                "clientId": "harbor",
                "clientSecret": {"secret": "oidcSecret"},
                "adminGroup": "admin",
                "verifyTls": False,
            }
        },
        "can log in as anybody",
    ),
]


@pytest.mark.parametrize(
    ("settings", "days"),
    [
        ({}, 0),
        ({"days": 180}, 14),
        ({"days": 20}, 10),
        ({"days": 1}, 1),
        ({"days": 180, "rotateBeforeDays": 90}, 90),
    ],
)
def test_an_end_is_warned_of_so_many_days_before_it(settings: dict[str, Any], days: int) -> None:
    (robot,) = registry(**ci(**settings)).all_robots
    assert robot.settings.warns_before_days == days


@pytest.mark.parametrize(
    ("password", "fits"), [("x" * 3050, True), ("x" * 3051, False), ("ü" * 1526, False)]
)
def test_a_password_of_an_upstream_fits_into_harbors_column(password: str, fits: bool) -> None:
    section = {"proxyCaches": {"c": {"upstream": {"password": {"secret": "token"}}}}}
    refusal = stack_secrets.references(section)["token"].refusal(password, sandbox=False)
    assert (refusal is None) is fits


@pytest.mark.parametrize(("section", "words"), WARNED)
def test_what_is_allowed_and_warned_of(section: dict[str, Any], words: str) -> None:
    (hint,) = hints(registry(**section), TODAY)
    assert words in hint
    assert list(hints(registry(**section, enabled=False), TODAY)) == []


@pytest.mark.parametrize(
    "section",
    [
        {},
        ci(pullSecret={"namespaces": ["build"]}),
        ci(secret={"secret": "ciSecret"}),
        {"projects": {"p": {"retention": {"keep": [{"always": True, "tags": ["v*"]}]}}}},
        {"projects": {"p": {"retention": {"schedule": "none", "keep": [{"lastPushed": 3}]}}}},
        {"cveAllowlist": {"items": ["CVE-2024-3094"], "expires": "2026-11-26"}},
    ],
)
def test_what_nobody_is_warned_of(section: dict[str, Any]) -> None:
    assert list(hints(registry(**section), TODAY)) == []
