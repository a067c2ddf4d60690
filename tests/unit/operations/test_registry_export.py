"""What a Harbor holds, written as the section that makes it: applied again, nothing changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from components.registry.api import ADMIN_PASSWORD_KEY
from components.registry.connection import ToCluster
from components.registry.kinds import KINDS
from components.settings.reading import refusals
from components.settings.registry.names import OWN_ROBOT
from operations import __main__ as command
from operations import registry_export
from sandbox.fake_harbor.server import FakeHarbor, Settings
from tests.support.builders import context_of
from tests.support.mocks import MARK, Engine, minted
from tests.support.raw_settings import GOOD
from tests.support.registry import ADMIN_PASSWORD, Direct, Registry
from tests.support.registry_stack import KIND, Stack, in_order, inputs_of, ran
from tests.unit.registry import test_component
from tests.unit.registry.test_component import SMALL, WIDE, registry
from tests.unit.settings.registry.test_estates import HARBOR_2_15, clinic, kestrel, prefecture

SECTIONS = {
    "small": SMALL,
    "wide": WIDE,
    "kestrel": kestrel(),
    "prefecture": prefecture(),
    "clinic": clinic(),
    "nothing": {},
    "unlimited": {
        "system": {"defaultQuota": "10Gi"},
        "projects": {"p": {"quota": "unlimited"}, "q": {}},
    },
}

Program = Callable[[dict[str, Any]], Engine]


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    issuers = ["https://sso.test/realms/agents", "https://git.test", "https://login.test"]
    settings = Settings(version="2.15.1", issuers=issuers)
    with FakeHarbor(admin_password=ADMIN_PASSWORD, settings=settings) as harbor:
        yield harbor


@pytest.fixture
def program(sealing_certificate: str) -> Program:
    return lambda section: ran(
        lambda: registry(context_of(sealing_certificate), section, harbor=HARBOR_2_15)
    )


def exported(harbor: FakeHarbor, account: str = "") -> registry_export.Export:
    reader = Registry(harbor, account=OWN_ROBOT)
    password = account or minted("credentials-registry-account")
    reader.connection.secrets["account", "password"] = password
    return registry_export.export(reader.api, own_robot=OWN_ROBOT)


def declared(engine: Engine) -> dict[tuple[str, str], dict[str, Any]]:
    """What a run declared: kind and id → complete inputs."""
    resources: dict[tuple[str, str], dict[str, Any]] = {}
    for each in in_order(engine):
        name = each.typ.removeprefix(KIND)
        kind, inputs = KINDS[name], inputs_of(each)
        resources[name, kind.id_of(inputs)] = kind.complete(inputs)
    return resources


_NOT_EXPORTED = {"description", "serveStale", "revision", "prefix"}
"""`prefix` of a robot is given only where the file states Harbor's."""

WRITES_A_SECRET = re.compile(
    r"PATCH /robots/\d+|PUT /registries/\d+|PUT /projects/[^/]+/webhook/policies/\d+"
    r"|PUT /configurations|POST /system/oidc/ping"
)


