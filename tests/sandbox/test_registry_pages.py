"""The guides to the registry's configuration, followed by a newcomer. Order matters.

One Sovereign follows all of them: what they declare is one section, and a command that several
guides have is run once for all of them. What each guide declares by itself is applied in
tests/unit/test_docs_registry.py.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from components.settings.reading import refusals
from components.settings.registry import stack_secrets
from engine.project import ROOT
from engine.stack import Stack
from sandbox import cluster, harbor_api
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox, described
from tests.sandbox.test_harbor_api import forwarded
from tests.sandbox.test_registry import accepted
from tests.support import runbook
from tests.support.harbor_client import Client, Reply
from tests.support.raw_settings import GOOD
from tests.support.sandbox import objects
from tests.unit.test_docs_registry import ACCEPTED, PAGES, fenced

TYPED = "Typed-Password-1"
"""What a person types where a command asks for a secret."""
NAMESPACES = ("build", "shop", "warehouse")
FOLLOWED = {
    line.partition("  #")[0].strip()
    for page in PAGES
    for block in fenced(page, "sh")
    for line in block.splitlines()
}
NOT_HERE = {
    "make preview STACK=omantel": "tests/sandbox/test_review.py runs it",
    "docker login registry.omantel.omani.works -u 'robot$shop+ci' --password-stdin "
    "< shop-ci.txt": "neither Docker nor a gateway is here; the login is tried at Harbor's API",
}
"""Commands of the guides that are not run, and why."""


def here(text: str) -> str:
    """The guides' text for the Sovereign of the sandbox."""
    text = text.replace("omantel.omani.works", "local.harbor.test")
    return text.replace("-s omantel", "-s local").replace("STACK=omantel", "STACK=local")


def declared(*blocks: str) -> dict[str, Any]:
    """The section `registry` of these blocks, called <page>-<number>, as one."""
    section: dict[str, Any] = {}
    for name in blocks:
        (block,) = (block for block in ACCEPTED if str(block) == name)
        _merge(section, block.sections["registry"])
    return section


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = json.loads(json.dumps(value))


def quoted(page: str) -> list[str]:
    """The lines that a guide quotes of the program, for this Sovereign."""
    (path,) = (path for path in PAGES if path.stem == page)
    return [here(line.strip()) for text in fenced(path, "text") for line in text.splitlines()]


@dataclass
class Newcomer:
    """Somebody who follows the guides. `did`: their commands that were run."""

    sandbox: Sandbox
    stack: Stack
    admin: tuple[str, str]
    did: set[str] = field(default_factory=set[str])

    def runs(self, *commands: str) -> str:
        """Runs commands of the guides; what they said. `…` stands for the end of a command."""
        said = ""
        for command in commands:
            line = self._followed(command)
            said += runbook.run(self.stack, _runnable(line), {}, typed=TYPED)
        return said

    def is_refused(self, command: str) -> str:
        """What a command of the guides says that fails."""
        words = shlex.split(here(self._followed(command)))
        refused = self.stack.run(*words[1:], check=False)
        assert refused.code != 0, refused.text
        return refused.text

    def _followed(self, command: str) -> str:
        beginning = command.removesuffix("…")
        (line,) = (
            line
            for line in FOLLOWED
            if (line.startswith(beginning) if command != beginning else line == command)
        )
        self.did.add(line)
        return line

    def declares(self, section: dict[str, Any]) -> None:
        """Writes the section `registry`, and removes the secrets that it does not name any more, as
        the program asks for it."""
        given = described(self.sandbox.project / f"Pulumi.{self.stack.name}.yaml")
        secrets = {
            key.partition(":")[2]
            for key, value in given.items()
            if isinstance(value, dict) and "secure" in value
        }
        gone = secrets - stack_secrets.references(section).keys()
        self.sandbox.configure(self.stack.name, registry=section, **dict.fromkeys(gone))

    def ask(self, method: str, path: str, body: Any = None) -> Reply:
        """What a person does in Harbor's UI, as admin."""
        with forwarded(self.sandbox) as url:
            return Client(url, self.admin).ask(method, path, body)

    def login_in(self, namespace: str, secret: str) -> tuple[str, str]:
        """A robot's login as a Secret has it, for this registry."""
        document = self.kubectl("get", "secret", secret, "-n", namespace, "-o", "json")
        packed = json.loads(document)["data"][".dockerconfigjson"]
        entry = json.loads(base64.b64decode(packed))["auths"]["registry.local.harbor.test"]
        return entry["username"], entry["password"]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return cluster.kubectl(self.sandbox.state, self.sandbox.tools, *arguments, stdin=stdin)


def _runnable(line: str) -> str:
    """A command for this Sovereign. `make` is the project's: its folder is not the stack's."""
    return re.sub(r"^make ", f"make -s -C {shlex.quote(str(ROOT))} ", here(line))


