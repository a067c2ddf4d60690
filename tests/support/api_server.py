"""An API server of a test's own, and proxies in front of it: all on 127.0.0.1, with TLS."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.certificates import NOW

HOST = "api.omantel.example"
"""A name that no resolver knows: only a proxy brings a client to it."""


@dataclass(frozen=True)
class Pair:
    """PEM of a certificate and of its key."""

    certificate: str
    key: str


class Authority:
    """Signs the server's certificate and those of its clients."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster-ca")])
        self.certificate = self._sign("cluster-ca", self._key.public_key(), is_authority=True)

    def pair(self, name: str) -> Pair:
        """For a server, of the name HOST and the address 127.0.0.1; for a client its user name."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(self._sign(name, key.public_key(), is_authority=False), pem.decode())

    def _sign(self, name: str, key: ec.EllipticCurvePublicKey, *, is_authority: bool) -> str:
        names: list[x509.GeneralName] = [
            x509.DNSName(HOST),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(hours=1))
            .not_valid_after(NOW + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True)
class Request:
    """What the API server was asked, and by whom."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client_certificate: str | None
    """Common name of the client's certificate."""


Answer = tuple[int, str, str] | Callable[[Request], tuple[int, str, str]]
"""Status, media type, body."""


@dataclass
class ApiServer:
    """Answers by path; anything else does not exist. `headers`: more of an answer's, by path."""

    authority: Authority
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def put(self, path: str, body: Any, *, status: int = 200) -> None:
        self.answers[path] = (status, "application/json", json.dumps(body))

    def refuse(self, path: str, status: int, message: str) -> None:
        self.put(path, {"kind": "Status", "message": message}, status=status)

    def answer(self, request: Request) -> tuple[int, str, str]:
        self.requests.append(request)
        missing = json.dumps({"kind": "Status", "message": f"{request.path} not found"})
        known = self.answers.get(request.path, (404, "application/json", missing))
        return known(request) if callable(known) else known


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """A running one; `folder` is for its files."""
    authority = Authority()
    server = ApiServer(authority)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # a client that went away
                self.close_connection = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            peer = self.connection.getpeercert()  # type: ignore[attr-defined]
            names = dict(part for parts in (peer or {}).get("subject", ()) for part in parts)
            request = Request(
                self.command, self.path, dict(self.headers), body, names.get("commonName")
            )
            status, media_type, text = server.answer(request)
            self.send_response(status)
            headers = {
                "Content-Type": media_type,
                "Content-Length": str(len(text.encode())),
                **server.headers.get(self.path, {}),
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

        def get_request(self) -> tuple[Any, Any]:
            connection, address = super().get_request()
            connection.settimeout(10)
            return tls.wrap_socket(connection, server_side=True), address

    pair = authority.pair("kube-apiserver")
    (folder / "server.pem").write_text(pair.certificate + pair.key)
    (folder / "ca.pem").write_text(authority.certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem")
    tls.load_verify_locations(folder / "ca.pem")
    tls.verify_mode = ssl.CERT_OPTIONAL
    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.port = http.server_address[1]
        threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        http.shutdown()


@dataclass
class Tunnel:
    """A proxy that brings every connection to one port, whatever was asked for."""

    port: int
    targets: list[str] = field(default_factory=list)
    """Host and port of each connection, as the client named them."""


@contextmanager
def tunnel(target: int, *, socks: bool = False) -> Iterator[Tunnel]:
    """An HTTP proxy (CONNECT), or one of SOCKS 5, to that port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened = Tunnel(listener.getsockname()[1])

        def serve(client: socket.socket) -> None:
            with client, socket.create_connection(("127.0.0.1", target)) as server:
                opened.targets.append((_socks if socks else _connect)(client))
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join(5)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield opened
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(5)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _connect(client: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    return head.split()[1].decode()


def _socks(client: socket.socket) -> str:
    _, methods = client.recv(2)
    client.recv(methods)
    client.sendall(b"\x05\x00")
    kind = client.recv(4)[3]
    host = (
        client.recv(client.recv(1)[0]).decode() if kind == 3 else socket.inet_ntoa(client.recv(4))
    )
    (port,) = struct.unpack(">H", client.recv(2))
    client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
    return f"{host}:{port}"


def encoded(text: str) -> str:
    """As `certificate-authority-data` and its like want it."""
    return base64.b64encode(text.encode()).decode()
