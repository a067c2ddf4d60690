"""The engine's calls as they arrive over gRPC, and what is answered, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, status_pb2

from components.registry.kinds.base import Difference, HalfCreated
from components.registry.plugin import sdk
from components.registry.plugin.provider import Read, RegistryProvider
from tests.support.registry import CONFIG, Registry

URN = "urn:pulumi:omantel::p::sovereign-registry:index:Endpoint::up"
UP = {
    "name": "up",
    "type": "docker-registry",
    "url": "https://up.test",
    "username": "u",
    "password": PropertyValue("Secret12345", is_secret=True),
}


class Aborted(Exception):
    """The call's end, with a sentence for the user."""

    def __init__(self, words: str, details: Any) -> None:
        super().__init__(words)
        self.details = details


class Call:
    async def abort(self, _code: grpc.StatusCode, words: str, details: Any = ()) -> None:
        raise Aborted(words, details)


class Wire:
    """What the engine asks of a provider. Values are of plain Python or the SDK's own."""

    def __init__(self, provider: Any) -> None:
        self.servicer = sdk._Servicer([], "", sdk._Provider(provider), engine_address="")

    def ask(self, method: str, request: Any) -> Any:
        return asyncio.run(getattr(self.servicer, method)(request, Call()))

    def create(self, *, kind: str = "Endpoint", preview: bool = False, **inputs: Any) -> Any:
        request = {"properties": sent(inputs), "preview": preview}
        return self.ask("Create", provider_pb2.CreateRequest(urn=urn(kind), **request))

    def read(self, id_: str, outputs: Any = None, inputs: Any = None) -> Any:
        told = {"properties": outputs, "inputs": inputs}
        request = provider_pb2.ReadRequest(id=id_, urn=URN, **told)
        return self.ask("Read", request)

    def diff(self, old: Any, /, **inputs: Any) -> Any:
        request = {"olds": old, "news": sent(inputs), "urn": URN}
        return self.ask("Diff", provider_pb2.DiffRequest(**request))

    def update(self, old: Any, /, *, preview: bool = False, **inputs: Any) -> Any:
        values = {"olds": old, "news": sent(inputs)}
        return self.ask("Update", provider_pb2.UpdateRequest(urn=URN, preview=preview, **values))

    def delete(self, id_: str, outputs: Any) -> Any:
        request = {"id": id_, "urn": URN, "properties": outputs}
        return self.ask("Delete", provider_pb2.DeleteRequest(**request))


def urn(kind: str) -> str:
    return URN.replace("Endpoint", kind)


def sent(values: Mapping[str, Any]) -> struct_pb2.Struct:
    return PropertyValue.marshal_map(
        {
            key: value if isinstance(value, PropertyValue) else sdk.wrapped(value)
            for key, value in values.items()
        }
    )


def received(values: struct_pb2.Struct) -> dict[str, PropertyValue]:
    return dict(PropertyValue.unmarshal_map(values))


def plain(values: struct_pb2.Struct) -> dict[str, Any]:
    return sdk.plain_map(received(values))


def secrets(values: struct_pb2.Struct) -> set[str]:
    return {key for key, value in received(values).items() if value.contains_secret()}


@pytest.fixture
def wire(registry: Registry) -> Wire:
    return Wire(registry.provider)


def test_an_object_lives_from_its_creation_to_its_end(wire: Wire, registry: Registry) -> None:
    made = wire.create(**UP)
    assert made.id == "up"
    assert plain(made.properties)["username"] == "u"
    assert secrets(made.properties) == {"passwordDigest"}
    assert wire.diff(made.properties, **UP).changes == provider_pb2.DiffResponse.DIFF_NONE

    written = wire.update(made.properties, **{**UP, "description": "ours"})
    assert plain(written.properties)["description"] == "ours"
    (kept,) = registry.ask("GET", "/registries")
    assert kept["description"] == "ours"

    assert wire.delete(made.id, written.properties) == empty_pb2.Empty()
    assert registry.ask("GET", "/registries") == []
    gone = wire.read(made.id, written.properties, sent(UP))
    assert (gone.id, gone.properties, gone.inputs) == ("", struct_pb2.Struct(), struct_pb2.Struct())


