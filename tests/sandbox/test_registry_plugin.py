"""The plugin `sovereign-registry` under the real engine, over a fake of Harbor's API.

It needs no sandbox: the API server that serves the two Secrets is the test's own. One stack lives
through all of it, so order matters. test_registry_kinds.py has the day 2 of every kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.fake_harbor.faults import Fault
from sandbox.fake_harbor.kinds import repositories
from sandbox.fake_harbor.server import FakeHarbor
from tests.support import registry_trial
from tests.support.registry import ACCOUNT, ADMIN_PASSWORD, Registry

ROBOT_SECRET = "Robot12345"
UPSTREAM_PASSWORD = "Upstream12345"
WEBHOOK_SECRET = "Bearer topsecret"
CLIENT_SECRET = "clientsecret"
SECRETS = (ROBOT_SECRET, UPSTREAM_PASSWORD, WEBHOOK_SECRET, CLIENT_SECRET, ADMIN_PASSWORD)

_PROGRAM = f"""
import json
from pathlib import Path

import pulumi
from components.registry import resources as registry

declared = json.loads(Path("declared.json").read_text())
provider = registry.Provider("registry", **declared["provider"])
by_provider = pulumi.ResourceOptions(provider=provider)
made = []
if declared["account"]:
    made.append(registry.Account("account", name={ACCOUNT!r}, revision="1", opts=by_provider))
for kind, objects in declared["objects"].items():
    for name, inputs in objects.items():
        options = pulumi.ResourceOptions(provider=provider, depends_on=[*made])
        made.append(getattr(registry, kind)(name, opts=options, **inputs))
pulumi.export("robots", [r.full_name for r in made if isinstance(r, registry.Robot)])
"""

_DECLARED: dict[str, Any] = {
    "AdminPassword": {"admin": {"password": ADMIN_PASSWORD}},
    "Endpoint": {
        "up": {
            "name": "up",
            "type": "docker-registry",
            "url": "https://up.test",
            "username": "u",
            "password": UPSTREAM_PASSWORD,
        }
    },
    "Project": {
        "apps": {"name": "apps", "scan_on_push": True, "quota": 50 * 1024**3},
        "cache": {"name": "cache", "endpoint": "up"},
    },
    "Robot": {
        "ci": {
            "name": "ci",
            "project": "apps",
            "days": 30,
            "permissions": [
                {"kind": "project", "namespace": "apps", "access": ["repository:pull"]}
            ],
            "secret": ROBOT_SECRET,
        }
    },
    "ReplicationPolicy": {
        "mirror": {
            "name": "mirror",
            "direction": "pull",
            "endpoint": "up",
            "repositories": "org/**",
            "trigger": "scheduled",
            "cron": "0 0 */6 * * *",
        }
    },
    "Retention": {
        "apps": {
            "project": "apps",
            "cron": "0 0 3 * * *",
            "rules": [{"template": "latestPushedK", "number": 10}],
        },
        "cache": {
            "project": "cache",
            "rules": [{"template": "nDaysSinceLastPull", "number": 30}],
        },
    },
    "ImmutableTags": {
        "apps": {"project": "apps", "rules": [{"tags": "v*"}, {"tags": "w*", "enabled": False}]}
    },
    "Webhook": {
        "build": {
            "project": "apps",
            "name": "build",
            "url": "https://hooks.test",
            "events": ["PUSH_ARTIFACT"],
            "authorization": WEBHOOK_SECRET,
        }
    },
    "Schedule": {
        "gc": {
            "what": "garbageCollection",
            "cron": "0 0 3 * * 0",
            "parameters": {"delete_untagged": True, "workers": 2},
        },
        "scan": {"what": "scanAll", "cron": "0 0 0 * * *"},
    },
    "CveAllowlist": {"cves": {"items": ["CVE-1"]}},
    "Configuration": {
        "system": {
            "part": "system",
            "values": {"session_timeout": 30},
            "defaults": {"project_creation_restriction": "adminonly"},
        },
        "login": {
            "part": "login",
            "values": {"auth_mode": "oidc_auth", "oidc_endpoint": "https://sso.test"},
            "secrets": {"oidc_client_secret": CLIENT_SECRET},
        },
    },
}


@dataclass(frozen=True)
class Trial(registry_trial.Trial):
    """A stack with nothing in it but a registry's configuration."""

    harbor: FakeHarbor

    def person(self) -> Registry:
        """Somebody who works in Harbor's UI."""
        return Registry(self.harbor)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("trial")
    with (
        FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor,
        registry_trial.trial(
            folder, _PROGRAM, url=harbor.url, admin_password=ADMIN_PASSWORD
        ) as made,
    ):
        harbor.settings.issuers.append("https://sso.test")
        yield Trial(made.stack, made.url, made.kubernetes, harbor)


def changed() -> dict[str, Any]:
    """What is declared, to be changed."""
    return json.loads(json.dumps(_DECLARED))


def types_of(declared: dict[str, Any]) -> list[str]:
    kinds = ["Account", *(kind for kind, objects in declared.items() for _ in objects)]
    return sorted(f"sovereign-registry:index:{kind}" for kind in kinds)


def test_a_preview_without_harbor_shows_what_is_declared_and_warns_once(trial: Trial) -> None:
    trial.declare(_DECLARED, api_url="http://127.0.0.1:1")
    shown = trial.preview()

    assert shown.code == 0, shown.text
    assert shown.text.count("Harbor cannot be asked") == 1
    assert "quota" in shown.text
    assert not [secret for secret in SECRETS if secret in shown.text]


