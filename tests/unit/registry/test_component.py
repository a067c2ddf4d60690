"""The component: what the section `registry` becomes, and what waits for what."""

import base64
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.context import Context
from components.registry import component
from components.registry.component import Registry
from tests.support import builders
from tests.support.builders import Build
from tests.support.mocks import (
    MARK,
    PASSWORD,
    REGISTRY_PROVIDER,
    RELEASE,
    SEAL,
    SEALED_SECRET,
    SERVICE_ACCOUNT_PATCH,
    Engine,
    is_secret,
    minted,
)
from tests.support.registry_stack import KIND, inputs_of, of_harbor

SMALL: dict[str, Any] = {
    "projects": {"apps": {"quota": "50Gi", "blockSeverity": "critical"}},
    "proxyCaches": {
        "proxy-ghcr": {
            "upstream": {
                "type": "github-ghcr",
                "username": "mirror",
                "password": {"secret": "ghcrToken"},
            },
            "public": True,
        }
    },
    "robots": {
        "cluster": {
            "permissions": {"*": ["pull"]},
            "pullSecret": {"namespaces": ["apps", "batch"]},
        }
    },
}


def secret_of(name: str) -> str:
    """The value of a secret of the stack."""
    return f"{MARK}1a-{name}"


def registry(context: Context, section: Mapping[str, Any], **sections: Any) -> Registry | None:
    """The component over a Harbor that another builder makes."""
    named = builders.settings(registry=dict(section), **sections).registry.needed_secrets
    secrets = {name: pulumi.Output.secret(secret_of(name)) for name in named}
    config = builders.config(secrets=secrets, registry=dict(section), **sections)
    rotation = config.settings.rotation
    credentials = builders.credentials(context, admin_password=rotation.admin_password)
    harbor = builders.harbor_on(context, config, credentials)
    return component.create(config, context, harbor, credentials)


def waits_for(engine: Engine, name: str) -> set[str]:
    """Everything that a resource waits for, at whatever distance, by logical name."""
    by_urn = {each.urn: each for each in engine.resources}
    todo, seen = [next(e for e in engine.resources if e.name == name)], set[str]()
    while todo:
        for urn in todo.pop().dependencies:
            if urn in by_urn and by_urn[urn].name not in seen:
                seen.add(by_urn[urn].name)
                todo.append(by_urn[urn])
    return seen


def logins(engine: Engine, namespace: str, name: str) -> dict[str, Any]:
    """Docker's logins in the Secret of that namespace and name."""
    (seal,) = [
        each for each in engine.all(SEAL) if (each["namespace"], each["name"]) == (namespace, name)
    ]
    return json.loads(seal["data"][".dockerconfigjson"])["auths"]


# ---- The thin walk: an account, a project, a cache, a robot -------------------------------------


def test_a_section_that_is_off_makes_nothing_and_deletes_nothing(
    engine: Engine, build: Build
) -> None:
    """The engine asks the provider to delete what an earlier run made."""
    assert build(registry, {**SMALL, "enabled": False}) is None
    assert of_harbor(engine) == {}
    assert inputs_of(engine.one(REGISTRY_PROVIDER))["keepEverything"] == "true"