@pytest.fixture(scope="module")
def newcomer(sandbox: Sandbox, sovereign: Stack) -> Iterator[Newcomer]:
    """A Harbor with a project of somebody's own, and issuers of the logins that the guides name."""
    logins = (block.sections.get("registry", {}).get("login", {}) for block in ACCEPTED)
    issuers = sorted({here(login["issuer"]) for login in logins if login})
    harbor_api.control(sandbox.state, "settings", {"issuers": issuers})
    password = sovereign.outputs(show_secrets=True)["adminPassword"]
    somebody = Newcomer(sandbox, sovereign, ("admin", password))
    theirs = {"project_name": "shop", "metadata": {"public": "true"}}
    assert somebody.ask("POST", "/projects", theirs).status == 201
    yield somebody
    # A login stays in Harbor when it is taken out of the file.
    somebody.ask("PUT", "/configurations", {"auth_mode": "db_auth"})
    harbor_api.control(sandbox.state, "settings", {"issuers": []})
    for namespace in NAMESPACES:
        somebody.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")
    somebody.kubectl("delete", "pod", "app", "--ignore-not-found", "--wait=false")


UP = "pulumi up -s omantel"
PREVIEW = "pulumi preview -s omantel"


def test_what_the_guides_declare_is_applied_once_and_the_outputs_say_so(
    newcomer: Newcomer,
) -> None:
    section = declared(
        *(f"registry-project-{number}" for number in (1, 2, 3)),
        *("registry-mirror-1", "registry-mirror-4", "registry-proxy-cache-1", "registry-robots-1"),
        *("registry-block-severity-5", "registry-block-severity-2", "registry-retention-1"),
        *("registry-oidc-keycloak-1", "registry-2"),
    )
    newcomer.declares(section)
    newcomer.runs(
        *(f"pulumi config set --secret {name} -s omantel" for name in ("ghcrToken", "hubToken")),
        *(f"pulumi config set --secret {name} -s omantel" for name in ("oidcSecret", "otechRobot")),
        *(f"kubectl create namespace {name}" for name in NAMESPACES),
    )
    refused = newcomer.is_refused(PREVIEW)
    (sentence,) = quoted("registry")
    assert sentence in refused, "somebody made project shop"
    newcomer.runs("pulumi config set --path 'registry.adopt' true -s omantel", UP)
    newcomer.stack.up(expect_no_changes=True)
    newcomer.runs("pulumi config set --path 'registry.adopt' false -s omantel")

    def output(name: str, *options: str) -> str:
        return newcomer.runs(" ".join(("pulumi stack output", name, *options, "-s omantel")))

    projects = json.loads(output("registryProjects"))
    assert projects == sorted([*section["projects"], *section["proxyCaches"]])
    pushed, pulled = (json.loads(output(name)) for name in ("pushPrefixes", "pullPrefixes"))
    assert pushed["shop"] == "registry.local.harbor.test/shop/"
    assert pulled["docker.io"] == "registry.local.harbor.test/proxy-dockerhub/"
    callback = "https://registry.local.harbor.test/c/oidc/callback"
    assert output("oidcRedirectUrl").strip() == callback
    assert output("adminPassword", "--show-secrets").strip() == newcomer.admin[1]
    assert newcomer.ask("GET", "/projects/shop").body["metadata"]["public"] == "false"
    configurations = newcomer.ask("GET", "/configurations").body
    assert configurations["oidc_endpoint"]["value"] == section["login"]["issuer"]


def test_a_gate_names_the_pods_first_and_a_rotation_leaves_both_logins_valid(
    newcomer: Newcomer,
) -> None:
    image = {"project": "shop", "repository": "app", "digest": "sha256:" + "0" * 64}
    harbor_api.control(newcomer.sandbox.state, "image", {**image, "tags": ["1.0"]})
    (pods,) = (fenced(page, "yaml") for page in PAGES if page.stem == "registry-robots")
    (pod,) = (yaml.safe_load(here(text)) for text in pods if "apiVersion" in text)
    newcomer.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(pod))
    pod["metadata"]["namespace"] = "default"
    (container,) = pod["spec"]["containers"]
    container["image"] = container["image"].replace("/warehouse/", "/shop/")
    newcomer.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(pod))
    first = newcomer.login_in("build", "registry-shop-ci")
    assert first[0] == "robot$shop+ci"
    accounts = newcomer.kubectl("get", "serviceaccount", "default", "-n", "shop", "-o", "json")
    assert json.loads(accounts)["imagePullSecrets"] == [{"name": "registry-cluster"}]

    newcomer.runs(
        "pulumi config set --path 'registry.projects.shop.blockSeverity' high -s omantel",
        "pulumi config set --path 'registry.projects.shop.retention.schedule' daily -s omantel",
        "pulumi config set --path 'registry.projects.shop.robots.ci.rotation' 2 -s omantel",
    )
    refused = newcomer.is_refused(PREVIEW)
    _of_harbor, *gate = quoted("registry-block-severity")
    assert [line for line in gate if line not in refused] == []
    assert "would keep 1 images and delete 0 if it ran now" in refused
    newcomer.runs("pulumi config set --path 'registry.acceptRefusals' true -s omantel", UP)
    newcomer.runs("pulumi config rm --path 'registry.acceptRefusals' -s omantel")

    assert newcomer.ask("GET", "/projects/shop").body["metadata"]["severity"] == "high"
    second = newcomer.login_in("build", "registry-shop-ci")
    assert second[0] == "robot$shop+ci-2"
    assert accepted(newcomer.sandbox, first, second) == [True, True]


