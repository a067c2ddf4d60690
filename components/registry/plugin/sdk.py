"""The one file that knows `pulumi.provider.experimental`: gRPC and the engine's values.

The server of that SDK ends a call that raises with the exception's class and text, and cannot say
that an object exists whose creation failed afterwards. `_Servicer` adds both.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS  # pyright: ignore
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_TEXT

from components.commands import for_stack
from components.registry.kinds import KINDS
from components.registry.kinds.base import UNKNOWN, HalfCreated, Tree, digest_name
from components.registry.plugin.provider import Config, RegistryProvider, Warn

Values = Mapping[str, PropertyValue]

_THREADS: Final = 64
"""Calls to Harbor at once. The engine asks for four a processor unless --parallel says more."""

_UNKNOWN_ON_THE_WIRE: Final = UNKNOWN_TEXT
"""How the engine writes a value that a preview does not know. The SDK (3.250) takes it for a text,
and cannot send its own `Computed`."""

T = TypeVar("T")


def plain(value: PropertyValue) -> Any:
    """A value in plain Python; UNKNOWN if any part of it is."""
    inner: Any = value.value
    if isinstance(inner, Computed) or inner == _UNKNOWN_ON_THE_WIRE:
        return UNKNOWN
    if isinstance(inner, Mapping):
        tree = {key: plain(item) for key, item in cast("Values", inner).items()}
        return UNKNOWN if UNKNOWN in tree.values() else tree
    if isinstance(inner, tuple):
        items = [plain(item) for item in cast("tuple[PropertyValue, ...]", inner)]
        return UNKNOWN if UNKNOWN in items else items
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    return inner


def plain_map(values: Values) -> Tree:
    return {key: plain(value) for key, value in values.items()}


def wrapped(value: Any, *, secret: bool = False) -> PropertyValue:
    """A value of the engine from plain Python."""
    if value is UNKNOWN:
        inner: Any = _UNKNOWN_ON_THE_WIRE
    elif isinstance(value, dict):
        inner = {key: wrapped(item) for key, item in cast("Tree", value).items()}
    elif isinstance(value, (list, tuple)):
        inner = [wrapped(item) for item in cast("list[Any]", value)]
    elif isinstance(value, int) and not isinstance(value, bool):
        inner = float(value)
    else:
        inner = value
    return PropertyValue(inner, is_secret=secret)


def wrapped_outputs(kind: str, outputs: Tree, inputs: Values) -> dict[str, PropertyValue]:
    """Outputs for the state. A digest is encrypted there, as is what an input marks as secret."""
    marked = {key for key, value in inputs.items() if value.contains_secret()}
    marked |= {digest_name(secret) for secret in (KINDS[kind].secrets if kind in KINDS else ())}
    return {key: wrapped(value, secret=key in marked) for key, value in outputs.items()}


class _Provider(sdk.Provider):
    """Hands each call on to `RegistryProvider`; the calls that ask Harbor in a thread."""

    def __init__(self, registry: RegistryProvider) -> None:
        self._registry = registry

    async def check_config(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        inputs = plain_map(request.new_inputs)
        if UNKNOWN not in inputs.values():
            Config.of(inputs)
        return sdk.CheckResponse(inputs=request.new_inputs)

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        self._registry.set_up(plain_map(request.args))
        return sdk.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def get_schema(self, request: sdk.GetSchemaRequest) -> sdk.GetSchemaResponse:
        del request
        return sdk.GetSchemaResponse(schema='{"name": "sovereign-registry"}')

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        problems = self._registry.check(_kind(request.type), plain_map(request.new_inputs))
        failures = [sdk.CheckFailure(property=name, reason=why) for name, why in problems]
        return sdk.CheckResponse(inputs=request.new_inputs, failures=failures)

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        kind = _kind(request.type)
        old, new = plain_map(request.old_state), plain_map(request.new_inputs)
        difference = self._registry.diff(kind, old, new)
        shown = {
            name: sdk.PropertyDiff(
                kind=sdk.PropertyDiffKind.UPDATE_REPLACE
                if name in difference.replaced
                else sdk.PropertyDiffKind.UPDATE,
                # The outputs have no secret, so the engine compares inputs.
                input_diff=name in KINDS[kind].secrets,
            )
            for name in difference.changed
        }
        return sdk.DiffResponse(
            changes=bool(difference.changed),
            replaces=list(difference.replaced),
            diffs=list(difference.changed),
            detailed_diff=shown,
            # A name is taken until the object that has it is deleted.
            delete_before_replace=True,
        )

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        kind, inputs = _kind(request.type), request.properties
        try:
            id_, outputs = await asyncio.to_thread(
                self._registry.create,
                request.urn,
                kind,
                plain_map(inputs),
                preview=request.preview,
            )
        except HalfCreated as half:
            raise _InitFailed(
                half.id, wrapped_outputs(kind, half.outputs, inputs), inputs, str(half)
            ) from None
        return sdk.CreateResponse(
            resource_id=id_, properties=wrapped_outputs(kind, outputs, inputs)
        )

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        kind = _kind(request.type)
        shown = await asyncio.to_thread(
            self._registry.read,
            request.urn,
            kind,
            request.resource_id,
            plain_map(request.properties),
            plain_map(request.inputs),
        )
        if shown is None:
            return sdk.ReadResponse(resource_id="")
        inputs = {
            # What did not change keeps its marks.
            key: request.inputs[key]
            if key in request.inputs and plain(request.inputs[key]) == value
            else wrapped(value, secret=_is_marked(request.inputs, key))
            for key, value in shown.inputs.items()
        }
        return sdk.ReadResponse(
            resource_id=request.resource_id,
            properties=wrapped_outputs(kind, shown.outputs, request.inputs),
            inputs=inputs,
        )

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        kind = _kind(request.type)
        outputs = await asyncio.to_thread(
            self._registry.update,
            request.urn,
            kind,
            plain_map(request.olds),
            plain_map(request.news),
            preview=request.preview,
        )
        return sdk.UpdateResponse(properties=wrapped_outputs(kind, outputs, request.news))

    async def delete(self, request: sdk.DeleteRequest) -> None:
        await asyncio.to_thread(
            self._registry.delete,
            request.urn,
            _kind(request.type),
            plain_map(request.properties),
        )

    async def cancel(self) -> None:
        self._registry.cancel()


class _InitFailed(Exception):
    """An object exists, and what came after its creation failed: the state keeps its id."""

    def __init__(
        self, id_: str, outputs: dict[str, PropertyValue], inputs: Values, reason: str
    ) -> None:
        super().__init__(reason)
        self.detail = provider_pb2.ErrorResourceInitFailed(
            id=id_,
            properties=PropertyValue.marshal_map(outputs),
            inputs=PropertyValue.marshal_map(dict(inputs)),
            reasons=[reason],
        )


_SDK: Final[Any] = ProviderServicer


class _Servicer(ProviderServicer):
    """The SDK's server, with errors as one sentence and with a DiffConfig that answers."""

    async def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(_SDK.CheckConfig(self, request, context), request, context)

    async def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """No input of the provider ever replaces it, and with it every resource."""
        del context
        old, new = (
            plain_map(PropertyValue.unmarshal_map(values))
            for values in (request.olds, request.news)
        )
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some if changed else none, diffs=changed)

    async def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(_SDK.Configure(self, request, context), request, context)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(_SDK.Check(self, request, context), request, context)

    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(_SDK.Diff(self, request, context), request, context)

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(_SDK.Create(self, request, context), request, context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(_SDK.Read(self, request, context), request, context)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(_SDK.Update(self, request, context), request, context)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _told(_SDK.Delete(self, request, context), request, context)

    async def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Of an engine that uses a plugin which a person started (PULUMI_DEBUG_PROVIDERS)."""
        del context
        self._engine_address = request.address
        return empty_pb2.Empty()


async def _told(answer: Coroutine[Any, Any, T], request: Any, context: Any) -> T:
    """The answer; an exception becomes the call's error, in its own words."""
    try:
        return await answer
    except _InitFailed as error:
        told = for_stack(str(error), _stack(request.urn))
        error.detail.reasons[:] = [told]
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=told)
        status.details.add().Pack(error.detail)
        details = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode.UNKNOWN, told, details)
    except grpc.aio.AbortError:
        raise
    except (LookupError, TypeError, AttributeError) as error:
        # What Harbor answered has another shape than its API's. The text could quote a part of it.
        await context.abort(
            grpc.StatusCode.UNKNOWN,
            f"what Harbor answered, or what the state has, is not as expected "
            f"({type(error).__name__} in {_place(error)})",
        )
    except Exception as error:
        told = for_stack(str(error) or type(error).__name__, _stack(request.urn))
        await context.abort(grpc.StatusCode.UNKNOWN, told)
    raise AssertionError("abort raises")