def test_the_account_comes_first_and_harbor_before_it(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    assert inputs_of(engine.one(f"{KIND}Account"))["name"] == "sovereign-harbor"
    release = engine.one(RELEASE).name
    for name in of_harbor(engine):
        before = waits_for(engine, name)
        assert release in before, name
        assert name == "registry-account" or "registry-account" in before, name
    assert "credentials-registry-account-unsealed" in waits_for(engine, "registry-account")


def test_a_project_is_declared_with_all_its_fields(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    assert inputs_of(of_harbor(engine)["registry-project-apps"]) == {
        "name": "apps",
        "public": False,
        "scanOnPush": True,
        "sbomOnPush": False,
        "blockSeverity": "critical",
        "requireCosign": False,
        "quota": 50 * 1024**3,
        "allowlist": {"items": [], "useSystem": True},
        "endpoint": "",
        "speedLimit": -1,
        "maxConnections": -1,
    }


def test_a_cache_is_an_endpoint_and_a_project_of_it(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    endpoint = of_harbor(engine)["registry-endpoint-proxy-ghcr"]
    assert inputs_of(endpoint) == {
        "name": "proxy-ghcr",
        "type": "github-ghcr",
        "url": "https://ghcr.io",
        "username": "mirror",
        "password": secret_of("ghcrToken"),
        "tlsVerify": True,
        "caCertificate": "",
        "description": "",
    }
    assert is_secret(endpoint.inputs["password"])
    project = of_harbor(engine)["registry-project-proxy-ghcr"]
    assert inputs_of(project)["endpoint"] == "proxy-ghcr"
    assert inputs_of(project)["public"] is True
    assert endpoint.name in waits_for(engine, project.name)


def test_a_robot_has_its_rights_and_waits_for_its_projects(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    robot = of_harbor(engine)["registry-robot-cluster"]
    pull = ["repository:pull"]
    assert inputs_of(robot) == {
        "name": "cluster",
        "project": "",
        "description": "",
        "days": -1,
        "enabled": True,
        "permissions": [
            {"kind": "project", "namespace": "apps", "access": pull},
            {"kind": "project", "namespace": "proxy-ghcr", "access": pull},
        ],
        "secret": minted("registry-robot-cluster-secret"),
    }
    assert is_secret(robot.inputs["secret"])
    assert waits_for(engine, robot.name) >= {
        "registry-project-apps",
        "registry-project-proxy-ghcr",
    }


def test_its_login_is_sealed_into_each_namespace(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    secret = minted("registry-robot-cluster-secret")
    for namespace in ("apps", "batch"):
        assert logins(engine, namespace, "registry-cluster") == {
            "registry.omantel.omani.works": {
                "username": "robot$cluster",
                "password": secret,
                "auth": base64.b64encode(f"robot$cluster:{secret}".encode()).decode(),
            }
        }
        manifest = engine.one(SEALED_SECRET, f"registry-login-cluster/{namespace}-manifest")
        assert manifest["metadata"]["namespace"] == namespace
        assert manifest["spec"]["template"]["type"] == "kubernetes.io/dockerconfigjson"


def test_the_provider_is_told_where_harbor_is_and_no_secret(engine: Engine, build: Build) -> None:
    build(
        registry,
        {**SMALL, "adopt": True, "deleteContents": ["old"], "system": {"robotPrefix": "bot$"}},
        cluster={"name": "omantel", "context": "admin@omantel"},
        harbor={"namespace": "registry"},
    )
    provider = engine.one(REGISTRY_PROVIDER)
    assert provider.name == "registry"
    assert {k: v for k, v in inputs_of(provider).items() if k != "version"} == {
        "namespace": "registry",
        "context": "admin@omantel",
        "clusterName": "omantel",
        "apiUrl": "",
        "apiCa": "",
        "adminSecret": "harbor-minted-admin-password",
        "account": "sovereign-harbor",
        "accountSecret": "harbor-minted-registry-account",
        "robotPrefix": "bot$",
        "adopt": "true",
        "deleteContents": '["old"]',
        "keepEverything": "false",
    }
    assert not is_secret(provider.inputs)
    reference = f"{provider.urn}::id-of-registry"
    assert {each.provider for each in of_harbor(engine).values()} == {reference}


def test_everything_in_harbor_goes_with_its_release_or_its_project(
    engine: Engine, build: Build
) -> None:
    build(registry, WIDE)
    release = engine.one(RELEASE)
    goes_with = {
        name.removeprefix("registry-"): each.deleted_with.rpartition("::")[2]
        for name, each in of_harbor(engine).items()
        if each.deleted_with != release.urn
    }
    assert goes_with
    for name, project in goes_with.items():
        kind, _, of = name.partition("-")
        assert kind in ("retention", "immutable", "label", "member", "webhook"), name
        assert project == f"registry-project-{of.partition('/')[0]}"


def test_a_preview_knows_all_but_what_is_minted(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    names = engine.names
    build(registry, SMALL, preview=True)
    assert engine.names == names


# ---- Robots: rotation, secrets of the stack, ServiceAccounts ------------------------------------


def robot(**settings: Any) -> dict[str, Any]:
    return {
        "projects": {"apps": {"robots": {"ci": {"permissions": ["push"], **settings}}}},
    }


def robots(engine: Engine) -> dict[str, int]:
    """Short name → days, of the robots that are declared."""
    return {inputs_of(r)["name"]: inputs_of(r)["days"] for r in engine.all(f"{KIND}Robot")}


@pytest.mark.parametrize(
    ("settings", "declared"),
    [
        ({}, {"ci": -1}),
        ({"days": 90}, {"ci": 90}),
        ({"rotation": 2}, {"ci": 7, "ci-2": -1}),
        ({"rotation": 3, "days": 90, "graceDays": 14}, {"ci-2": 14, "ci-3": 90}),
        ({"rotation": 2, "graceDays": 0}, {"ci-2": -1}),
        ({"secret": {"secret": "robotSecret"}}, {"ci": -1}),
    ],
)
def test_a_rotation_makes_a_robot_and_gives_the_one_before_it_an_end(
    settings: dict[str, Any], declared: dict[str, int], engine: Engine, build: Build
) -> None:
    build(registry, robot(**settings))
    assert robots(engine) == declared
    secrets = [inputs_of(each)["secret"] for each in engine.all(f"{KIND}Robot")]
    assert len(set(secrets)) == len(secrets)


def test_the_old_login_ends_only_once_the_new_one_is_there(engine: Engine, build: Build) -> None:
    build(registry, robot(rotation=2, pullSecret={"namespaces": ["build"]}))
    assert waits_for(engine, "registry-robot-apps/ci") >= {
        "registry-robot-apps/ci-2",
        "registry-login-apps/ci/build-unsealed",
    }
    (login,) = logins(engine, "build", "registry-apps-ci").values()
    assert login["username"] == "robot$apps+ci-2"
    assert login["password"] == minted("registry-robot-apps/ci-2-secret")


def ends_in(engine: Engine, **away: float) -> None:
    """Harbor tells that logins of robots end so far from now."""
    end = dt.datetime.now(dt.UTC) + dt.timedelta(**away)
    of_harbor_before = engine.provider.of_harbor

    def of_harbor_then(typ: str, inputs: dict[str, Any]) -> dict[str, Any]:
        outputs = of_harbor_before(typ, inputs)
        return {**outputs, "expiresAt": end.timestamp() // 1} if "expiresAt" in outputs else outputs

    engine.provider.of_harbor = of_harbor_then


def warned(engine: Engine) -> list[str]:
    return [line for line in engine.log if line.startswith("the login of robot")]


def test_a_login_that_ends_soon_is_warned_of_with_what_renews_it(
    engine: Engine, build: Build
) -> None:
    ends_in(engine, days=3, hours=1)
    build(registry, robot(days=180, rotation=2))
    (warning,) = warned(engine)
    assert warning.startswith("the login of robot apps+ci ends on 20")
    assert warning.endswith(
        " UTC, in 3 days. A new one: pulumi config set "
        "--path 'registry.projects.apps.robots.ci.rotation' 3 -s omantel"
    )


def test_a_login_that_ended_is_told(engine: Engine, build: Build) -> None:
    ends_in(engine, days=-1)
    build(registry, robot(days=180, secret={"secret": "robotSecret"}))
    (warning,) = warned(engine)
    assert "ended on 20" in warning
    assert warning.endswith("A new one: pulumi config set --secret robotSecret -s omantel")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="never ends"),
        pytest.param({"days": 180, "enabled": False}, id="off"),
        pytest.param({"days": 180, "rotateBeforeDays": 2}, id="later"),
    ],
)
def test_no_end_is_warned_of_that_troubles_nobody(
    settings: dict[str, Any], engine: Engine, build: Build
) -> None:
    ends_in(engine, days=3)
    build(registry, robot(**settings))
    assert warned(engine) == []


def test_a_secret_of_the_stack_is_the_robots_own(engine: Engine, build: Build) -> None:
    build(registry, robot(secret={"secret": "robotSecret"}))
    declared = engine.one(f"{KIND}Robot")
    assert declared["secret"] == secret_of("robotSecret")
    assert is_secret(declared.inputs["secret"])
    assert [each.name for each in engine.all(PASSWORD) if "robot" in each.name] == []


def test_a_changed_prefix_reaches_the_logins_with_it(engine: Engine, build: Build) -> None:
    settings = {
        **robot(pullSecret={"namespaces": ["build"]}),
        "system": {"robotPrefix": "bot$"},
    }
    build(registry, settings)
    (login,) = logins(engine, "build", "registry-apps-ci").values()
    assert login["username"] == "bot$apps+ci"


def test_a_service_account_gets_the_secrets_of_all_its_robots_at_once(
    engine: Engine, build: Build
) -> None:
    pull_secret = {"namespaces": ["apps"], "serviceAccounts": {"apps": ["default"]}}
    pull = {"permissions": {"apps": ["pull"]}, "pullSecret": pull_secret}
    build(registry, {"projects": {"apps": {}}, "robots": {"one": pull, "two": pull}})
    patch = engine.one(SERVICE_ACCOUNT_PATCH)
    assert patch.name == "registry-service-account-apps/default"
    assert patch["imagePullSecrets"] == [{"name": "registry-one"}, {"name": "registry-two"}]
    assert waits_for(engine, patch.name) >= {
        "registry-login-one/apps-unsealed",
        "registry-login-two/apps-unsealed",
    }


def test_no_service_account_is_touched_unless_it_is_named(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    assert engine.all(SERVICE_ACCOUNT_PATCH) == []


# ---- What belongs to a project, and what to none ------------------------------------------------

LOGIN: dict[str, Any] = {
    "preset": "gitlab",
    "issuer": "https://git.test",
    "clientId": "harbor",
    "clientSecret": {"secret": "oidcSecret"},
    "adminGroup": "platform",
}
WIDE: dict[str, Any] = {
    "login": LOGIN,
    "projects": {
        "apps": {
            "retention": {
                "schedule": "daily",
                "keep": [
                    {"always": True, "tags": ["v*", "prod"]},
                    {"lastPushed": 10, "exceptRepositories": ["base-*"], "untagged": False},
                ],
            },
            "immutableTags": [{"tags": ["v*"]}, {"exceptTags": ["latest"], "enabled": False}],
            "members": {"groups": {"team/dev": "developer"}},
            "webhooks": {
                "bridge": {
                    "url": "https://bridge.test",
                    "events": ["PUSH_ARTIFACT"],
                    "authorization": {"secret": "bridgeToken"},
                },
                "chat": {"url": "https://chat.test", "kind": "slack", "events": ["QUOTA_EXCEED"]},
            },
            "labels": {"approved": {"color": "#00aa55"}},
            "cveAllowlist": {"items": ["CVE-2024-3094"], "expires": "2027-01-31"},
        },
        "shared": {"cveAllowlist": {"useSystem": True}},
    },
    "proxyCaches": {
        "hub": {"upstream": {"type": "docker-hub"}, "keepDaysSincePull": 30, "speedLimit": 1024},
    },
    "mirrors": {
        "from-ghcr": {
            "from": {"type": "github-ghcr"},
            "repositories": ["org/{app,tool}"],
            "tags": ["v*"],
            "into": "apps",
            "keepPath": False,
            "schedule": "every 6h",
        },
    },
    "replications": {
        "to-dr": {
            "registry": {"type": "harbor", "url": "https://dr.test"},
            "repositories": ["apps/**"],
            "labels": ["approved"],
            "trigger": "onPush",
        },
    },
    "labels": {"approved": {"description": "may run"}},
    "schedules": {"garbageCollection": {"schedule": "weekly", "workers": 2}},
    "cveAllowlist": {"items": ["CVE-2021-44228"]},
}


def test_each_part_of_the_file_has_its_object(engine: Engine, build: Build) -> None:
    build(registry, WIDE)
    assert set(of_harbor(engine)) >= {
        "registry-project-apps",
        "registry-retention-apps",
        "registry-immutable-apps",
        "registry-member-apps/group/team/dev",
        "registry-webhook-apps/bridge",
        "registry-webhook-apps/chat",
        "registry-label-apps/approved",
        "registry-global-label-approved",
        "registry-project-shared",
        "registry-endpoint-hub",
        "registry-project-hub",
        "registry-retention-hub",
        "registry-endpoint-from-ghcr",
        "registry-replication-from-ghcr",
        "registry-endpoint-to-dr",
        "registry-replication-to-dr",
        "registry-schedule-garbage-collection",
        "registry-schedule-audit-purge",
        "registry-schedule-scan-all",
        "registry-cve-allowlist",
    }


def test_rules_are_those_of_the_file(engine: Engine, build: Build) -> None:
    build(registry, WIDE)
    made = {name: inputs_of(each) for name, each in of_harbor(engine).items()}
    everything = {"repositories": "**", "repositoriesExcluded": "", "tagsExcluded": ""}
    assert made["registry-retention-apps"] == {
        "project": "apps",
        "cron": "0 0 0 * * *",
        "rules": [
            {
                **everything,
                "template": "always",
                "number": 0,
                "tags": "{v*,prod}",
                "untagged": True,
            },
            {
                "template": "latestPushedK",
                "number": 10,
                "repositories": "",
                "repositoriesExcluded": "base-*",
                "tags": "**",
                "tagsExcluded": "",
                "untagged": False,
            },
        ],
    }
    assert made["registry-immutable-apps"]["rules"] == [
        {**everything, "tags": "v*", "enabled": True},
        {**everything, "tags": "", "tagsExcluded": "latest", "enabled": False},
    ]
    (cached,) = made["registry-retention-hub"]["rules"]
    assert (cached["template"], cached["number"]) == ("nDaysSinceLastPull", 30)
    assert made["registry-project-apps"]["allowlist"] == {
        "items": ["CVE-2024-3094"],
        "expires": 1_801_440_000,
        "useSystem": False,
    }
    assert made["registry-project-shared"]["allowlist"] == {"items": [], "useSystem": True}


def test_a_webhook_tells_what_it_is_for(engine: Engine, build: Build) -> None:
    hook = {"url": "https://a.test", "events": ["PUSH_ARTIFACT"], "description": "to people"}
    build(registry, {"projects": {"apps": {"webhooks": {"bridge": hook}}}})
    made = of_harbor(engine)
    assert inputs_of(made["registry-webhook-apps/bridge"])["description"] == "to people"


def test_webhooks_labels_and_members_are_those_of_the_file(engine: Engine, build: Build) -> None:
    build(registry, WIDE)
    made = of_harbor(engine)
    bridge = made["registry-webhook-apps/bridge"]
    assert inputs_of(bridge)["authorization"] == secret_of("bridgeToken")
    assert is_secret(bridge.inputs["authorization"])
    assert inputs_of(bridge)["format"] == "Default"
    chat = inputs_of(made["registry-webhook-apps/chat"])
    assert (chat["kind"], chat["format"]) == ("slack", "")
    assert inputs_of(made["registry-member-apps/group/team/dev"]) == {
        "project": "apps",
        "kind": "group",
        "name": "team/dev",
        "groupType": 3,
        "role": "developer",
    }
    assert inputs_of(made["registry-global-label-approved"]) == {
        "project": "",
        "name": "approved",
        "color": "#0065ab",
        "description": "may run",
    }


def test_people_are_members_as_groups_are(engine: Engine, build: Build) -> None:
    build(registry, {"projects": {"apps": {"members": {"users": {"dora": "guest"}}}}})
    member = engine.one(f"{KIND}Member")
    assert member.name == "registry-member-apps/user/dora"
    assert (member["kind"], member["name"], member["role"]) == ("user", "dora", "guest")


def test_copies_are_those_of_the_file_and_wait_for_their_projects(
    engine: Engine, build: Build
) -> None:
    build(registry, WIDE)
    made = {name: inputs_of(each) for name, each in of_harbor(engine).items()}
    mirror = made["registry-replication-from-ghcr"]
    assert mirror == {
        "name": "from-ghcr",
        "direction": "pull",
        "endpoint": "from-ghcr",
        "repositories": "org/{app,tool}",
        "tags": "v*",
        "tagsExcluded": "",
        "labels": [],
        "into": "apps",
        "replaceCount": -1,
        "trigger": "scheduled",
        "cron": "0 0 */6 * * *",
        "overwrite": True,
        "deletions": False,
        "speed": 0,
        "chunked": False,
        "oneAtATime": False,
        "enabled": True,
        "runNow": False,
    }
    assert waits_for(engine, "registry-replication-from-ghcr") >= {
        "registry-endpoint-from-ghcr",
        "registry-project-apps",
    }
    push = made["registry-replication-to-dr"]
    assert (push["direction"], push["trigger"], push["cron"]) == ("push", "onPush", "")
    assert push["labels"] == ["approved"]
    assert "registry-global-label-approved" in waits_for(engine, "registry-replication-to-dr")


def test_a_preview_tells_where_images_are_copied_to(engine: Engine, build: Build) -> None:
    build(registry, WIDE, preview=True)
    (told,) = [line for line in engine.log if "copied" in line]
    assert told.splitlines() == [
        "images are copied, for example:",
        "  from-ghcr: ghcr.io/org/app → registry.omantel.omani.works/apps/app",
        "  to-dr: registry.omantel.omani.works/apps/<path> → dr.test/apps/<path>",
    ]


@pytest.mark.parametrize(
    ("section", "preview"), [pytest.param(WIDE, False, id="up"), pytest.param({}, True, id="none")]
)
def test_nothing_is_told_of_copies_in_an_up_or_without_any(
    section: dict[str, Any], preview: bool, engine: Engine, build: Build
) -> None:
    build(registry, section, preview=preview)
    assert not [line for line in engine.log if "copied" in line]


def test_schedules_are_set_without_a_word_of_the_file(engine: Engine, build: Build) -> None:
    build(registry, {})
    schedules = {each["what"]: each["cron"] for each in engine.all(f"{KIND}Schedule")}
    assert schedules == {
        "garbageCollection": "0 0 0 * * 0",
        "auditPurge": "0 0 0 * * 0",
        "scanAll": "0 0 0 * * *",
    }


def test_what_the_file_states_of_a_schedule_is_told_from_its_defaults(
    engine: Engine, build: Build
) -> None:
    section = {
        "schedules": {
            "garbageCollection": {"deleteUntagged": True},
            "auditPurge": {"keepDays": 90},
            "scanAll": {"schedule": "weekly"},
        }
    }
    build(registry, section)
    unstated = {each["what"]: each["unstated"] for each in engine.all(f"{KIND}Schedule")}
    assert unstated == {
        "garbageCollection": ["cron", "workers"],
        "auditPurge": ["cron", "include_event_types"],
        "scanAll": [],
    }
    build(registry, {})
    unstated = {each["what"]: each["unstated"] for each in engine.all(f"{KIND}Schedule")}
    assert unstated == {
        "garbageCollection": ["cron", "delete_untagged", "workers"],
        "auditPurge": ["cron", "audit_retention_hour", "include_event_types", "dry_run"],
        "scanAll": ["cron"],
    }


def test_nothing_is_said_of_scans_where_nothing_scans(engine: Engine, build: Build) -> None:
    build(registry, {"projects": {"apps": {}}}, trivy={"enabled": False})
    assert "scanAll" not in {each["what"] for each in engine.all(f"{KIND}Schedule")}
    project = inputs_of(engine.one(f"{KIND}Project"))
    assert (project["scanOnPush"], project["blockSeverity"]) == (False, "")


def test_settings_come_before_what_hangs_on_them(engine: Engine, build: Build) -> None:
    build(registry, {**WIDE, "system": {"sessionMinutes": 30}})
    made = of_harbor(engine)
    system = inputs_of(made["registry-configuration-system"])
    assert system["values"] == {"session_timeout": 30}
    assert system["defaults"] == {"project_creation_restriction": "adminonly"}
    login = made["registry-configuration-login"]
    assert inputs_of(login)["values"]["oidc_endpoint"] == "https://git.test"
    assert inputs_of(login)["secrets"] == {"oidc_client_secret": secret_of("oidcSecret")}
    assert is_secret(login.inputs["secrets"])
    assert not is_secret(login.inputs["values"])
    settings = {"registry-configuration-system", "registry-configuration-login"}
    for name in made.keys() - settings - {"registry-account"}:
        assert waits_for(engine, name) >= settings, name
    assert "registry-configuration-read-only" not in made


@pytest.mark.parametrize("read_only", [True, False])
def test_a_read_only_registry_is_left_first_and_made_last(
    read_only: bool, engine: Engine, build: Build
) -> None:
    build(registry, {**WIDE, "system": {"readOnly": read_only}})
    made = of_harbor(engine)
    name = "registry-configuration-read-only"
    assert inputs_of(made[name])["values"] == {"read_only": read_only}
    others = made.keys() - {name}
    if read_only:
        assert waits_for(engine, name) >= others
    else:
        assert all(name in waits_for(engine, other) for other in others)


# ---- What people and other stacks are told ------------------------------------------------------


def test_projects_and_prefixes_are_told(build: Build) -> None:
    made = build(registry, SMALL)
    assert made is not None
    assert made.projects == ("apps", "proxy-ghcr")
    assert made.push_prefixes == {"apps": "registry.omantel.omani.works/apps/"}
    assert made.pull_prefixes == {"ghcr.io": "registry.omantel.omani.works/proxy-ghcr/"}
    assert made.login_urls is None


def test_the_urls_that_a_provider_of_logins_must_know_are_told(build: Build) -> None:
    made = build(registry, WIDE)
    assert made is not None
    assert made.login_urls is not None
    assert made.login_urls.redirect == "https://registry.omantel.omani.works/c/oidc/callback"
    assert made.login_urls.logout == "https://registry.omantel.omani.works/account/sign-in"


def test_admins_password_is_changed_before_all_else(engine: Engine, build: Build) -> None:
    build(registry, SMALL, rotation={"adminPassword": 2})
    changed = of_harbor(engine)["registry-admin-password"]
    assert is_secret(changed.inputs["password"])
    assert inputs_of(changed) == {"password": minted("credentials-admin-password-2")}
    others = of_harbor(engine).keys() - {"registry-admin-password"}
    assert all("registry-admin-password" in waits_for(engine, name) for name in others)


def test_before_the_first_rotation_nothing_is_declared_of_admin(
    engine: Engine, build: Build
) -> None:
    build(registry, SMALL)
    assert "registry-admin-password" not in of_harbor(engine)
