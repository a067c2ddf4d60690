"""The resource provider that all stand-ins share: gRPC calls of the engine, and their answers."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2

from offline.plugins import protocol, serving
from offline.plugins.resources import CannotError, ResourceKind
from offline.plugins.values import UNKNOWN, Secret, decode, encode, has_unknown, plain

if TYPE_CHECKING:
    from pulumi.runtime.proto import (
        engine_pb2,
        engine_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
    )
else:
    engine_pb2 = protocol.load("engine_pb2")
    engine_pb2_grpc = protocol.load("engine_pb2_grpc")
    plugin_pb2 = protocol.load("plugin_pb2")
    provider_pb2 = protocol.load("provider_pb2")
    provider_pb2_grpc = protocol.load("provider_pb2_grpc")

SANDBOX_STACK = "local"
"""The stack on which a stand-in changes something, unless SANDBOX_STACK names that of an
estate in the sandbox (sandbox/environment.py)."""

Invocation = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class StandInProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Answers the engine for one package."""

    def __init__(
        self,
        package: str,
        kind_of: Callable[[str], ResourceKind],
        invocations: Mapping[str, Invocation] | None = None,
        *,
        reads_elsewhere: bool = True,
        engine_address: str = "",
    ) -> None:
        self._package = package
        self._kind_of = kind_of
        self._invocations = invocations or {}
        self._reads_elsewhere = reads_elsewhere
        self._engine = engine_address
        self._announced = threading.Lock()
        # The SDK's own version, so that the engine does not take the plugin for an outdated one.
        self._official_version = importlib.metadata.version(f"pulumi-{package}")

    # --- about the plugin -------------------------------------------------------------------------

    def Handshake(self, request: Any, context: Any) -> provider_pb2.ProviderHandshakeResponse:
        self._engine = request.engine_address or self._engine
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(self, request: Any, context: Any) -> provider_pb2.GetSchemaResponse:
        schema = {"name": self._package, "version": self._version}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def CheckConfig(self, request: Any, context: Any) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> provider_pb2.DiffResponse:
        # No setting of a stand-in can make a resource a different one.
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, acceptResources=True, supportsPreview=True
        )

    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    # --- resources --------------------------------------------------------------------------------

    def Check(self, request: Any, context: Any) -> provider_pb2.CheckResponse:
        kind = self._kind(request.urn, context)
        inputs = kind.normalise(plain(decode(request.news)))
        problems = [] if has_unknown(inputs) else kind.problems(inputs)
        failures = [provider_pb2.CheckFailure(property=key, reason=why) for key, why in problems]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: Any, context: Any) -> provider_pb2.DiffResponse:
        kind = self._kind(request.urn, context)
        state = plain(decode(request.olds))
        old = kind.normalise(plain(decode(request.old_inputs)) or state)
        new = kind.normalise(plain(decode(request.news)))
        changed = sorted(
            key
            for key in old.keys() | new.keys()
            if has_unknown(new.get(key)) or old.get(key) != new.get(key)
        )
        expired = kind.expired({**state, **new})
        return provider_pb2.DiffResponse(
            changes=(
                provider_pb2.DiffResponse.DIFF_SOME
                if changed or expired
                else provider_pb2.DiffResponse.DIFF_NONE
            ),
            diffs=[*changed, *expired],
            replaces=[*filter(kind.replaces, changed), *expired],
        )

    def Create(self, request: Any, context: Any) -> provider_pb2.CreateResponse:
        kind = self._kind(request.urn, context)
        inputs = decode(request.properties)
        self._announce()
        if request.preview:
            computed = {key: UNKNOWN for key in kind.computed if key not in inputs}
            return provider_pb2.CreateResponse(properties=_state(kind, inputs, computed))
        self._only_in_the_sandbox(request.urn, "create", context)
        name = request.urn.rsplit("::", 1)[-1]
        identifier, computed = self._answer(
            context, lambda: kind.create(name, kind.normalise(plain(inputs)))
        )
        return provider_pb2.CreateResponse(id=identifier, properties=_state(kind, inputs, computed))

    def Read(self, request: Any, context: Any) -> provider_pb2.ReadResponse:
        kind = self._kind(request.urn, context)
        if not self._reads_elsewhere:
            self._only_in_the_sandbox(request.urn, "read", context)
        if request.properties.fields:
            # What a stand-in made lives in the state only: it is as it was.
            return provider_pb2.ReadResponse(
                id=request.id, properties=request.properties, inputs=request.inputs
            )
        identifier, inputs, computed = self._answer(context, lambda: kind.adopt(request.id))
        return provider_pb2.ReadResponse(
            id=identifier, properties=_state(kind, inputs, computed), inputs=encode(inputs)
        )

    def Update(self, request: Any, context: Any) -> provider_pb2.UpdateResponse:
        kind = self._kind(request.urn, context)
        if not request.preview:
            self._only_in_the_sandbox(request.urn, "update", context)
        inputs = decode(request.news)
        computed = kind.update(plain(decode(request.olds)), kind.normalise(plain(inputs)))
        return provider_pb2.UpdateResponse(properties=_state(kind, inputs, computed))

    def Delete(self, request: Any, context: Any) -> empty_pb2.Empty:
        self._only_in_the_sandbox(request.urn, "delete", context)
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> provider_pb2.InvokeResponse:
        def ask() -> Mapping[str, Any]:
            if request.tok not in self._invocations:
                raise CannotError(f"has no answer to {request.tok}")
            return self._invocations[request.tok](plain(decode(request.args)))

        response = provider_pb2.InvokeResponse()
        # The field's name is a keyword of Python's.
        getattr(response, "return").CopyFrom(encode(self._answer(context, ask)))
        return response

    # --- what it says -----------------------------------------------------------------------------

    @property
    def _version(self) -> str:
        return f"{self._official_version}+standin"

    def _announce(self) -> None:
        """Says once per command who is answering. The engine hides what a provider prints."""
        if not self._announced.acquire(blocking=False):
            return
        message = (
            f"{self._package}: answered by Sovereign Harbor's stand-in plugin, "
            f"not by pulumi-{self._package}"
        )
        if not self._engine:
            print(message, file=sys.stderr, flush=True)
            return
        with grpc.insecure_channel(self._engine) as channel:
            engine_pb2_grpc.EngineStub(channel).Log(
                engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message)
            )

    def _only_in_the_sandbox(self, urn: str, verb: str, context: Any) -> None:
        stack = urn.removeprefix("urn:pulumi:").split("::", 1)[0]
        sandboxes = os.environ.get("SANDBOX_STACK") or SANDBOX_STACK
        if stack != sandboxes:
            message = (
                f"refuses to {verb} {urn.rsplit('::', 1)[-1]!r} on stack {stack!r}: "
                f"it only works on stack {sandboxes!r}. {self._remedy()}"
            )
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, self._says(message))

    def _kind(self, urn: str, context: Any) -> ResourceKind:
        return self._answer(context, lambda: self._kind_of(_type(urn)))

    def _answer(self, context: Any, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except CannotError as error:
            message = self._says(f"{error}. {self._remedy()}")
            return context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)

    def _says(self, message: str) -> str:
        return f"Sovereign Harbor's stand-in for pulumi-{self._package} {message}"

    def _remedy(self) -> str:
        return (
            "The official plugin can: pulumi plugin install resource "
            f"{self._package} {self._official_version}, with the stand-ins' folder off PATH"
        )


def serve(provider: StandInProvider) -> None:
    serving.serve(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server),
        end=lambda: None,
    )


def _type(urn: str) -> str:
    """The resource's own type: the last of the parents' chain that a URN carries."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def _state(kind: ResourceKind, inputs: Mapping[str, Any], computed: Mapping[str, Any]) -> Any:
    """Inputs and outputs as kept in the state, what is secret marked so."""
    state = {**kind.normalise(inputs), **computed}
    return encode(
        {
            key: Secret(value) if key in kind.secret and not isinstance(value, Secret) else value
            for key, value in state.items()
        }
    )