@pytest.mark.parametrize("name", list(SECTIONS))
def test_what_is_exported_makes_the_same_resources_and_changes_nothing(
    name: str, harbor: FakeHarbor, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for secrets, which the exported section names anew, and are written once more."""
    monkeypatch.setattr(test_component, "secret_of", lambda _name: f"{MARK}1a-of-the-stack")
    before = declared(Stack(harbor).up(program(SECTIONS[name])))
    export = exported(harbor)
    reading = refusals.read(
        {**GOOD, "harbor": HARBOR_2_15, "registry": export.section}, stack="estate"
    )
    assert reading.refusals == (), "\n".join(map(str, reading.refusals))

    harbor.calls(forget=True)
    again = Stack(harbor)
    after = declared(again.up(program(export.section)))
    writes = {
        f"{call.method} {call.path.removeprefix('/api/v2.0')}"
        for call in harbor.calls()
        if call.method not in ("GET", "HEAD")
    }
    others = {write for write in writes if not WRITES_A_SECRET.fullmatch(write)}
    assert others == set()

    same = {key for key in before if key[0] != "Configuration"}
    assert {key for key in after if key[0] != "Configuration"} - same <= {("Project", "library")}, (
        export.notes
    )
    for key in same:
        kind = KINDS[key[0]]
        for field in kind.fields.keys() - kind.secrets - _NOT_EXPORTED:
            if kind.fields[field].local:
                continue
            assert kind.equal(field, before[key][field], after[key][field]), (key, field)
    assert again.warnings == []


def test_a_secret_is_a_name_with_the_command_that_sets_it(
    harbor: FakeHarbor, program: Program
) -> None:
    Stack(harbor).up(program(kestrel()))
    text = exported(harbor).text("omantel")
    assert "pulumi config set --secret upstreamDhi -s omantel   # password of kestrel" in text
    assert "TOPSECRET" not in text
    section = yaml.safe_load(text)["sovereign-harbor:registry"]
    assert section["proxyCaches"]["dhi"]["upstream"]["password"] == {"secret": "upstreamDhi"}


def test_what_harbor_says_in_two_lines_stays_a_comment() -> None:
    export = registry_export.Export(section={"projects": {}}, notes=["the filter is a\nb: c"])
    text = export.text("omantel")
    assert yaml.safe_load(text) == {"sovereign-harbor:registry": {"projects": {}}}
    assert "Harbor shows no secret" not in text


def test_what_the_section_cannot_say_is_told(harbor: FakeHarbor) -> None:
    owner = Registry(harbor, account=OWN_ROBOT)
    owner.create("Account", name=OWN_ROBOT)
    owner.ask(
        "POST", "/registries", {"name": "GHCR", "type": "github-ghcr", "url": "https://ghcr.io"}
    )
    (number,) = [row["id"] for row in owner.ask("GET", "/registries")]
    owner.ask("POST", "/projects", {"project_name": "cache", "registry_id": number})
    blocks = {"prevent_vul": "true", "severity": "high", "auto_scan": "false"}
    owner.ask("POST", "/projects", {"project_name": "unscanned", "metadata": blocks})
    every = {"kind": "project", "namespace": "*", "access": [{"resource": "repository"}]}
    every["access"][0]["action"] = "pull"
    robot = {"name": "puller", "level": "system", "duration": -1, "permissions": [every]}
    owner.ask("POST", "/robots", robot)
    export = exported(harbor, account=owner.connection.secrets["account", "password"])
    assert "proxyCaches" not in export.section
    assert "robots" not in export.section
    notes = "\n".join(export.notes)
    assert "proxy cache cache reads from endpoint GHCR" in notes
    assert "call the endpoint cache in Harbor" in notes
    assert "project unscanned blocks by severity, and scans nothing as it is pushed" in notes
    assert "robot puller has rights in all projects" in notes


@pytest.mark.parametrize(
    ("number", "text"), [(1024, "1Ki"), (50 * 1024**3, "50Gi"), (1536, "1536"), (1024**5, "1Pi")]
)
def test_bytes_are_written_as_kubernetes_does(number: int, text: str) -> None:
    assert registry_export.quantity(number) == text


@pytest.mark.parametrize(
    ("expression", "globs"),
    [
        (r"^(?:clinic/[^/]*)$", ["clinic/*"]),
        (r"^(?:a|/b/.*|c\.d)$", ["a", "/b/**", "c.d"]),
        ("harbor-*", None),
        (r"^(?:a(b|c))$", None),
    ],
)
def test_a_filter_of_groups_becomes_the_patterns_that_made_it(
    expression: str, globs: list[str] | None
) -> None:
    assert registry_export.globs_of(expression) == globs


# ---- The command ------------------------------------------------------------------------------


@pytest.fixture
def asks(harbor: FakeHarbor, monkeypatch: pytest.MonkeyPatch) -> Callable[[], ToCluster]:
    """Lets the command reach the fake, as a Harbor that another tool installed."""
    connection = Direct(namespace="harbor", api_url=harbor.url)
    connection.secrets = {("harbor-core", ADMIN_PASSWORD_KEY): ADMIN_PASSWORD}
    monkeypatch.setattr(command, "connection_of", lambda _settings: connection)
    return lambda: connection


@pytest.mark.usefixtures("asks")
def test_the_command_writes_a_section(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["registry-export", "omantel", "--admin-secret", "harbor-core"]
    assert command.main(arguments) == 0
    section = yaml.safe_load(capsys.readouterr().out)["sovereign-harbor:registry"]
    assert section["projects"]["library"]["public"] is True


@pytest.mark.usefixtures("asks")
def test_a_harbor_of_another_tool_is_asked_with_its_own_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["registry-export", "omantel"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "ADMIN_SECRET names the Secret" in told.err


@pytest.mark.parametrize(
    ("stack", "words"), [("", "STACK not set"), ("nowhere", "there is no Pulumi.nowhere.yaml")]
)
def test_a_stack_that_has_no_file_is_told(
    stack: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["registry-export", stack]) == 1
    assert words in capsys.readouterr().err


def test_harbor_is_reached_as_the_program_reaches_it() -> None:
    reached = command.connection_of(
        {
            "cluster": {"name": "omantel", "context": "om"},
            "harbor": {"namespace": "registry"},
            "registry": {"api": {"url": "https://registry.test"}},
        }
    )
    assert (reached.namespace, reached.context, reached.cluster_name, reached.api_url) == (
        *("registry", "om", "omantel"),
        "https://registry.test",
    )
    assert command.connection_of({}).namespace == "harbor"
