"""A reverse proxy that lets requests through, delays them, or answers them badly.

It stands in front of the API server, of the object storage and of Harbor's API. It counts what
comes through; a plan decides for each request. Upgraded connections (kubectl port-forward) are
counted once, and their bytes are let through.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

_UPSTREAM_SECONDS: Final = 120
_PIECE: Final = 65536
_ARRIVES_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came. `number`: its place since `Proxy.plan` was set, from 1. `path` has the
    query."""

    number: int
    method: str
    path: str

    @property
    def is_read(self) -> bool:
        return self.method in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer that does not come from the server behind the proxy."""

    status: int
    content_type: str
    content: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to a request: it waits for `seconds`, and then `answer` or a broken connection.

    `executed`: the server did what was asked, and only its answer is lost. `truncated`: of that
    answer the first half comes. `passes`: nothing but the delay.
    """

    seconds: float = 0
    answer: Answer | None = None
    executed: bool = False
    truncated: bool = False
    passes: bool = False


Plan = Callable[[Request], Fault | None]


def calm(_: Request) -> Fault | None:
    """Everything is let through."""
    return None


class Proxy:
    """Serves on a port of 127.0.0.1 until `close`: on a free one, unless `port` is given.

    `upstream`: http(s)://host:port. `client`: what an https upstream is asked with; the proxy
    itself speaks plain HTTP unless `serving` is given.
    """

    def __init__(
        self,
        upstream: str,
        *,
        client: ssl.SSLContext | None = None,
        serving: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self._upstream = urlsplit(upstream)
        self._client = client
        self._lock = threading.Lock()
        self._plan: Plan = calm
        self._count = 0
        self._injected = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # 40 ms for each answer with a body
            upstream: http.client.HTTPConnection | None = None

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def answer(self) -> None:
                proxy._answer(self)

            def finish(self) -> None:
                if self.upstream is not None:
                    self.upstream.close()
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name)
                pass

        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self._server = _Server(("127.0.0.1", port), Handler)
        if serving is not None:
            self._server.socket = serving.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def count(self) -> int:
        """Requests since the plan was set."""
        return self._count

    @property
    def injected(self) -> int:
        """Faults since the plan was set."""
        return self._injected

    def plan(self, plan: Plan) -> None:
        """What happens to the requests from now on; counts begin anew."""
        with self._lock:
            self._plan, self._count, self._injected = plan, 0, 0

    def calm(self) -> None:
        """Everything is let through from now on; what was counted stays."""
        with self._lock:
            self._plan = calm

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: Any) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._lock:
            self._count += 1
            request = Request(number=self._count, method=handler.command, path=handler.path)
            fault = self._plan(request)
            self._injected += fault is not None
        if fault is not None and fault.seconds:
            time.sleep(fault.seconds)
        if fault is None or fault.passes:
            self._forward(handler, body)
            return
        if fault.executed:
            self._execute(handler, body, truncated=fault.truncated)
        if fault.answer is None:
            _reset(handler)
        else:
            _send(handler, fault.answer)

    def _execute(self, handler: Any, body: bytes, *, truncated: bool) -> None:
        """Lets the server do what was asked; of its answer comes nothing, or the first half."""
        connection = self._connection()
        broken = contextlib.suppress(OSError, http.client.HTTPException)
        with contextlib.closing(connection), broken:
            connection.request(handler.command, handler.path, body or None, dict(handler.headers))
            with connection.getresponse() as response:
                if "watch=" in handler.path:
                    # It has no end.
                    content, length = response.read1(_PIECE), _PIECE
                else:
                    content = response.read()
                    length = len(content)
                if truncated:
                    _send_half(handler, response, content, length)

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._upstream.hostname or "", self._upstream.port
        if self._client is None:
            return http.client.HTTPConnection(host, port, timeout=_UPSTREAM_SECONDS)
        return http.client.HTTPSConnection(
            host, port, timeout=_UPSTREAM_SECONDS, context=self._client
        )

    def _forward(self, handler: Any, body: bytes) -> None:
        headers = dict(handler.headers)
        if "upgrade" in headers.get("Connection", "").lower():
            self._tunnel(handler, headers)
            return
        response = self._asked(handler, body, headers)
        if response is None:
            # Nobody listens there, or it died while it was asked: so does this connection.
            _reset(handler)
            return
        handler.send_response_only(response.status, response.reason)
        length = response.getheader("Content-Length")
        has_body = handler.command != "HEAD" and response.status not in (204, 304)
        chunked = has_body and length is None
        for name, value in response.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                handler.send_header(name, value)
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while has_body and (piece := response.read1(_PIECE)):
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if response.length:
                # `read1` ends without a word where the upstream does.
                raise http.client.IncompleteRead(b"", response.length)
            if chunked:
                handler.wfile.write(b"0\r\n\r\n")
            response.read()  # the connection can be used again
        except (OSError, http.client.HTTPException):
            # The response holds the socket too.
            response.close()
            handler.upstream.close()
            handler.upstream = None
            _reset(handler)

    def _asked(
        self, handler: Any, body: bytes, headers: dict[str, str]
    ) -> http.client.HTTPResponse | None:
        """The upstream's answer; None if it does not give one."""
        kept: http.client.HTTPConnection | None = handler.upstream
        for connection in (kept, self._connection()):
            if connection is None:
                continue
            try:
                # With the client's own Host header: S3 signs it.
                connection.request(handler.command, handler.path, body or None, headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException):
                # A connection that the upstream closed meanwhile.
                connection.close()
                handler.upstream = None
                continue
            handler.upstream = connection
            return response
        return None

    def _tunnel(self, handler: Any, headers: dict[str, str]) -> None:
        handler.close_connection = True
        connection = self._connection()
        try:
            connection.connect()
        except OSError:
            _reset(handler)
            return
        with contextlib.closing(connection):
            lines = [f"{handler.command} {handler.path} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            connection.sock.sendall("\r\n".join([*lines, "", ""]).encode())
            with contextlib.suppress(OSError):
                _splice(handler.connection, connection.sock)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or refuses the certificate, is no error of the proxy's."""


def _splice(one: socket.socket, other: socket.socket) -> None:
    """Copies bytes both ways until one side ends. In one thread: a TLS socket bears no two."""
    across = {one: other, other: one}
    while True:
        ready = [s for s in across if isinstance(s, ssl.SSLSocket) and s.pending()]
        for source in ready or select.select([*across], [], [], _UPSTREAM_SECONDS)[0]:
            piece = source.recv(_PIECE)
            if not piece:
                return
            across[source].sendall(piece)


def _send(handler: Any, answer: Answer) -> None:
    handler.send_response_only(answer.status)
    for name, value in (("Content-Type", answer.content_type), *answer.headers):
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(answer.content)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(answer.content)


def _send_half(
    handler: Any, response: http.client.HTTPResponse, content: bytes, length: int
) -> None:
    """The head of an answer of `length` bytes, and half of what came of it."""
    handler.send_response_only(response.status, response.reason)
    for name, value in response.getheaders():
        if name.lower() not in ("transfer-encoding", "connection", "content-length"):
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(length))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content[: length // 2])
        # Not to be overtaken by the reset, with which the receiver may forget what it has.
        handler.wfile.flush()
        time.sleep(_ARRIVES_SECONDS)


def _reset(handler: Any) -> None:
    # Closing with linger 0 sends RST instead of FIN.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