def test_what_a_person_changed_is_shown_and_set_back_beside_another_login(
    newcomer: Newcomer,
) -> None:
    section = newcomer.sandbox.section("registry")
    gitlab = declared("registry-oidc-gitlab-1")
    section["login"] = gitlab["login"]
    shop = section["projects"]["shop"]
    shop["members"] = gitlab["projects"]["shop"]["members"]
    shop["robots"] = declared("registry-robots-3")["projects"]["shop"]["robots"]
    newcomer.declares(section)
    newcomer.runs(
        "pulumi config set --secret gitlabSecret -s omantel",
        "( umask 077; …",
        "pulumi config set --secret shopCi -s omantel < shop-ci.txt",
    )
    by_hand = {"metadata": {"auto_scan": "false"}}
    assert newcomer.ask("PUT", "/projects/warehouse", by_hand).status == 200
    shown = newcomer.runs("pulumi refresh --preview-only -s omantel")
    assert re.search(r"~ .*registry-project-warehouse", shown), shown
    newcomer.runs("pulumi up --refresh -s omantel")

    project = newcomer.ask("GET", "/projects/warehouse").body
    assert project["metadata"]["auto_scan"] == "true"
    configurations = newcomer.ask("GET", "/configurations").body
    assert configurations["oidc_endpoint"]["value"] == gitlab["login"]["issuer"]
    chosen = (newcomer.stack.folder / "shop-ci.txt").read_text()
    assert accepted(newcomer.sandbox, ("robot$shop+ci", chosen)) == [True]


def test_a_running_registry_is_written_as_a_section_that_is_accepted(newcomer: Newcomer) -> None:
    command, file = "make registry-export STACK=omantel", newcomer.stack.folder / "registry.yaml"
    newcomer.runs(f"{command} > registry.yaml")
    text = file.read_text()
    # As where the chart itself was given the password.
    key, secret = "HARBOR_ADMIN_PASSWORD", ("secret", "harbor-core", "-n", "harbor")
    given = json.dumps({"stringData": {key: newcomer.admin[1]}})
    newcomer.kubectl("patch", *secret, "-p", given)
    newcomer.runs(f"{command} ADMIN_SECRET=harbor-core > registry.yaml")
    newcomer.kubectl("patch", *secret, "-p", json.dumps({"data": {key: None}}))
    assert file.read_text() == text
    written = yaml.safe_load(text)["sovereign-harbor:registry"]
    assert [*refusals.read({**GOOD, "registry": written}, stack="omantel").refusals] == []
    assert {"shop", "warehouse"} <= written["projects"].keys()
    assert TYPED not in text


def test_a_project_is_deleted_with_its_images_only_where_it_is_named(newcomer: Newcomer) -> None:
    file = newcomer.sandbox.project / "Pulumi.local.yaml"
    section = described(ROOT / file.name)["sovereign-harbor:registry"]
    section["projects"]["shop"] = {}
    newcomer.declares(section)
    newcomer.runs(
        "pulumi config rm --path 'registry.projects.shop' -s omantel",
        "pulumi config set --path 'registry.deleteContents[0]' shop -s omantel",
        UP,
        "pulumi config rm --path 'registry.deleteContents' -s omantel",
    )
    assert newcomer.ask("GET", "/projects/shop").status in (403, 404)
    robots = newcomer.ask("GET", "/robots?page_size=100").body
    assert {robot["name"] for robot in robots} == {"robot$sovereign-harbor", "robot$cluster"}
    assert wait_until(
        lambda: not any(objects(newcomer.sandbox, "secrets", name) for name in NAMESPACES),
        seconds=180,
    )
    assert described(file) == described(ROOT / file.name)
    newcomer.stack.up()  # The provider forgets which contents it may delete.
    newcomer.stack.up(expect_no_changes=True)


def test_each_command_of_the_guides_was_run(newcomer: Newcomer) -> None:
    assert newcomer.did.isdisjoint(NOT_HERE)
    assert newcomer.did | NOT_HERE.keys() == FOLLOWED
