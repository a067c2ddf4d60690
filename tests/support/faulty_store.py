"""A reverse proxy in front of an S3 store that fails on demand, and a bucket's life through it."""

from __future__ import annotations

import contextlib
import fnmatch
import http.client
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.endpoint
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.dynamic import ConfigureRequest

from components.object_storage.key_proof import KeyProofProvider
from components.object_storage.location import BucketLocation
from components.object_storage.s3 import client as client_module
from components.object_storage.s3 import policy as s3_policy
from components.object_storage.s3.client import S3Credentials, s3_client
from components.object_storage.s3_bucket import S3BucketProvider
from components.object_storage.s3_lockdown import S3LockdownProvider

CREDENTIALS = S3Credentials(access_key="SANDBOXACCESSKEY01", secret_key="s3cr3t" * 6)

READ_SECONDS = 1.0
"""Read timeout of the client under test: a silent store costs little. A store on a busy machine is
slow at times, and its client tries eight times, without the pauses, before it gives up."""

LONGEST_STREAK = 3
"""Faults in a row at most, well below the client's attempts: what it must get over."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it reached the store."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def what(self) -> str:
        """`PUT lifecycle`, `GET owner.json`, `PUT bucket` …: one word for each kind of call."""
        path, _, query = self.path.partition("?")
        key = path.rstrip("/").split("/", 2)[2:]
        subresource = query.split("&")[0].split("=")[0]
        return f"{self.method} {key[0].rpartition('/')[2] if key else subresource or 'bucket'}"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to a request. `executed`: the store did it, only the answer is bad."""

    status: int = 0
    """An answer with this status and `code`; 0 breaks the connection instead."""
    code: str = ""
    message: str = "injected"
    executed: bool = False
    truncated: bool = False
    """The head of the right answer, and half of its body."""
    silent: bool = False
    """No answer until the client has given up."""
    content: bytes | None = None
    """The answer's content, instead of an error's."""


FAULTS = (
    Fault(status=500, code="InternalError"),
    Fault(status=503, code="ServiceUnavailable"),
    Fault(status=503, code="SlowDown"),
    Fault(status=502, code="BadGateway"),
    Fault(status=500, code="InternalError", executed=True),
    Fault(status=503, code="SlowDown", executed=True),
    Fault(),
    Fault(executed=True),
    Fault(executed=True, truncated=True),
    Fault(executed=True, silent=True),
)

WEIGHTS = [1 if fault.silent else 4 for fault in FAULTS]
"""Silence is waited out, so there is less of it."""

Plan = Callable[[Seen], Fault | None]


class FaultyStore:
    """The proxy. `plan` decides for each request; `seen` and `injected` keep what happened."""

    def __init__(self, upstream: str) -> None:
        self.plan: Plan = calm
        self.seen: list[Seen] = []
        self.injected: list[Fault] = []
        self._lock = threading.Lock()
        self._upstream = upstream.removeprefix("http://")
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # 40 ms for each answer with a body

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def answer(self) -> None:
                store._answer(self)

            do_GET = do_PUT = do_DELETE = answer  # noqa: N815 (http.server's names)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def forget(self) -> None:
        self.plan = calm
        self.seen.clear()
        self.injected.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        seen = Seen(
            method=handler.command, path=handler.path, headers=dict(handler.headers), body=body
        )
        with self._lock:
            self.seen.append(seen)
            fault = self.plan(seen)
            if fault is not None:
                self.injected.append(fault)
        status, headers, content = 0, [], b""
        if fault is None or fault.executed:
            status, headers, content = self._forward(seen)
        if fault is None:
            _send(handler, status, headers, content)
        elif fault.truncated and content:
            _send(handler, status, headers, content, stop_after=len(content) // 2)
        elif fault.silent:
            time.sleep(READ_SECONDS * 1.4)
            handler.close_connection = True
        elif fault.content is not None:
            _send(handler, fault.status, [], fault.content)
        elif fault.status:
            text = (
                f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
            ).encode()
            _send(handler, fault.status, [("Content-Type", "application/xml")], text)
        else:
            _reset(handler)

    def _forward(self, seen: Seen) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._upstream, timeout=10)
        try:
            # With the client's own Host header: it is part of what was signed.
            connection.request(seen.method, seen.path, seen.body or None, seen.headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    content: bytes,
    *,
    stop_after: int | None = None,
) -> None:
    handler.send_response_only(status)
    for name, value in headers:
        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
            handler.send_header(name, value)
    if status != 204:
        handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[:stop_after])
    if stop_after is not None:
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_WR)
        handler.close_connection = True


