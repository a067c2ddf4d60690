"""What a kind refuses before Harbor is asked, since Harbor would store it, or answer 500."""

from __future__ import annotations

from typing import Any

import pytest

from components.registry.errors import Refused
from components.registry.kinds import KINDS
from components.registry.kinds.base import UNKNOWN, digest_name
from components.registry.kinds.endpoint import stored_url
from components.registry.kinds.retention import TEMPLATES
from components.registry.plugin.provider import Config
from tests.support.registry import CONFIG, Registry

APPS: dict[str, Any] = {"name": "apps"}
UP: dict[str, Any] = {"name": "up", "type": "docker-registry", "url": "https://up.test"}
PULL = {"kind": "project", "namespace": "apps", "access": ["repository:pull"]}
CI: dict[str, Any] = {"name": "ci", "permissions": [PULL], "secret": "Secret12345"}
HOOK: dict[str, Any] = {
    **{"project": "apps", "name": "hook", "kind": "http", "url": "https://hooks.test"},
    "events": ["PUSH_ARTIFACT"],
}
RULE = {
    **{"repositories": "**", "repositoriesExcluded": "", "tags": "v*", "tagsExcluded": ""},
    "enabled": True,
}
DEVS: dict[str, Any] = {"project": "apps", "kind": "group", "name": "devs", "role": "guest"}

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("Project", {}, "name", "is missing"),
    ("Project", {**APPS, "nmae": "x"}, "nmae", "no such input"),
    ("Project", {"name": "Apps"}, "name", "groups of a-z and 0-9"),
    ("Project", {"name": "a..b"}, "name", "joined by one of"),
    ("Project", {"name": "a" * 256}, "name", "groups of"),
    ("Project", {**APPS, "public": "true"}, "public", "true or false"),
    ("Project", {**APPS, "blockSeverity": "none"}, "blockSeverity", "one of , low, medium"),
    ("Project", {**APPS, "quota": 0}, "quota", "-1 (unlimited) or 1 to"),
    ("Project", {**APPS, "quota": 2**60}, "quota", "1125899906842624 bytes"),
    ("Project", {**APPS, "allowlist": {"items": []}}, "allowlist", "items, expires and useSystem"),
    (
        "Project",
        {**APPS, "allowlist": {"items": ["CVE-1", "CVE-1"], "expires": None, "useSystem": False}},
        "allowlist",
        "repeated",
    ),
    ("Project", {**APPS, "speedLimit": 2**31}, "speedLimit", "whole number"),
    ("Endpoint", {**UP, "name": "x" * 65}, "name", "1 to 64 characters"),
    ("Endpoint", {**UP, "type": ""}, "type", "not empty"),
    ("Endpoint", {"name": "up", "type": "harbor"}, "url", "is missing"),
    ("Robot", {**CI, "days": 0}, "days", "Harbor refuses 0"),
    ("Robot", {**CI, "days": True}, "days", "whole number"),
    ("Robot", {**CI, "permissions": []}, "permissions", "one block at least"),
    (
        "Robot",
        {**CI, "permissions": [{**PULL, "access": ["pull"]}]},
        "permissions",
        "resource:action",
    ),
    ("Robot", {**CI, "permissions": [{**PULL, "kind": "all"}]}, "permissions", "project or system"),
    ("Robot", {**CI, "project": "other"}, "permissions", "rights in it alone"),
    ("Robot", {**CI, "secret": "weak"}, "secret", "8 to 128 characters"),
    ("Label", {"name": ""}, "name", "1 to 128"),
    ("Label", {"name": "a" * 129}, "name", "1 to 128"),
    ("Label", {"name": "x", "color": "#" + "0" * 16}, "color", "#00aa55"),
    ("CveAllowlist", {"expires": 0}, "expires", "-1 for never"),
    ("CveAllowlist", {"expires": -2}, "expires", "-1 for never"),
    ("CveAllowlist", {"expires": True}, "expires", "-1 for never"),
    ("Webhook", {**HOOK, "url": "hooks.test"}, "url", "http:// or https://"),
    ("Webhook", {**HOOK, "events": []}, "events", "one event at least"),
    ("Member", {**DEVS, "role": "master"}, "role", "admin, developer, guest"),
    ("Member", {**DEVS, "kind": "robot"}, "kind", "group, user"),
    ("Account", {"name": "A"}, "name", "groups of"),
]


