"""Pulumi's mocks, made to record: what a program registers, read once all of it has landed.

`Engine.run` builds, drains and returns; assertions are plain statements about `Engine.resources`
afterwards. Absence can only be asserted once every registration has landed, so nothing is asserted
inside an `apply`.

What the SDK's own mock monitor does not keep is kept here: parent, protect, retain, provider,
import id, hooks and the secret outputs, which are wrapped as the engine would.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from unittest import mock

import pulumi
from google.protobuf.empty_pb2 import Empty
from pulumi.output import Unknown
from pulumi.runtime import mocks, resource, rpc
from pulumi.runtime.proto import provider_pb2, resource_pb2, source_pb2
from pulumi.runtime.settings import SETTINGS, get_root_resource, reset_options
from pulumi.runtime.stack import Stack, wait_for_rpcs

from components.registry.kinds import KINDS
from components.sealing.digests import revision
from components.sealing.seal import SealProvider

T = TypeVar("T")

PROJECT = "sovereign-harbor"

MARK = "TOPSECRET"
"""Part of every secret value in these tests, so that a leak can be found by looking for it."""

KUBERNETES_PROVIDER = "pulumi:providers:kubernetes"
SEAL = "pulumi-python:dynamic/sealing:Seal"
UNSEALED = "pulumi-python:dynamic/sealing:Unsealed"
HANDOVER = "pulumi-python:dynamic/delivery:Handover"
SYNCED = "pulumi-python:dynamic/delivery:Synced"
EXTERNAL_SECRET = "kubernetes:external-secrets.io/v1:ExternalSecret"
PUSH_SECRET = "kubernetes:external-secrets.io/v1alpha1:PushSecret"
PUSHED = "kubernetes:core/v1:Secret"
"""The only Secrets that the program applies itself: those from which values are pushed."""
SEALING_TRUST = "pulumi-python:dynamic/sealing:SealingTrust"
STATE_MARK = "pulumi-python:dynamic/ownership:StateMark"
BUCKET = "pulumi-python:dynamic/storage:S3Bucket"
KEY_PROOF = "pulumi-python:dynamic/storage:KeyProof"
LOCKDOWN = "pulumi-python:dynamic/storage:S3Lockdown"
ROUTE_ACCEPTED = "pulumi-python:dynamic/network:RouteAccepted"
ARCHIVE_PROOF = "pulumi-python:dynamic/backup:ArchiveProof"
DATABASE_APPLIED = "pulumi-python:dynamic/database:DatabaseApplied"
TENANT_DATABASE = "kubernetes:postgresql.cnpg.io/v1:Database"
DATABASE_ROLE = "kubernetes:postgresql.cnpg.io/v1:DatabaseRole"
DATABASE_RESTORE = "pulumi-python:dynamic/database:DatabaseRestore"
OBJECT_STORE = "kubernetes:barmancloud.cnpg.io/v1:ObjectStore"
SCHEDULED_BACKUP = "kubernetes:postgresql.cnpg.io/v1:ScheduledBackup"
VELERO_SCHEDULE = "kubernetes:velero.io/v1:Schedule"
BLOB_PLACE = "pulumi-python:dynamic/storage:BlobPlace"
PASSWORD = "random:index/randomPassword:RandomPassword"
PRIVATE_KEY = "tls:index/privateKey:PrivateKey"
CERTIFICATE = "tls:index/selfSignedCert:SelfSignedCert"
RELEASE = "kubernetes:helm.sh/v3:Release"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
NAMESPACE = "kubernetes:core/v1:Namespace"
SERVICE = "kubernetes:core/v1:Service"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
SEALED_SECRET = "kubernetes:bitnami.com/v1alpha1:SealedSecret"
POSTGRES_CLUSTER = "kubernetes:postgresql.cnpg.io/v1:Cluster"

REGISTRY_PROVIDER = "pulumi:providers:sovereign-registry"
SERVICE_ACCOUNT_PATCH = "kubernetes:core/v1:ServiceAccountPatch"

AWS_PROVIDER = "pulumi:providers:aws"
AWS_BUCKET = "aws:s3/bucket:Bucket"
AWS_ACCESS_KEY = "aws:iam/accessKey:AccessKey"

DNS_PROVIDER = "pulumi:providers:hcloud"
DNS_RECORD = "hcloud:index/zoneRrset:ZoneRrset"
LOAD_BALANCER = "hcloud:index/getLoadBalancer:getLoadBalancer"

_SIGNATURE = "4dabf18193072939515e22adb298388d"


def is_secret(value: Any) -> bool:
    """Whether a recorded property is flagged secret, itself or anywhere inside."""
    if isinstance(value, dict):
        return _SIGNATURE in value or any(is_secret(item) for item in value.values())
    return isinstance(value, list) and any(is_secret(item) for item in value)


def plain(value: Any) -> Any:
    """A recorded property without the wrapping of secrets."""
    if isinstance(value, dict):
        if _SIGNATURE in value:
            return plain(value["value"])
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def text(value: Any) -> str:
    """A recorded property as one text, to search for what must not be in it."""
    return json.dumps(plain(value), default=str)


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One registration, as the engine would have received it."""

    typ: str
    name: str
    urn: str
    parent: str
    custom: bool
    inputs: dict[str, Any]
    protect: bool
    retain: bool
    provider: str
    import_id: str
    dependencies: frozenset[str]
    hooks: dict[str, list[str]]
    deleted_with: str

    def __getitem__(self, key: str) -> Any:
        return plain(self.inputs[key])

    @property
    def parent_name(self) -> str:
        return self.parent.rsplit("::", 1)[-1]

    @property
    def is_component(self) -> bool:
        return self.typ.startswith("sovereign-harbor:")

    @property
    def is_manifest(self) -> bool:
        """An object of the API server that this program writes itself."""
        return self.typ.startswith("kubernetes:") and self.typ != RELEASE

    def __str__(self) -> str:
        return f"{self.typ} {self.name}"