def _reset(handler: BaseHTTPRequestHandler) -> None:
    # Closing with linger 0 sends RST instead of FIN.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def calm(_: Seen) -> Fault | None:
    return None


def storm(seed: int, *, share: float = 0.5) -> Plan:
    """Faults of all kinds on a `share` of the requests, the same for the same seed."""
    dice, streak = random.Random(seed), 0

    def plan(_: Seen) -> Fault | None:
        nonlocal streak
        if streak == LONGEST_STREAK or dice.random() > share:
            streak = 0
            return None
        streak += 1
        return dice.choices(FAULTS, weights=WEIGHTS)[0]

    return plan


def dead_from(call: int, *, executed: bool) -> Plan:
    """The engine is killed at its `call`-th request: that one and all later ones are not answered.

    `executed`: the store had done that one before.
    """
    count = 0

    def plan(_: Seen) -> Fault | None:
        nonlocal count
        count += 1
        if count < call:
            return None
        return Fault(executed=executed and count == call)

    return plan


def on(what: str, fault: Fault) -> Plan:
    """`fault` on every request of one kind (Seen.what), nothing on others."""
    return lambda seen: fault if seen.what == what else None


class Enforcing:
    """A plan: the store keeps and enforces a bucket's policy as Hetzner's does; moto does not.

    A key's name in a policy holds its project, and AWS's own form of a name means nobody. A policy
    is in force only `lag` requests after it was put or taken off. `plan` is for what is allowed.
    """

    def __init__(self, project: str, *, lag: int = 0, plan: Plan = calm) -> None:
        self.plan = plan
        self.written: dict[str, Any] | None = None
        """The policy as it is told."""
        self._lag = lag
        self._project = project
        self._in_force: list[dict[str, Any] | None] = [None] * (lag + 1)

    def __call__(self, seen: Seen) -> Fault | None:
        self._in_force = [*self._in_force[1:], self.written]
        policy = self._in_force[0]
        if policy and any(self._denies(statement, seen) for statement in policy["Statement"]):
            return Fault(status=403, code="AccessDenied")
        fault = self.plan(seen)
        if not seen.what.endswith(" policy"):
            return fault
        answer = self._policy(seen) if fault is None or fault.executed else None
        return (fault and replace(fault, executed=False, truncated=False)) or answer

    def _policy(self, seen: Seen) -> Fault:
        if seen.method == "GET":
            if self.written is None:
                return Fault(status=404, code="NoSuchBucketPolicy")
            return Fault(status=200, content=json.dumps(self.written).encode())
        self.written = json.loads(seen.body) if seen.method == "PUT" else None
        return Fault(status=204, content=b"")

    def _denies(self, statement: dict[str, Any], seen: Seen) -> bool:
        key = seen.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        name = f"arn:aws:iam:::user/p{self._project}:{key}"
        if statement["Effect"] != "Deny":
            return False
        if "NotPrincipal" in statement:
            is_meant = name not in statement["NotPrincipal"]["AWS"]
        else:
            is_meant = name in statement["Principal"]["AWS"]
        path, _, query = seen.path.partition("?")
        bucket, _, object_key = path[1:].partition("/")
        action = "s3:GetObject" if seen.method == "GET" and object_key and not query else "s3:?"
        resource = f"arn:aws:s3:::{bucket}" + (f"/{object_key}" if object_key else "")
        return (
            is_meant
            and any(fnmatch.fnmatchcase(action, pattern) for pattern in statement["Action"])
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        )


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the client and of a lockdown, not slept; and a short read timeout."""
    pauses: list[float] = []

    class Clock:
        sleep = staticmethod(pauses.append)

    monkeypatch.setattr(botocore.endpoint, "time", Clock)
    monkeypatch.setattr(s3_policy, "time", Clock)
    monkeypatch.setattr(client_module, "READ_SECONDS", READ_SECONDS)
    return pauses


def through_engine(values: dict[str, Any]) -> dict[str, Any]:
    """Values as the engine hands them to a provider: every number a float."""
    message = Struct()
    message.update(values)
    return MessageToDict(message)


@dataclass
class Store:
    """A store under test: straight at `upstream` for looking, through `proxy` for the providers."""

    upstream: str
    proxy: FaultyStore
    credentials: S3Credentials
    region: str
    pauses: list[float] = field(default_factory=list)
    _straight: Any = field(init=False)

    def __post_init__(self) -> None:
        location = BucketLocation(bucket="-", region=self.region, endpoint=self.upstream)
        self._straight = s3_client(location, self.credentials)

    @property
    def s3(self) -> Any:
        """A client that nothing disturbs."""
        return self._straight

    def inputs(self, bucket: str, **changes: Any) -> dict[str, Any]:
        props = {
            "bucket": bucket,
            "region": self.region,
            "endpoint": self.proxy.endpoint,
            "pathStyle": True,
            "caBundle": None,
            "rootDirectory": "",
            "owner": "sovereign-harbor/omantel",
            "adopt": False,
            "versioning": True,
            "noncurrentDays": 14,
            "abortDays": 7,
            "tags": {"team": "registry"},
        }
        return through_engine({**props, **changes, "__provider": "pickled"})

    def provider(self, credentials: S3Credentials | None = None) -> S3BucketProvider:
        return configured(S3BucketProvider(), credentials or self.credentials)

    def key_proof(self, credentials: S3Credentials | None = None) -> KeyProofProvider:
        return configured(KeyProofProvider(), credentials or self.credentials)

    def lockdown(self, credentials: S3Credentials | None = None) -> S3LockdownProvider:
        return configured(S3LockdownProvider(), credentials or self.credentials)

    def create(self, props: dict[str, Any]) -> dict[str, Any]:
        return state_after(self.provider().create(props).outs)

    def read(self, state: dict[str, Any]) -> dict[str, Any]:
        return state_after(self.provider().read(state["bucket"], state).outs)

    def update(self, state: dict[str, Any], props: dict[str, Any]) -> dict[str, Any]:
        return state_after(self.provider().update(state["bucket"], state, props).outs)

    def delete(self, state: dict[str, Any]) -> None:
        self.provider().delete(state["bucket"], state)

    def differs(self, state: dict[str, Any], props: dict[str, Any]) -> bool:
        return bool(self.provider().diff(state["bucket"], state, props).changes)

    def buckets(self) -> set[str]:
        return {bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]}

    def keys(self, bucket: str) -> set[str]:
        listed = self.s3.list_object_versions(Bucket=bucket)
        kinds = ("Versions", "DeleteMarkers")
        return {entry["Key"] for kind in kinds for entry in listed.get(kind, [])}

    def empty(self, bucket: str) -> None:
        for upload in self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            self.s3.abort_multipart_upload(
                Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        listed = self.s3.list_object_versions(Bucket=bucket)
        for entry in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
            if not entry["Key"].startswith(".sovereign-harbor/"):
                self.s3.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])


def configured(provider: Any, credentials: S3Credentials) -> Any:
    keys = {"s3AccessKey": credentials.access_key, "s3SecretKey": credentials.secret_key}
    provider.configure(ConfigureRequest(keys))  # type: ignore[arg-type]
    return provider


def state_after(outs: dict[str, Any] | None) -> dict[str, Any]:
    """The outputs as the engine keeps them and hands them back."""
    assert outs is not None
    return through_engine({**outs, "__provider": "pickled"})


@contextlib.contextmanager
def store_behind_proxy(upstream: str, credentials: S3Credentials, region: str) -> Generator[Store]:
    """Ends with the proxy; `fresh` makes it as new for each test."""
    proxy = FaultyStore(upstream)
    store = Store(upstream, proxy, credentials, region)
    try:
        yield store
    finally:
        store.s3.close()
        proxy.close()


def fresh(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    store.pauses = without_waiting(monkeypatch)
    store.proxy.forget()
    return store


def whole_life(store: Store, bucket: str) -> None:
    """Create, prove the key, drift, heal, change, refuse to delete, delete: right at every step."""
    props = store.inputs(bucket)
    state = store.create(props)
    assert store.buckets() >= {bucket}
    assert not store.differs(state, props)
    assert store.read(state) == state

    proof = store.key_proof().create(props).outs
    assert proof is not None and proof["revision"]
    assert store.keys(bucket) == {".sovereign-harbor/owner.json"}

    store.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    drifted = store.read(state)
    assert store.differs(drifted, props)
    healed = store.update(drifted, props)
    assert healed == state
    assert store.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"

    changed = store.inputs(bucket, tags={"team": "platform"}, abortDays=3)
    assert store.differs(state, changed)
    state = store.update(state, changed)
    assert store.read(state) == state

    store.s3.put_object(Bucket=bucket, Key="docker/registry/v2/blob", Body=b"layer")
    with pytest.raises(Exception, match="still holds objects"):
        store.delete(state)
    assert store.s3.get_object(Bucket=bucket, Key="docker/registry/v2/blob")
    assert store.read(state) == state

    store.empty(bucket)
    store.delete(state)
    assert bucket not in store.buckets()
