"""The component: what the section `registry` becomes, and what waits for what."""

import base64
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
    Registered,
    is_secret,
    minted,
    plain,
)

KIND = "sovereign-registry:index:"
TOKEN = f"{MARK}-of-the-upstream"
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


def registry(context: Context, section: Mapping[str, Any], **sections: Any) -> Registry | None:
    """The component over a Harbor that another builder makes."""
    secrets = {
        "ghcrToken": pulumi.Output.secret(TOKEN),
        "robotSecret": pulumi.Output.secret(f"{MARK}Robot1"),
    }
    config = builders.config(secrets=secrets, registry=dict(section), **sections)
    credentials = builders.credentials(context)
    harbor = builders.harbor_on(context, config, credentials)
    return component.create(config, context, harbor, credentials)


def of_harbor(engine: Engine) -> dict[str, Registered]:
    """Everything in Harbor, by logical name."""
    return {each.name: each for each in engine.resources if each.typ.startswith(KIND)}


def inputs(resource: Registered) -> dict[str, Any]:
    return {key: value for key, value in plain(resource.inputs).items() if value is not None}


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


def test_a_section_that_is_off_makes_nothing(engine: Engine, build: Build) -> None:
    assert build(registry, {**SMALL, "enabled": False}) is None
    assert of_harbor(engine) == {}
    assert engine.all(REGISTRY_PROVIDER) == []


def test_the_account_comes_first_and_harbor_before_it(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    assert inputs(engine.one(f"{KIND}Account"))["name"] == "sovereign-harbor"
    release = engine.one(RELEASE).name
    for name in of_harbor(engine):
        before = waits_for(engine, name)
        assert release in before, name
        assert name == "registry-account" or "registry-account" in before, name
    assert "credentials-registry-account-unsealed" in waits_for(engine, "registry-account")


def test_a_project_is_declared_with_all_its_fields(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    assert inputs(of_harbor(engine)["registry-project-apps"]) == {
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
    assert inputs(endpoint) == {
        "name": "proxy-ghcr",
        "type": "github-ghcr",
        "url": "https://ghcr.io",
        "username": "mirror",
        "password": TOKEN,
        "tlsVerify": True,
        "caCertificate": "",
        "description": "",
    }
    assert is_secret(endpoint.inputs["password"])
    project = of_harbor(engine)["registry-project-proxy-ghcr"]
    assert inputs(project)["endpoint"] == "proxy-ghcr"
    assert inputs(project)["public"] is True
    assert endpoint.name in waits_for(engine, project.name)


def test_a_robot_has_its_rights_and_waits_for_its_projects(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    robot = of_harbor(engine)["registry-robot-cluster"]
    pull = ["repository:pull"]
    assert inputs(robot) == {
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
    assert {k: v for k, v in inputs(provider).items() if k != "version"} == {
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
    }
    assert not is_secret(provider.inputs)
    reference = f"{provider.urn}::id-of-registry"
    assert {each.provider for each in of_harbor(engine).values()} == {reference}


def test_everything_in_harbor_goes_with_its_release(engine: Engine, build: Build) -> None:
    build(registry, SMALL)
    release = engine.one(RELEASE)
    assert {each.deleted_with for each in of_harbor(engine).values()} == {release.urn}


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
    return {inputs(r)["name"]: inputs(r)["days"] for r in engine.all(f"{KIND}Robot")}


@pytest.mark.parametrize(
    ("settings", "declared"),
    [
        ({}, {"ci": -1}),
        ({"days": 90}, {"ci": 90}),
        ({"rotation": 2}, {"ci": 7, "ci-2": -1}),
        ({"rotation": 3, "days": 90, "graceDays": 14}, {"ci-2": 14, "ci-3": 90}),
        ({"rotation": 2, "graceDays": 0}, {"ci-2": -1}),
        ({"rotation": 5, "secret": {"secret": "robotSecret"}}, {"ci": -1}),
    ],
)
def test_a_rotation_makes_a_robot_and_gives_the_one_before_it_an_end(
    settings: dict[str, Any], declared: dict[str, int], engine: Engine, build: Build
) -> None:
    build(registry, robot(**settings))
    assert robots(engine) == declared
    secrets = [inputs(each)["secret"] for each in engine.all(f"{KIND}Robot")]
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


def test_a_secret_of_the_stack_is_the_robots_own(engine: Engine, build: Build) -> None:
    build(registry, robot(secret={"secret": "robotSecret"}))
    declared = engine.one(f"{KIND}Robot")
    assert declared["secret"] == f"{MARK}Robot1"
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


# ---- What people and other stacks are told ------------------------------------------------------


def test_projects_and_prefixes_are_told(build: Build) -> None:
    made = build(registry, SMALL)
    assert made is not None
    assert made.projects == ("apps", "proxy-ghcr")
    assert made.push_prefixes == {"apps": "registry.omantel.omani.works/apps/"}
    assert made.pull_prefixes == {"ghcr.io": "registry.omantel.omani.works/proxy-ghcr/"}
    assert made.login_urls is None
