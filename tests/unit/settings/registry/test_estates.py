"""Three registries of estates, as people wrote them for other tools.

Each has keys that are refused with the way out; a test says which, the others go on without them.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from components.settings.model import Settings
from components.settings.reading import refusals, stack_file
from components.settings.reading.refusals import Refusal
from components.settings.reading.stack_file import StackFileRefused
from tests.support.raw_settings import GOOD, PEM

KESTREL = """
# A supply-chain lab: an upstream CI registry feeds governed projects.
proxyCaches:
  hub:   { upstream: { type: docker-hub, url: https://hub.test }, public: true, scanOnPush: false }
  k8s:   { upstream: { type: docker-registry, url: https://k8s.test }, public: true, scanOnPush: false }
  dhi:   { upstream: { type: docker-registry, url: https://hardened.test, username: kestrel, password: { secret: dhiToken } }, public: true }
projects:
  golden: { public: true, scanOnPush: true, blockSeverity: critical,
    immutableTags: [ { repositories: ["**"], exceptTags: ["sha256-*"] } ],
    retention: { schedule: "0 0 3 * * *", keep: [ { lastPushed: 10 }, { always: true, tags: ["sha256-*"] }, { always: true, repositories: [base-java], tags: ["21.0.4-r1", "21.0.3-r2"], untagged: false } ] },
    webhooks: { bridge: { url: http://bridge.sbom.svc:8080/events, kind: http, events: [PUSH_ARTIFACT, REPLICATION], authorization: { secret: bridgeToken } } } }
  apps: { public: true, scanOnPush: true, blockSeverity: critical }
mirrors:
  golden-from-ci: { from: { type: github-ghcr, url: https://ci-registry.test }, repositories: ["kestrel-org/lab/golden/{base-java,base-go,base-node}"], into: golden, keepPath: false, schedule: "0 */15 * * * *", overwrite: true }
  apps-from-ci:   { from: golden-from-ci, repositories: ["kestrel-org/lab/apps/{bridge,hello}"], into: apps, keepPath: false, schedule: "0 */15 * * * *" }
robots: { bridge: { permissions: { golden: [pull, "artifact:read", "artifact:list", "tag:list", "accessory:list"], apps: [pull] }, days: null, secret: { secret: bridgeRobot }, rotation: 1 } }
"""  # noqa: E501
PREFECTURE = """
# A state's platform: Keycloak, team projects with robots to read and to write.
login: { kind: oidc, preset: keycloak, issuer: https://sso.test/realms/agents, clientId: harbor, clientSecret: { secret: oidcSecret }, scopes: [openid, generic], userClaim: email, groupsClaim: groups, adminGroup: /admin, autoOnboard: true }
system: { projectCreation: adminonly, robotPrefix: "robot$", robotDays: 30, notifications: true, readOnly: false }
schedules: { scanAll: { schedule: daily }, garbageCollection: { schedule: "0 30 1 * * 0", deleteUntagged: true, workers: 2 }, auditPurge: { schedule: weekly, keepDays: 90, events: [create_artifact, delete_artifact, pull_artifact] } }
proxyCaches: { docker: { upstream: { type: docker-registry, url: https://mirror.test, username: pref, password: { secret: mirrorPassword }, tlsVerify: true }, public: true } }
projects:
  dsi-urbanisme: { quota: 50Gi, scanOnPush: true, members: { groups: { /dsi/urbanisme/devops: maintainer, /dsi/urbanisme/lecture: guest } },
    robots: { ro: { permissions: [pull], days: 180, rotateBeforeDays: 90 }, rw: { permissions: [pull, push], days: 180, rotateBeforeDays: 90 } },
    retention: { schedule: daily, keep: [ { always: true, tags: ["v*", "prod"] }, { daysSincePull: 180 } ] } }
  commun: { quota: 200Gi, public: false, cveAllowlist: { items: [CVE-2024-3094], expires: 2027-01-31, useSystem: false } }
"""  # noqa: E501
CLINIC = """
# A hospital with three sites: a build Harbor feeds the Harbor of each site.
login: { kind: oidc, preset: gitlab, issuer: https://git.test, clientId: 1f0c, clientSecret: { secret: gitlabSecret }, adminGroup: clinic/platform, groupFilter: ["clinic/*"], primary: true }
projects:
  apps:     { scanOnPush: true, blockSeverity: high, members: { groups: { clinic/apps: developer } } }
  services: { scanOnPush: true, members: { groups: { clinic/services: developer, clinic/audit: limitedGuest } } }
  build-cache: { scanOnPush: false, retention: { schedule: daily, keep: [ { daysSincePull: 5 }, { daysSincePush: 10 } ] } }
mirrors: { from-build: { from: { type: harbor, url: https://build.test, username: "robot$site-a", password: { secret: buildRobot } }, repositories: ["{apps,services}/**"], keepPath: true, schedule: "0 */5 * * * *", oneAtATime: true } }
replications: { to-dr: { direction: push, registry: { type: harbor, url: https://dr.test, username: "robot$dr", password: { secret: drRobot }, caCertificate: { file: dr-ca.pem } }, repositories: ["services/**"], tags: ["v*"], trigger: onPush, propagateDeletes: false } }
robots:
  cluster-a: { permissions: { apps: [pull, "artifact:list", "artifact:read", "tag:list"], services: [pull], build-cache: [pull] }, system: ["registry:list", "registry:read", "project:list"], pullSecret: { namespaces: [ward, lab] } }
  ci: { project: build-cache, permissions: [pull, push, scan], days: 365 }
labels: { approved: { color: "#00aa55" } }
"""  # noqa: E501


def section(text: str) -> dict[str, Any]:
    indented = "\n".join(f"    {line}" for line in text.splitlines())
    file = f"config:\n  sovereign-harbor:registry:\n{indented}\n"
    return stack_file.parse(file.encode(), "Pulumi.estate.yaml").settings["registry"]


def read(registry: dict[str, Any], **sections: Any) -> Settings:
    reading = refusals.read({**GOOD, **sections, "registry": registry}, stack="estate")
    assert reading.refusals == (), "\n".join(map(str, reading.refusals))
    assert reading.settings is not None
    return reading.settings


def refused(registry: dict[str, Any], **sections: Any) -> dict[str, Refusal]:
    reading = refusals.read({**GOOD, **sections, "registry": registry}, stack="estate")
    return {refusal.key: refusal for refusal in reading.refusals}


# --- Kestrel -----------------------------------------------------------------------------------


def kestrel() -> dict[str, Any]:
    """Without the one key that is refused."""
    raw = section(KESTREL)
    del raw["proxyCaches"]["hub"]["upstream"]["url"]
    return raw


def test_kestrels_stand_in_of_docker_hub_is_refused() -> None:
    """Harbor pings Docker Hub's own address, whatever the url of a docker-hub says."""
    (refusal,) = refused(section(KESTREL)).values()
    assert refusal.key == "registry.proxyCaches.hub.upstream.url"
    assert "Harbor always asks Docker Hub itself" in refusal.allowed
    assert refusal.fix.startswith("pulumi config rm")


def test_kestrels_caches_are_what_images_are_rewritten_to() -> None:
    settings = read(kestrel(), imagePolicy={"rewrite": {"enabled": True}})
    assert settings.rewritten_hosts == {
        "docker.io": "hub",
        "k8s.test": "k8s",
        "hardened.test": "dhi",
    }
    hub = settings.registry.proxy_caches["hub"]
    assert hub.upstream.address == "https://hub.docker.com"
    assert not hub.scans_on_push(settings.trivy)
    assert hub.blocked_severity(settings.trivy) == ""


def test_kestrels_mirrors_keep_their_braces_and_flatten_on_purpose() -> None:
    registry = read(kestrel()).registry
    golden = registry.mirrors["golden-from-ci"]
    assert golden.pattern == "kestrel-org/lab/golden/{base-java,base-go,base-node}"
    assert (golden.replace_count, golden.into, golden.cron) == (-1, "golden", "0 */15 * * * *")
    assert registry.endpoint_name("apps-from-ci") == "golden-from-ci"
    assert list(registry.endpoints) == ["hub", "k8s", "dhi", "golden-from-ci"]
    assert registry.copies("r.test") == {
        "golden-from-ci": (
            "ci-registry.test/kestrel-org/lab/golden/base-java",
            "r.test/golden/base-java",
        ),
        "apps-from-ci": ("ci-registry.test/kestrel-org/lab/apps/bridge", "r.test/apps/bridge"),
    }


@pytest.mark.parametrize("pattern", ["kestrel-org/**", "kestrel-org/lab/golden/base-*"])
def test_kestrels_mirrors_cannot_have_wildcards(pattern: str) -> None:
    raw = kestrel()
    raw["mirrors"]["apps-from-ci"] |= {"repositories": [pattern], "keepPath": True}
    (refusal,) = refused(raw).values()
    assert refusal.key == "registry.mirrors.apps-from-ci.repositories[0]"
    assert "fails at each run" in refusal.allowed


def test_kestrels_signatures_stay_mutable_and_are_kept() -> None:
    golden = read(kestrel()).registry.projects["golden"]
    (immutable,) = golden.immutable_tags
    assert (immutable.tags_pattern, immutable.excluded_tags_pattern) == ("", "sha256-*")
    assert (immutable.repositories_pattern, immutable.excluded_repositories_pattern) == ("**", "")
    assert golden.retention is not None
    assert golden.retention.cron == "0 0 3 * * *"
    assert [(rule.template, rule.number, rule.tags_pattern) for rule in golden.retention.keep] == [
        ("latestPushedK", 10, "**"),
        ("always", 0, "sha256-*"),
        ("always", 0, "{21.0.4-r1,21.0.3-r2}"),
    ]
    assert [rule.untagged for rule in golden.retention.keep] == [True, True, False]
    assert golden.webhooks["bridge"].harbors_format == "Default"


def test_kestrels_secrets_are_names() -> None:
    registry = read(kestrel()).registry
    assert set(registry.needed_secrets) == {"dhiToken", "bridgeToken", "bridgeRobot"}
    bridge = registry.robots["bridge"]
    assert bridge.harbors_days == -1
    assert [(each.namespace, len(each.access)) for each in bridge.access(["golden", "apps"])] == [
        ("apps", 1),
        ("golden", 5),
    ]


# --- Prefecture --------------------------------------------------------------------------------


def prefecture() -> dict[str, Any]:
    return section(PREFECTURE.replace("2027-01-31", '"2027-01-31"'))


def test_prefectures_date_needs_quotes() -> None:
    with pytest.raises(StackFileRefused, match="YAML reads 2027-01-31 as a date: put it in quotes"):
        section(PREFECTURE)


def test_prefectures_login_is_keycloaks_with_what_it_says_itself() -> None:
    login = read(prefecture()).registry.login
    assert login is not None
    values = login.values
    assert values["oidc_scope"] == "openid,generic"
    assert values["oidc_user_claim"] == "email"
    assert values["oidc_admin_group"] == "/admin"
    assert values["oidc_verify_cert"] is True
    assert values["oidc_group_filter"] == ""
    assert values["auth_mode"] == "oidc_auth"
    assert "secret" not in str(values)


def test_prefectures_system_and_schedules() -> None:
    settings = read(prefecture())
    registry = settings.registry
    assert registry.system.values == {
        "project_creation_restriction": "adminonly",
        "robot_name_prefix": "robot$",
        "robot_token_duration": 30,
        "notification_enable": True,
    }
    assert registry.system.defaults == {}
    assert registry.system.read_only is False
    schedules = registry.schedules
    assert schedules.garbage_collection.cron == "0 30 1 * * 0"
    assert schedules.garbage_collection.parameters == {"delete_untagged": True, "workers": 2}
    assert schedules.audit_purge.cron == "0 0 0 * * 0"
    assert schedules.audit_purge.parameters == {
        "audit_retention_hour": 2160,
        "include_event_types": "create_artifact,delete_artifact,pull_artifact",
        "dry_run": False,
    }
    assert schedules.scan_all.cron(settings.trivy) == "0 0 0 * * *"


def test_prefectures_daily_scan_needs_a_scanner() -> None:
    keys = set(refused(prefecture(), trivy={"enabled": False}))
    assert "registry.schedules.scanAll.schedule" in keys


def test_prefectures_robots_are_rotated_before_they_expire() -> None:
    registry = read(prefecture()).registry
    robots = {robot.name: robot for robot in registry.all_robots}
    assert set(robots) == {"dsi-urbanisme+ro", "dsi-urbanisme+rw"}
    assert robots["dsi-urbanisme+rw"].settings.warns_before_days == 90
    assert robots["dsi-urbanisme+ro"].access[0].access == ("repository:pull",)
    raw = copy.deepcopy(prefecture())
    raw["projects"]["dsi-urbanisme"]["robots"]["ro"]["rotateBeforeDays"] = 180
    assert list(refused(raw)) == ["registry.projects.dsi-urbanisme.robots.ro.rotateBeforeDays"]


def test_prefectures_projects() -> None:
    registry = read(prefecture()).registry
    urbanisme, commun = (registry.projects[name] for name in ("dsi-urbanisme", "commun"))
    assert urbanisme.quota_bytes() == 50 * 1024**3
    assert urbanisme.members.groups == {
        "/dsi/urbanisme/devops": "maintainer",
        "/dsi/urbanisme/lecture": "guest",
    }
    assert urbanisme.retention is not None
    assert urbanisme.retention.protects
    assert commun.cve_allowlist is not None
    assert not commun.uses_system_allowlist
    assert commun.cve_allowlist.expires_at == 1_801_440_000  # 2027-02-01T00:00:00Z


# --- Clinic ------------------------------------------------------------------------------------


def clinic() -> dict[str, Any]:
    """With a robot of one project below it, and the certificate itself instead of its path."""
    raw = section(CLINIC)
    ci = raw["robots"].pop("ci")
    del ci["project"]
    raw["projects"]["build-cache"]["robots"] = {"ci": ci}
    raw["replications"]["to-dr"]["registry"]["caCertificate"] = PEM
    return raw


HARBOR_2_15 = {"chart": {"version": "1.19.0"}}


def test_clinics_keys_that_have_another_place_here() -> None:
    keys = refused(section(CLINIC), harbor=HARBOR_2_15)
    assert set(keys) == {
        "registry.replications.to-dr.registry.caCertificate",
        "registry.robots.ci.project",
        "registry.robots.ci.permissions",
    }
    assert (
        "certificates in PEM" in keys["registry.replications.to-dr.registry.caCertificate"].allowed
    )
    assert "registry.projects.<project>.robots.<name>" in keys["registry.robots.ci.project"].allowed


def test_clinics_private_authority_needs_harbor_2_15() -> None:
    assert list(refused(clinic())) == ["registry.replications.to-dr.registry.caCertificate"]
    read(clinic(), harbor=HARBOR_2_15)


def test_clinics_login_asks_gitlab_for_what_it_knows() -> None:
    login = read(clinic(), harbor=HARBOR_2_15).registry.login
    assert login is not None
    assert login.harbors_scopes == "openid,profile,email"
    assert login.values["oidc_groups_claim"] == "groups_direct"
    assert login.values["oidc_group_filter"] == "^(?:clinic/[^/]*)$"
    assert login.values["primary_auth_mode"] is True


def test_clinics_images_come_from_the_build_harbor_and_go_to_the_other_site() -> None:
    registry = read(clinic(), harbor=HARBOR_2_15).registry
    mirror, replication = registry.mirrors["from-build"], registry.replications["to-dr"]
    assert (mirror.pattern, mirror.into, mirror.replace_count) == ("{apps,services}/**", None, 0)
    assert registry.copies("harbor.test") == {
        "from-build": ("build.test/apps/<path>", "harbor.test/apps/<path>"),
        "to-dr": ("harbor.test/services/<path>", "dr.test/services/<path>"),
    }
    assert mirror.one_at_a_time
    assert replication.harbors_trigger == "onPush"
    assert (replication.cron, replication.tags_pattern) == ("", "v*")
    assert registry.endpoints["to-dr"].ca_certificate == PEM


def test_clinics_robot_has_other_rights_in_each_project() -> None:
    registry = read(clinic(), harbor=HARBOR_2_15).registry
    cluster, ci = registry.all_robots
    assert [each.namespace for each in cluster.access] == ["apps", "build-cache", "services", "/"]
    assert [len(each.access) for each in cluster.access] == [4, 1, 1, 3]
    assert cluster.secret_name == "registry-cluster-a"
    assert cluster.settings.pull_secret is not None
    assert cluster.settings.pull_secret.namespaces == ("ward", "lab")
    assert (ci.name, ci.project, ci.settings.harbors_days) == ("build-cache+ci", "build-cache", 365)


def test_clinics_builders_cache_is_not_blocked_as_it_is_not_scanned() -> None:
    settings = read(clinic(), harbor=HARBOR_2_15)
    projects = settings.registry.projects
    assert projects["build-cache"].blocked_severity(settings.trivy) == ""
    assert projects["apps"].blocked_severity(settings.trivy) == "high"
    assert projects["services"].blocked_severity(settings.trivy) == "critical"


def test_clinics_retention_cannot_have_0_days() -> None:
    raw = clinic()
    raw["projects"]["build-cache"]["retention"]["keep"][0] = {"daysSincePull": 0}
    keys = refused(raw, harbor=HARBOR_2_15)
    assert list(keys) == ["registry.projects.build-cache.retention.keep[0].daysSincePull"]