def test_a_creation_that_fails_half_way_is_in_the_state_and_finished_by_the_next_run(
    trial: Trial,
) -> None:
    trial.declare(_DECLARED)
    trial.harbor.plan(Fault("500", method="PATCH", path="/robots/[^1]", times=50))
    failed = trial.stack.run("up", "-s", "trial", "--yes", "--skip-preview", check=False)
    assert failed.code != 0
    assert "Traceback" not in failed.text
    assert "sovereign-registry:index:Robot" in trial.types()

    trial.harbor.plan()
    trial.stack.up()
    assert trial.person().api.accepts("robot$apps+ci", ROBOT_SECRET)


def test_what_was_made_is_in_the_state_without_secrets_and_asked_for_no_more(trial: Trial) -> None:
    assert trial.types() == types_of(_DECLARED)
    assert trial.stack.outputs() == {"robots": ["robot$apps+ci"]}
    state = trial.state()
    assert not [secret for secret in SECRETS if secret in state]
    assert "harborId" in state

    trial.harbor.calls(forget=True)
    trial.stack.up(expect_no_changes=True)
    assert trial.harbor.calls() == [], "an `up` without changes asks Harbor nothing"


def test_what_a_person_changed_is_shown_by_a_refresh_and_mended(trial: Trial) -> None:
    person = trial.person()
    person.ask("PUT", "/projects/apps", {"metadata": {"auto_scan": "false"}})
    person.ask("PUT", "/configurations", {"session_timeout": 5})
    person.ask("PUT", "/system/CVEAllowlist", {"items": []})
    refreshed = trial.stack.run("refresh", "-s", "trial", "--yes", "--diff").text
    assert "scanOnPush" in refreshed
    shown = trial.preview().text
    assert "scanOnPush: false => true" in shown and "session_timeout" in shown
    trial.stack.up()
    assert person.ask("GET", "/projects/apps")["metadata"]["auto_scan"] == "true"
    assert person.ask("GET", "/configurations")["session_timeout"]["value"] == 30
    assert person.ask("GET", "/system/CVEAllowlist")["items"] == [{"cve_id": "CVE-1"}]


def test_another_secret_is_shown_as_changed_and_never_itself(trial: Trial) -> None:
    other = changed()
    other["Robot"]["ci"]["secret"] = "Fresh12345"
    other["Configuration"]["login"]["secrets"]["oidc_client_secret"] = "othersecret"
    trial.declare(other)
    shown = trial.preview().text
    assert "~ secret" in shown and "secrets: [secret] => [secret]" in shown
    assert "Fresh12345" not in shown and "othersecret" not in shown
    trial.stack.up()
    assert trial.person().api.accepts("robot$apps+ci", "Fresh12345")


def test_an_object_that_a_person_made_is_refused_in_preview_with_the_way_out(
    trial: Trial,
) -> None:
    trial.person().ask(
        "POST", "/projects", {"project_name": "theirs", "metadata": {"public": "true"}}
    )
    objects = changed()
    objects["Project"]["theirs"] = {"name": "theirs"}
    trial.declare(objects)

    refused = trial.preview()
    assert refused.code != 0
    assert "project theirs exists in Harbor and is not as declared: public is True" in refused.text
    assert "registry.adopt" in refused.text

    trial.declare(objects, adopt=True)
    trial.stack.up()
    assert trial.person().ask("GET", "/projects/theirs")["metadata"]["public"] == "false"


def test_a_registry_that_is_switched_off_stays_in_harbor_and_is_taken_again(trial: Trial) -> None:
    """`registry.enabled: false` leaves the provider, which keeps everything."""
    person = trial.person()
    objects = {path: person.ask("GET", path) for path in ("/projects", "/registries", "/robots")}

    trial.declare({}, keep_everything=True, account=False)
    text = trial.stack.run("up", "-s", "trial", "--yes", "--skip-preview").text
    # The engine shows a line when it comes, and all of them at the end.
    told = text.partition("Diagnostics:")[2]
    assert told.count("registry.enabled is false: everything") == 1, text
    assert trial.types() == []
    assert {path: person.ask("GET", path) for path in objects} == objects

    trial.declare(_DECLARED)
    trial.stack.up()
    assert trial.types() == types_of(_DECLARED)
    trial.stack.up(expect_no_changes=True)
    for path, rows in objects.items():
        key = "project_id" if path == "/projects" else "id"
        assert [row[key] for row in person.ask("GET", path)] == [row[key] for row in rows]
    assert person.api.accepts("robot$apps+ci", ROBOT_SECRET)


def test_what_a_person_deleted_is_made_again_and_a_destroy_keeps_images_and_settings(
    trial: Trial,
) -> None:
    person = trial.person()
    person.ask("DELETE", "/projects/theirs")
    person.ask("DELETE", "/projects/cache")
    trial.stack.run("refresh", "-s", "trial", "--yes")
    trial.stack.up()
    assert {p["name"] for p in person.ask("GET", "/projects")} == {"apps", "cache", "library"}
    repositories.put(trial.harbor.world, "apps", "app", "sha256:0", ["v1"])
    destroyed = trial.stack.run("destroy", "-s", "trial", "--yes").text
    assert "project apps stays in Harbor" in destroyed
    assert trial.types() == []
    assert [p["name"] for p in person.ask("GET", "/projects")] == ["apps", "library"]
    assert person.ask("GET", "/robots") == []
    assert person.ask("GET", "/replication/policies") == []
    assert person.ask("GET", "/system/gc/schedule") is None
    assert person.ask("GET", "/configurations")["auth_mode"]["value"] == "oidc_auth"