def minted(name: str, length: int = 32) -> str:
    """The value that the mocked random provider mints for a resource."""
    return f"{MARK}{hashlib.sha256(name.encode()).hexdigest()}"[:length]


class Provider:
    """What providers answer. Raises for a type or a function that the program does not use."""

    def outputs(self, typ: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if typ == SEAL:
            # The real one: what the controller gets is what a test may open.
            props = {key: value for key, value in plain(inputs).items() if value is not None}
            return SealProvider().create(props).outs or {}
        computed: Mapping[str, Callable[[], dict[str, Any]]] = {
            UNSEALED: lambda: {"salt": MARK},
            HANDOVER: lambda: {"revision": revision(plain(inputs["data"]), salt=b"mocks")},
            SYNCED: lambda: {
                "revision": plain(inputs.get("revision")) or f"of-the-store-{name}",
                "content": "digest",
                "salt": MARK,
            },
            SEALING_TRUST: dict,
            STATE_MARK: lambda: {"mark": "mark-of-the-state"},
            ROUTE_ACCEPTED: dict,
            BUCKET: lambda: {"unsupported": []},
            KEY_PROOF: lambda: {"revision": "proven", "salt": MARK},
            LOCKDOWN: dict,
            BLOB_PLACE: dict,
            ARCHIVE_PROOF: dict,
            DATABASE_RESTORE: dict,
            DATABASE_APPLIED: dict,
            KUBERNETES_PROVIDER: dict,
            AWS_PROVIDER: dict,
            AWS_ACCESS_KEY: lambda: {"secret": minted(name, 40)},
            DNS_PROVIDER: dict,
            REGISTRY_PROVIDER: dict,
            DNS_RECORD: dict,
            PASSWORD: lambda: {
                "result": minted(name, int(plain(inputs["length"]))),
                "bcryptHash": f"$2a$10${MARK}{name}",
            },
            PRIVATE_KEY: lambda: {"privateKeyPem": f"-----BEGIN KEY-----\n{MARK}{name}\n"},
            CERTIFICATE: lambda: {"certPem": f"-----BEGIN CERTIFICATE-----\n{name}\n"},
            RELEASE: lambda: {
                "status": {"appVersion": "2.14.3", "namespace": "harbor", "status": "deployed"}
            },
        }
        if typ in computed:
            return {**inputs, **computed[typ]()}
        if typ.startswith("sovereign-registry:index:"):
            return self.of_harbor(typ, inputs)
        if typ.startswith(("kubernetes:", "aws:")):
            return inputs
        raise AssertionError(f"{typ} {name}: no provider in these tests answers for this type")

    def of_harbor(self, typ: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """The plugin's outputs: without the secrets, with what Harbor adds."""
        kind = KINDS[typ.rpartition(":")[2]]
        given = {key: value for key, value in inputs.items() if key not in kind.secrets}
        project = f"{given['project']}+" if given.get("project") else ""
        added = {
            "harborId": 7,
            "fullName": f"{given.get('prefix') or 'robot$'}{project}{given.get('name')}",
            "expiresAt": -1,
        }
        return {**given, **{key: added[key] for key in kind.computed if key in added}}

    def call(self, token: str) -> dict[str, Any]:
        answers: dict[str, dict[str, Any]] = {
            LOAD_BALANCER: {"ipv4": "203.0.113.7", "ipv6": "2001:db8::7", "id": 7},
        }
        if token not in answers:
            raise AssertionError(f"{token}: no provider in these tests answers this call")
        return answers[token]


class Unused(mocks.Mocks):
    """The Recorder answers instead."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise AssertionError("registrations are answered by the Recorder")

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        raise AssertionError("calls are answered by the Recorder")


class Recorder(mocks.MockMonitor):
    """The monitor. In a preview every output is unknown: nothing exists yet."""

    def __init__(self, provider: Provider, *, preview: bool) -> None:
        super().__init__(Unused())
        self.registered: list[Registered] = []
        self.finished: set[str] = set()
        self._provider = provider
        self._preview = preview
        self._lock = threading.Lock()

    def RegisterResource(self, request: Any) -> resource_pb2.RegisterResourceResponse:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        inputs = rpc.deserialize_properties(request.object, keep_unknowns=True)
        hooks = {kind.name: list(names) for kind, names in request.hooks.ListFields()}
        registered = Registered(
            typ=request.type,
            name=request.name,
            urn=urn,
            parent=request.parent,
            custom=request.custom,
            inputs=inputs,
            protect=request.protect,
            retain=request.retainOnDelete,
            provider=request.provider,
            import_id=request.importId,
            dependencies=frozenset(request.dependencies),
            hooks=hooks,
            deleted_with=request.deletedWith,
        )
        with self._lock:
            assert urn not in {other.urn for other in self.registered}, f"{urn} is there twice"
            self.registered.append(registered)
        if self._preview or not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        outputs = self._provider.outputs(request.type, request.name, inputs)
        for key in request.additionalSecretOutputs:
            if key in outputs:
                outputs[key] = rpc.wrap_rpc_secret(plain(outputs[key]))
        # A loop of its own: this runs on a worker thread, which has none.
        packed = asyncio.run(rpc.serialize_properties(outputs, {}))
        return resource_pb2.RegisterResourceResponse(
            urn=urn, id=f"id-of-{request.name}", object=packed
        )

    def RegisterResourceOutputs(self, request: Any) -> Empty:
        self.finished.add(request.urn)
        return Empty()

    def Invoke(self, request: Any) -> provider_pb2.InvokeResponse:
        answer = asyncio.run(rpc.serialize_properties(self._provider.call(request.tok), {}))
        packed: dict[str, Any] = {"return": answer}
        return provider_pb2.InvokeResponse(**packed)


@dataclass
class Hooks:
    """Stands for the server over which the engine calls a program's hooks."""

    registered: list[str] = field(default_factory=list)

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        self.registered.append(hook.name)


class Resolved(NamedTuple):
    """An output after the run; `value` is None when it is not known."""

    value: Any
    is_known: bool
    is_secret: bool


async def _resolved(output: Any) -> Resolved:
    wrapped = pulumi.Output.from_input(output)
    known = await wrapped.is_known()
    value = await wrapped.future()
    return Resolved(value if known else None, known, await wrapped.is_secret())


async def _landed() -> None:
    """Waits for all registrations and outputs; raises what the first of them raised.

    `wait_for_rpcs` would wait for the outputs again after each one that is done: with n outputs
    that is n² / 2.
    """
    settings: Any = SETTINGS  # a decorator of the SDK's own makes its properties
    while True:
        await wait_for_rpcs(await_all_outstanding_tasks=False)
        with settings.lock:
            outputs = [*settings.outputs]
            settings.outputs.clear()
        if not outputs:
            return
        await asyncio.gather(*outputs)


class Engine:
    """One run of program code under mocks, and what came of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.provider = Provider()
        self.resources: list[Registered] = []
        self.finished: set[str] = set()
        """Components that called register_outputs, by URN."""
        self.outputs: dict[str, Resolved] = {}
        self.log: list[str] = []
        """What the program told whoever runs it."""
        self.hooks = Hooks()

    def run(
        self,
        build: Callable[[], T],
        *,
        stack: str = "omantel",
        preview: bool = False,
        config: Mapping[str, str] | None = None,
        secret_keys: frozenset[str] = frozenset(),
    ) -> T:
        """Runs `build`, waits until all that it registered has landed, returns its result."""
        recorder = Recorder(self.provider, preview=preview)
        logger = logging.Logger("pulumi", logging.INFO)
        logger.addFilter(lambda record: bool(self.log.append(record.getMessage())))

        async def program() -> T:
            mocks.set_mocks(
                Unused(),
                project=PROJECT,
                stack=stack,
                preview=preview,
                monitor=recorder,
                logger=logger,
            )
            setattr(SETTINGS, "callbacks", self.hooks)  # noqa: B010 - a property of the context
            pulumi.runtime.set_all_config(dict(config or {}), list(secret_keys))
            result = build()
            await _landed()
            root = get_root_resource()
            exports = dict(root.outputs) if isinstance(root, Stack) else {}
            self.outputs = {key: await _resolved(value) for key, value in exports.items()}
            return result

        # Where in the source each resource is made concerns the engine alone, and to find it out is
        # a quarter of a run.
        no_trace = mock.patch.object(resource, "_get_stack_trace", source_pb2.StackTrace)
        try:
            with no_trace:
                return self._loop.run_until_complete(program())
        finally:
            self.resources = sorted(recorder.registered, key=str)
            self.finished = recorder.finished

    def resolve(self, output: Any) -> Resolved:
        """What an output came to."""

        return self._loop.run_until_complete(_resolved(output))

    def all(self, typ: str) -> list[Registered]:
        """All resources of a type."""
        return [resource for resource in self.resources if resource.typ == typ]

    def one(self, typ: str, name: str | None = None) -> Registered:
        """The only resource of a type, or the one of that logical name."""
        named = [resource for resource in self.all(typ) if name in (None, resource.name)]
        assert len(named) == 1, f"{len(named)} of {typ} {name or ''} in {self.names}"
        return named[0]

    @property
    def names(self) -> list[str]:
        """Type and name of everything that was registered."""
        return [str(resource) for resource in self.resources]

    def sealed(self, secret_name: str) -> dict[str, Any]:
        """The plaintext that was sealed for the Secret of that name."""
        seals = [seal for seal in self.all(SEAL) if seal["name"] == secret_name]
        assert len(seals) == 1, f"{secret_name} is not among {[s['name'] for s in self.all(SEAL)]}"
        return seals[0]["data"]


@contextlib.contextmanager
def fresh_engine() -> Iterator[Engine]:
    """Mocks on an event loop of their own; what they leave behind reaches no other."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield Engine(loop)
    finally:
        reset_options()
        pulumi.runtime.set_all_config({}, [])
        # After a refusal what was under way is still waiting for what will not come.
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


def unknown_inputs(resource: Registered) -> set[str]:
    """Properties that hold something not known yet."""
    return {path[0] for path in unknown_paths(resource)}


def unknown_paths(resource: Registered) -> set[tuple[str, ...]]:
    """The paths of the inputs that are not known yet."""

    def unknown(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if isinstance(value, Unknown):
            yield path
        items = enumerate(value) if isinstance(value, list) else ()
        for key, item in value.items() if isinstance(value, dict) else items:
            yield from unknown(item, (*path, str(key)))

    return set(unknown({key: plain(value) for key, value in resource.inputs.items()}, ()))