@pytest.mark.parametrize(("kind", "inputs", "field", "words"), REFUSED)
def test_it_is_refused_with_what_is_allowed(
    kind: str, inputs: dict[str, Any], field: str, words: str
) -> None:
    problems = KINDS[kind].check(inputs)
    assert [name for name, _ in problems] == [field]
    assert words in problems[0][1]
    assert "weak" not in problems[0][1]


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("Project", {"name": "12345"}),
    ("Project", {**APPS, "quota": -1, "endpoint": UNKNOWN, "allowlist": UNKNOWN}),
    ("Endpoint", {**UP, "password": UNKNOWN}),
    ("Robot", {**CI, "permissions": UNKNOWN, "secret": UNKNOWN}),
    ("Robot", {**CI, "project": UNKNOWN}),
    ("Member", DEVS),
    ("Label", {"name": "a b/ü"}),
    ("Label", {"name": "a" * 128, "color": "#" + "0" * 15}),
    ("Endpoint", {**UP, "name": "x" * 64}),
    ("Project", {**APPS, "quota": 1}),
    ("Robot", {**CI, "days": 1}),
    ("Robot", {**CI, "days": -1}),
    ("CveAllowlist", {"expires": -1}),
    ("CveAllowlist", {"items": ["CVE-1"], "expires": 1}),
    ("Webhook", {**HOOK, "url": "http://hooks.test"}),
]


@pytest.mark.parametrize(("kind", "inputs"), ACCEPTED)
def test_it_is_accepted(kind: str, inputs: dict[str, Any]) -> None:
    assert KINDS[kind].check(inputs) == []


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("up.test", "http://up.test"),
        ("https://up.test/", "https://up.test"),
        ("https://up.test:8443/v2//", "https://up.test:8443/v2"),
        ("https://up.test/v2?page=1#top", "https://up.test/v2"),
        (None, None),
    ],
)
def test_a_url_is_compared_as_harbor_keeps_it(url: str | None, stored: str | None) -> None:
    assert stored_url(url) == stored


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_value_that_is_unknown_is_a_change(kind: str) -> None:
    of = KINDS[kind]
    outputs = {name: of.fields[name].default for name in of.fields}
    for name in of.fields:
        assert name in of.diff(outputs, {name: UNKNOWN}).changed


def test_a_secret_is_known_again_by_its_digest_only() -> None:
    of = KINDS["Endpoint"]
    digest = of.digested({"password": "Secret12345"})
    name = digest_name("password")
    assert "Secret12345" not in digest[name]
    outputs = {**UP, **digest}
    assert of.diff(outputs, {**UP, "password": "Secret12345"}).changed == ()
    assert of.diff(outputs, {**UP, "password": "Secret12346"}).changed == ("password",)
    assert of.digested({"password": "Secret12345"}) != digest


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"nmaespace": "x"}, "has no input nmaespace"),
        ({"adminSecret": ""}, "needs adminSecret"),
        ({"deleteContents": "apps"}, "'apps' is no JSON"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        Config.of({**CONFIG, **config})


def test_the_inputs_of_a_provider_may_be_json() -> None:
    config = Config.of({**CONFIG, "adopt": "true", "deleteContents": '["apps"]'})
    assert config.adopt and config.delete_contents == {"apps"}
    assert not Config.of({**CONFIG, "adopt": "false"}).adopt


def test_new_rules_that_harbor_does_not_show_are_told(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.create("Project", name="apps")
    monkeypatch.setattr(type(KINDS["ImmutableTags"]), "find", lambda *_: None)
    with pytest.raises(Refused, match="apps: Harbor shows none of its new rules"):
        registry.create("ImmutableTags", project="apps", rules=[RULE])


def test_a_rule_of_retention_is_refused_by_the_name_of_what_is_wrong(registry: Registry) -> None:
    rule = {key: value for key, value in RULE.items() if key != "enabled"}
    rule |= {"template": "sometimes", "number": 3}
    (refusal,) = registry.refused("Retention", project="apps", rules=[rule])
    assert refusal[0] == "rules"
    assert f"a rule whose template has to be one of {', '.join(TEMPLATES)}, not" in refusal[1]


@pytest.mark.parametrize(("project", "shown"), [("", "ci"), ("apps", "apps+ci")])
def test_a_robot_is_told_by_its_project_if_it_has_one(project: str, shown: str) -> None:
    assert KINDS["Robot"].id_of({"name": "ci", "project": project}) == shown