def _place(error: Exception) -> str:
    """Module and line in which an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def engine_log(address: str) -> tuple[Warn, Warn]:
    """Functions that show a warning, and an information, by the engine, whose address that is.

    What a plugin prints is not shown.
    """
    channel = grpc.insecure_channel(address, options=_GRPC_CHANNEL_OPTIONS)
    engine: Any = engine_pb2_grpc.EngineStub(channel)

    def shows(severity: Any) -> Warn:
        def show(urn: str, text: str) -> None:
            request = engine_pb2.LogRequest(severity=severity, urn=urn, message=text)
            with suppress(grpc.RpcError):
                engine.Log(request, timeout=5)

        return show

    return shows(engine_pb2.WARNING), shows(engine_pb2.INFO)


def serve(make: Callable[[Warn, Warn], RegistryProvider], arguments: list[str]) -> None:
    """Prints the port and serves until the engine interrupts this process or is gone."""
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    address = addresses[-1] if addresses else ""
    registry = make(*(engine_log(address) if address else (_silent, _silent)))

    def end() -> None:
        registry.close()
        # Calls still under way have nobody left to answer to.
        os._exit(0)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="call"))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
        server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
        servicer = _Servicer(arguments, "", _Provider(registry), engine_address=address)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(port, flush=True)
        await server.wait_for_termination()

    if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        threading.Thread(target=_with_the_engine, args=(end,), daemon=True).start()
    asyncio.run(run())


def _silent(urn: str, text: str) -> None:
    """There is no engine to show it."""
    del urn, text


def _with_the_engine(end: Callable[[], None]) -> None:
    """Ends when the engine is gone, also by a kill: it holds the other end of stdin."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    end()


def _stack(urn: str) -> str | None:
    """The stack that a URN names: urn:pulumi:<stack>::<project>::<type>::<name>."""
    return urn.removeprefix("urn:pulumi:").partition("::")[0] or None


def _kind(type_: str) -> str:
    return type_.rpartition(":")[2]


def _is_marked(inputs: Values, key: str) -> bool:
    return key in inputs and inputs[key].contains_secret()