def test_a_refresh_keeps_what_is_secret_and_shows_what_a_person_changed(
    wire: Wire, registry: Registry
) -> None:
    declared = {**UP, "url": PropertyValue("https://up.test", is_secret=True)}
    made = wire.create(**declared)
    (kept,) = registry.ask("GET", "/registries")
    changes = {"url": "https://other.test", "description": "theirs"}
    registry.ask("PUT", f"/registries/{kept['id']}", changes)

    shown = wire.read("up", made.properties, sent(declared))
    assert shown.id == "up"
    assert {key: plain(shown.properties)[key] for key in changes} == changes
    assert secrets(shown.properties) == {"url", "passwordDigest"}
    inputs = received(shown.inputs)
    assert inputs["url"] == PropertyValue("https://other.test", is_secret=True)
    assert inputs["description"] == PropertyValue("theirs")
    assert inputs["password"] == UP["password"]
    assert not inputs["name"].contains_secret()


def test_an_import_declares_what_harbor_has(wire: Wire, registry: Registry) -> None:
    registry.create("Endpoint", **{**UP, "password": "Secret12345"})
    shown = wire.read("up")
    assert shown.id == "up"
    declared = {key: UP[key] for key in ("name", "type", "url", "username")}
    assert declared.items() <= plain(shown.inputs).items()


def test_a_preview_makes_nothing(wire: Wire, registry: Registry) -> None:
    foreseen = wire.create(**UP, preview=True)
    assert foreseen.id == ""
    assert plain(foreseen.properties)["username"] == "u"
    assert registry.ask("GET", "/registries") == []
    made = wire.create(**UP)
    foreseen = wire.update(made.properties, **{**UP, "description": "ours"}, preview=True)
    assert plain(foreseen.properties)["description"] == "ours"
    (kept,) = registry.ask("GET", "/registries")
    assert kept.get("description", "") == ""


def test_a_change_is_shown_by_field(wire: Wire) -> None:
    made = wire.create(**UP)
    other = PropertyValue("Other12345", is_secret=True)
    answer = wire.diff(made.properties, **{**UP, "username": "v", "password": other})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert answer.deleteBeforeReplace
    assert [*answer.replaces] == []
    assert {*answer.diffs} == {"username", "password"}
    shown = {name: (each.kind, each.inputDiff) for name, each in answer.detailedDiff.items()}
    update = provider_pb2.PropertyDiff.UPDATE
    # The outputs have no password, so that the engine has inputs to compare.
    assert shown == {"username": (update, False), "password": (update, True)}


def test_what_cannot_change_is_replaced(wire: Wire) -> None:
    old = sent({"name": "old", "color": "", "description": "", "harborId": 1})
    request = provider_pb2.DiffRequest(urn=urn("Label"), olds=old, news=sent({"name": "new"}))
    answer = wire.ask("Diff", request)
    assert [*answer.replaces] == ["name"]
    (shown,) = answer.detailedDiff.values()
    assert shown.kind == provider_pb2.PropertyDiff.UPDATE_REPLACE


def test_inputs_come_back_with_what_is_refused_of_them(wire: Wire) -> None:
    given = sent({**UP, "name": ""})
    request = {"urn": URN, "news": given}
    answer = wire.ask("Check", provider_pb2.CheckRequest(**request))
    assert answer.inputs == given
    (failure,) = answer.failures
    assert (failure.property, failure.reason) == (
        "name",
        "endpoint: name has to have 1 to 64 characters",
    )


def test_an_object_that_was_made_half_is_kept_with_its_secrets_marked() -> None:
    class Half:
        def create(self, *_: Any, **__: Any) -> Any:
            raise HalfCreated("up", {"name": "up", "username": "u"}, "no login")

    marked = {**UP, "username": PropertyValue("u", is_secret=True)}
    with pytest.raises(Aborted, match="no login") as failed:
        Wire(Half()).create(**marked)
    ((key, packed),) = failed.value.details
    assert key == "grpc-status-details-bin"
    kept = provider_pb2.ErrorResourceInitFailed()
    status_pb2.Status.FromString(packed).details[0].Unpack(kept)
    assert (kept.id, [*kept.reasons]) == ("up", ["no login"])
    assert secrets(kept.properties) == {"username"}
    assert secrets(kept.inputs) == {"username", "password"}


class Recorder:
    """Stands in for the provider: keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def create(self, *words: Any, preview: bool) -> tuple[str, dict[str, Any]]:
        self.asked.append((*words, preview))
        return "id", {}

    def update(self, *words: Any, preview: bool) -> dict[str, Any]:
        self.asked.append((*words, preview))
        return {}

    def read(self, *words: Any) -> Read:
        self.asked.append(words)
        return Read(inputs={}, outputs={})

    def delete(self, *words: Any) -> None:
        self.asked.append(words)

    def diff(self, *words: Any) -> Difference:
        self.asked.append(words)
        return Difference()

    def set_up(self, *words: Any) -> None:
        self.asked.append(words)

    def cancel(self) -> None:
        self.asked.append(("cancel",))


def test_each_call_is_handed_on_with_all_that_the_engine_says() -> None:
    recorder = Recorder()
    wire = Wire(recorder)
    old: dict[str, Any] = {"name": "a", "days": 3}
    new: dict[str, Any] = {"name": "b"}
    wire.create(**new)
    wire.create(**new, preview=True)
    wire.update(sent(old), **new)
    wire.update(sent(old), **new, preview=True)
    wire.read("id", sent(old), sent(new))
    wire.delete("id", sent(old))
    wire.diff(sent(old), **new)
    wire.ask("Configure", provider_pb2.ConfigureRequest(args=sent(CONFIG)))
    wire.ask("Cancel", empty_pb2.Empty())
    assert recorder.asked == [
        (URN, "Endpoint", new, False),
        (URN, "Endpoint", new, True),
        (URN, "Endpoint", old, new, False),
        (URN, "Endpoint", old, new, True),
        (URN, "Endpoint", "id", old, new),
        (URN, "Endpoint", old),
        ("Endpoint", old, new),
        ({**CONFIG},),
        ("cancel",),
    ]


def test_the_engine_is_told_that_secrets_and_previews_are_known() -> None:
    request = provider_pb2.ConfigureRequest(args=sent(CONFIG))
    answer = Wire(Recorder()).ask("Configure", request)
    assert answer.acceptSecrets and answer.supportsPreview


def test_the_schema_names_the_package() -> None:
    answer = Wire(Recorder()).ask("GetSchema", provider_pb2.GetSchemaRequest())
    assert json.loads(answer.schema) == {"name": "sovereign-registry"}


def test_a_provider_that_changes_is_never_replaced() -> None:
    wire = Wire(Recorder())
    old = {**CONFIG, "context": "a", "apiUrl": "https://a.test"}
    new = {**CONFIG, "context": "b", "apiCa": "pem"}
    answer = wire.ask("DiffConfig", provider_pb2.DiffRequest(olds=sent(old), news=sent(new)))
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert [*answer.diffs] == ["apiCa", "apiUrl", "context"]
    assert [*answer.replaces] == []
    same = wire.ask("DiffConfig", provider_pb2.DiffRequest(olds=sent(old), news=sent(old)))
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_provider_with_an_unknown_input_is_judged_when_it_is_known() -> None:
    wire = Wire(Recorder())
    some = {key: value for key, value in CONFIG.items() if key != "adminSecret"}
    with pytest.raises(Aborted, match="needs adminSecret"):
        wire.ask("CheckConfig", provider_pb2.CheckRequest(news=sent(some)))
    given = sent({**some, "adminSecret": sdk.UNKNOWN})
    assert wire.ask("CheckConfig", provider_pb2.CheckRequest(news=given)).inputs == given


@pytest.mark.parametrize(
    ("method", "request_", "why"),
    [
        ("Configure", provider_pb2.ConfigureRequest(), "needs namespace, adminSecret"),
        (
            "Check",
            provider_pb2.CheckRequest(urn=urn("Thing")),
            "has no kind Thing",
        ),
        (
            "Diff",
            provider_pb2.DiffRequest(urn=urn("Thing")),
            "has no kind Thing",
        ),
        ("Create", provider_pb2.CreateRequest(urn=URN), "was not configured"),
        ("Read", provider_pb2.ReadRequest(urn=URN), "was not configured"),
        ("Update", provider_pb2.UpdateRequest(urn=URN), "was not configured"),
        ("Delete", provider_pb2.DeleteRequest(urn=URN), "was not configured"),
    ],
)
def test_what_a_call_raises_is_told_in_one_sentence(method: str, request_: Any, why: str) -> None:
    wire = Wire(RegistryProvider(sdk._silent))
    with pytest.raises(Aborted, match=why):
        wire.ask(method, request_)


@pytest.mark.parametrize(
    "method",
    ["CheckConfig", "Configure", "Check", "Diff", "Create", "Read", "Update", "Delete"],
)
def test_the_sdk_answers_and_is_given_the_whole_call(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(*given: Any) -> tuple[Any, ...]:
        return given

    monkeypatch.setattr(sdk, "_SDK", SimpleNamespace(**{method: answer}))
    servicer, request, call = Wire(Recorder()).servicer, SimpleNamespace(urn=URN), Call()
    given = asyncio.run(getattr(servicer, method)(request, call))
    assert given == (servicer, request, call)


def test_an_engine_that_attaches_itself_is_answered() -> None:
    """One that uses a plugin which a person started, to debug it."""
    wire = Wire(Recorder())
    request = plugin_pb2.PluginAttach(address="127.0.0.1:7")
    assert wire.ask("Attach", request) == empty_pb2.Empty()
    assert wire.servicer._engine_address == "127.0.0.1:7"


class Engine(engine_pb2_grpc.EngineServicer):
    """Keeps what a plugin asks it to show."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, str, str]] = []

    def Log(self, request: Any, context: Any) -> Any:
        self.shown.append((request.severity, request.urn, request.message))
        return empty_pb2.Empty()


@pytest.fixture
def listening() -> Iterator[tuple[Engine, str]]:
    """An engine, and its address."""
    engine = Engine()
    server = grpc.server(ThreadPoolExecutor(1))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield engine, f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_the_engine_shows_warnings_and_information(listening: tuple[Engine, str]) -> None:
    engine, address = listening
    warn, inform = sdk.engine_log(address)
    warn(URN, "it stays in Harbor")
    inform("", "it is taken")
    assert engine.shown == [
        (engine_pb2.WARNING, URN, "it stays in Harbor"),
        (engine_pb2.INFO, "", "it is taken"),
    ]


def test_an_engine_that_is_gone_is_no_error() -> None:
    warn, _ = sdk.engine_log("127.0.0.1:1")
    warn(URN, "nobody reads this")


def test_a_warning_is_shown_at_its_object(registry: Registry, wire: Wire) -> None:
    shown: list[tuple[str, str]] = []
    provider = RegistryProvider(lambda *words: shown.append(words), lambda _: registry.connection)
    provider.set_up({**CONFIG})
    made = wire.create(**UP)
    registry.create("Project", name="cache", endpoint="up")
    Wire(provider).delete(made.id, made.properties)
    ((urn_, text),) = shown
    assert urn_ == URN
    assert "endpoint up stays in Harbor with its password" in text
