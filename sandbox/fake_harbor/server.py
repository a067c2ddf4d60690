"""The fake's HTTP server, on 127.0.0.1 only."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sandbox.fake_harbor import access, answers, fields, kinds, registry, routing
from sandbox.fake_harbor.answers import Answer, CoreDies, Hangs, Refused
from sandbox.fake_harbor.deployed import Deployed
from sandbox.fake_harbor.faults import Fault, Faults, Seen
from sandbox.fake_harbor.world import World

API = "/api/v2.0"
SECONDS_BETWEEN_LOOKS = 2
_SECONDS_BETWEEN_ROUNDS = 0.01
"""How long `stop` waits for the server's thread at most."""
Headers = Message
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass
class Settings:
    """What is outside Harbor's database. `version` is Harbor's, without `v`.

    `reachable`: addresses of registries that Harbor reaches, by their beginning; None is all.
    `logins`: address → user and secret that this upstream wants. `issuers`: what answers an OIDC
    ping. `down`: names of Harbor's components that do not work. `seconds_after_a_wrong_password`:
    how long Harbor lets the asker wait. `seconds_until_final`: how long a run is not over.
    `trivy`: the address of the scanner that the chart deploys and core registers, "" for none.
    `config_overwritten`: core was started with CONFIG_OVERWRITE_JSON.
    """

    version: str = "2.14.3"
    external_url: str = "http://harbor.test"
    reachable: list[str] | None = None
    logins: dict[str, tuple[str, str]] = field(default_factory=dict[str, Any])
    issuers: list[str] = field(default_factory=list[str])
    down: set[str] = field(default_factory=set[str])
    seconds_after_a_wrong_password: float = 0
    seconds_until_final: float = 0
    seconds_of_a_schedule_write: float = 0.02
    seconds_of_a_hang: float = 60
    trivy: str = "http://harbor-trivy:8080"
    config_overwritten: bool = False
    writing: set[str] = field(default_factory=set[str])
    looping: set[str] = field(default_factory=set[str])

    def reaches(self, address: str) -> bool:
        """Whether Harbor reaches an address."""
        return self.reachable is None or address.startswith(tuple(self.reachable))

    @property
    def is_2_15(self) -> bool:
        return self.version.startswith("2.15")


class FakeHarbor:
    """A fake of Harbor's API. `with FakeHarbor(admin_password="…") as harbor: harbor.url`.

    `deployed` tells what the Harbor was deployed with, admin's password among it, and None while
    there is none; it is asked at the first login, as a Harbor reads the password once, at the first
    start with an empty database, and again when a login is refused: in another database, everything
    is gone. `file` keeps everything over restarts of the process. `backend` is the registry to
    which /v2/ leads.
    """

    def __init__(
        self,
        *,
        admin_password: str = "Harbor12345",
        settings: Settings | None = None,
        file: Path | None = None,
        deployed: Callable[[], Deployed | None] | None = None,
        backend: registry.Backend | None = None,
        port: int = 0,
    ) -> None:
        self.settings = settings or Settings()
        self.world = World(file)
        self.faults = Faults()
        self.backend = backend
        self._deployed = deployed or (lambda: Deployed(admin_password))
        self._looked = 0.0
        self._looking = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._dead = False
        self._register_trivy()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_SECONDS_BETWEEN_ROUNDS,), daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        """Scheme, host and port, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> FakeHarbor:
        """Answers in a thread from now on."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the server; what it knew stays readable."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.world.flush()

    def __enter__(self) -> FakeHarbor:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve(self) -> None:
        """Answers in this thread until the process ends."""
        try:
            self._server.serve_forever()
        finally:
            self.world.flush()

    def plan(self, *faults: Fault) -> None:
        """Injects these faults from now on, in place of those before."""
        self.faults.plan(*faults)

    def calls(self, *, forget: bool = False) -> list[Seen]:
        """The calls so far; with `forget`, the next time only those after it."""
        return self.faults.calls(forget=forget)

    @property
    def is_dead(self) -> bool:
        """Whether a call has ended Harbor's core; nothing is answered until `restart`."""
        return self._dead

    def restart(self) -> None:
        """Starts core and jobservice again, on what is deployed now.

        Everything in the database is as it was, unless it is another one.
        """
        self._dead = False
        self.settings.looping.clear()
        self._look()

    def put_image(
        self,
        project: str,
        repository: str,
        digest: str,
        tags: list[str],
        *,
        pushed: str = "",
        pulled: str = "",
        vulnerabilities: Mapping[str, str] | None = None,
    ) -> None:
        """Tells of an image in a project, as a push would. Times are ISO 8601; "" is now.

        `vulnerabilities`: id → severity, as a scan has found them; None while nothing was scanned.
        Raises KeyError when there is no such project.
        """
        with self.world.lock:
            kinds.repositories.put(
                self.world,
                project,
                repository,
                digest,
                tags,
                pushed=pushed,
                pulled=pulled,
                vulnerabilities=vulnerabilities,
            )

    def answer(
        self, method: str, target: str, headers: Headers, content: bytes
    ) -> tuple[Answer, str]:
        """The answer to one call, and who asked. Raises CoreDies."""
        split = urlsplit(target)
        who = access.NOBODY
        try:
            who = self._identified(headers)
            if who.refused:
                # Who comes while another call looks waits for what that finds.
                with self._looking:
                    if time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
                        self._look()
                who = self._identified(headers)
            if who.refused:
                time.sleep(0 if "$" in who.name else self.settings.seconds_after_a_wrong_password)
            if split.path == "/c/login" and method == "POST":
                return self._session_login(headers, content), who.name
            if split.path == "/api/version":
                return Answer(200, {"version": "v2.0"}), who.name
            path = split.path.removeprefix(API)
            if path == split.path:
                raise answers.not_found(f"path {split.path} was not found")
            self._refuse_forgery(method, headers)
            self._refuse_while_down(method, path)
            return self._routed(method, path, split.query, headers, content, who), who.name
        except Refused as refused:
            return refused.answer, who.name

    def _routed(
        self,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        content: bytes,
        who: access.Identity,
    ) -> Answer:
        with self.world.lock:
            self._refuse_while_read_only(method, path)
            found, parts = routing.find(method, path)
            body: Mapping[str, Any] = {}
            if found.body is not None:
                body = fields.read(found.body, content, headers.get("Content-Type", ""))
            call = routing.Call(
                method=method,
                path=path,
                query=dict(parse_qsl(query, keep_blank_values=True)),
                headers=headers,
                who=who,
                world=self.world,
                settings=self.settings,
                parts=parts,
                body=body,
            )
            try:
                return found.handler(call)
            except CoreDies:
                self._dead = True
                raise
            finally:
                if method not in _SAFE:
                    self.world.save()

    def _identified(self, headers: Headers) -> access.Identity:
        with self.world.lock:
            if "Authorization" in headers:
                self._first_password()
            who = access.identify(self.world, headers)
            user = self._sessions.get(session_of(headers), _Session()).user
            if who is access.NOBODY and user is not None:
                row = self.world.table("users").get(user)
                return access.Identity(row["username"], user=row) if row else who
            return who

    def checked_for_registry(self, method: str, path: str, headers: Headers) -> str:
        """Who asks the registry; raises Refused unless they may."""
        with self.world.lock:
            who = self._identified(headers)
            registry.check(self.world, who, method, path)
            return who.name

    def _session_login(self, headers: Headers, content: bytes) -> Answer:
        """The login of a browser: by a form, with the session's token."""
        form = dict(parse_qsl(content.decode()))
        session = self._sessions.get(session_of(headers))
        if session is None or headers.get("X-Harbor-CSRF-Token") != session.token:
            raise answers.forbidden("CSRF token not found in request")
        digest = self.world.digest(form.get("password", ""))
        with self.world.lock:
            self._first_password()
            for user in self.world.table("users").values():
                if (user["username"], user["password"]) == (form.get("principal"), digest):
                    # The cookie of before the login stays nobody's.
                    sid = secrets.token_hex(16)
                    self._sessions[sid] = _Session(session.token, user["id"])
                    return Answer(200, None, {"Set-Cookie": f"sid={sid}; Path=/; HttpOnly"})
        raise answers.unauthorized()

    def _first_password(self) -> None:
        if self.world.table("users")[1]["password"] is None:
            self._look()

    def _look(self) -> None:
        """Takes what is deployed; begins anew where the database is another one."""
        self._looked = time.monotonic()
        deployed = self._deployed()
        if deployed is None:
            return
        with self.world.lock:
            known = self.world["database"]
            is_another = known and deployed.database and known != deployed.database
            if is_another and not deployed.restored:
                self.world.begin_anew()
                self._register_trivy()
            self.world["database"] = deployed.database or known
            admin = self.world.table("users")[1]
            if admin["password"] is None:
                admin["password"] = self.world.digest(deployed.admin_password)
            self.world.save()
        self.settings.version = deployed.version or self.settings.version
        self.settings.external_url = deployed.external_url or self.settings.external_url
        self.settings.config_overwritten |= deployed.config_overwritten

    def _register_trivy(self) -> None:
        """Core does it at its start, where Trivy is deployed."""
        rows = self.world.table("scanners").values()
        if self.settings.trivy and not any(row["name"] == "Trivy" for row in rows):
            kinds.scanners.add(self.world, "Trivy", self.settings.trivy)

    def _refuse_forgery(self, method: str, headers: Headers) -> None:
        cookies = headers.get("Cookie", "")
        if method in _SAFE or not ("sid=" in cookies or "_gorilla_csrf=" in cookies):
            return
        session = self._sessions.get(session_of(headers))
        if session is None or headers.get("X-Harbor-CSRF-Token") != session.token:
            raise answers.forbidden("CSRF token not found in request")

    def _refuse_while_down(self, method: str, path: str) -> None:
        if "database" not in self.settings.down or path in ("/health", "/ping", "/systeminfo"):
            return
        # Seen: what concerns a project is a 500, what needs rights in the system a 401.
        if method not in _SAFE or path.startswith("/projects"):
            raise answers.internal_error()
        raise answers.unauthorized()

    def _refuse_while_read_only(self, method: str, path: str) -> None:
        if method in _SAFE or path == "/configurations":
            return
        if self.world["configurations"]["read_only"]:
            raise answers.denied("The system is in read only mode. Any modification is prohibited.")

    def token_for(self, session: str) -> str:
        """The CSRF token of a session."""
        return self._sessions.setdefault(session, _Session(secrets.token_urlsafe(32))).token


@dataclass
class _Session:
    """A browser's session: its CSRF token, and the id of the user who has logged in."""

    token: str = ""
    user: int | None = None


def session_of(headers: Headers) -> str:
    """The session of the cookie that came back, "" for none."""
    for cookie in headers.get("Cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == "sid":
            return value
    return ""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], harbor: FakeHarbor) -> None:
        self.harbor = harbor
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is not worth a traceback."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fake-harbor"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server  # type: ignore[assignment]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the log of calls is in memory."""

    def handle_one_request(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
                return
            if not self.parse_request():
                return
            self._serve()
            self.wfile.flush()
        except (TimeoutError, ConnectionError, ValueError):
            self.close_connection = True

    def _serve(self) -> None:
        harbor = self.server.harbor
        path = urlsplit(self.path).path
        if path.startswith("/v2/") and not harbor.is_dead:
            self._serve_registry(path)
            return
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith("/fake-harbor/"):
            self._send(self._control(path.removeprefix("/fake-harbor/"), content))
            return
        if harbor.is_dead:
            self._reset()
            return
        who = access.NOBODY.name
        below = path.removeprefix(API)
        due = harbor.faults.at(self.command, below)
        answer: Answer | None = None
        for fault in due:
            if fault.kind == "delay":
                time.sleep(fault.seconds)
        early = next((f for f in due if f.kind not in ("delay", "reset after")), None)
        if early is not None:
            answer = _FAULTY.get(early.kind)
            if early.kind == "429":
                answer = Answer(429, _TOO_MANY, {"Retry-After": f"{early.seconds:g}"})
        else:
            try:
                answer, who = harbor.answer(self.command, self.path, self.headers, content)
            except CoreDies as died:
                answer = died.answer
            except Hangs as hanging:
                time.sleep(hanging.seconds)
            if any(fault.kind == "reset after" for fault in due):
                answer = None
        harbor.faults.saw(Seen(self.command, self.path, who, answer.status if answer else 0))
        if answer is None:
            self._reset()
        else:
            self._send(answer)

    def _serve_registry(self, path: str) -> None:
        harbor = self.server.harbor
        try:
            who = harbor.checked_for_registry(self.command, path, self.headers)
            backend = harbor.backend
            if path == "/v2/":
                self._without_body(Answer(200, {}))
            elif backend is None:
                self._without_body(registry.no_backend())
            else:
                self._forward(backend, path, who)
        except Refused as refused:
            self._without_body(refused.answer)

    def _without_body(self, answer: Answer) -> None:
        """Answers without a use for what was sent, which must not be taken for the next call."""
        if int(self.headers.get("Content-Length") or 0) <= 2**20:
            for _ in registry.body_of(self.headers, self.rfile):
                pass
        else:
            self.close_connection = True
        self._send(answer)

    def _forward(self, backend: registry.Backend, path: str, who: str) -> None:
        harbor = self.server.harbor
        try:
            connection, answer = registry.forward(
                backend, self.command, self.path, self.headers, self.rfile
            )
        except OSError:
            self._without_body(registry.no_backend())
            return
        try:
            host = self.headers.get("Host", "")
            with harbor.world.lock:
                registry.learn(harbor.world, self.command, path, answer.status, answer.headers)
                harbor.world.save()
            self.send_response(answer.status)
            for name, value in registry.headers_for_the_client(backend, answer, host):
                self.send_header(name, value)
            length = answer.headers.get("Content-Length")
            whole = answer.read() if length is None else b""
            self.send_header("Content-Length", length or str(len(whole)))
            self.end_headers()
            self.wfile.write(whole)
            while piece := answer.read(65536):
                self.wfile.write(piece)
        finally:
            connection.close()
        harbor.faults.saw(Seen(self.command, self.path, who, answer.status))

    def _send(self, answer: Answer) -> None:
        content = answer.content
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Type" not in answer.headers and content:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self._send_cookies()
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_cookies(self) -> None:
        sid = session_of(self.headers)
        if sid:
            token = self.server.harbor.token_for(sid)
            self.send_header("X-Harbor-Csrf-Token", token)
            self.send_header("Set-Cookie", f"_gorilla_csrf={token}; Path=/; HttpOnly")
        else:
            self.send_header("Set-Cookie", f"sid={secrets.token_hex(16)}; Path=/; HttpOnly")

    def _reset(self) -> None:
        """Ends the connection as a process that dies does: by a reset, without an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())

    def _control(self, what: str, content: bytes) -> Answer:
        """What a test in another process asks of the fake itself."""
        harbor = self.server.harbor
        given: Any = json.loads(content) if content else []
        if what == "faults":
            harbor.plan(*(Fault(**fault) for fault in given))
        elif what == "down":
            harbor.settings.down = set(given)
        elif what == "settings":
            for name, value in given.items():
                setattr(harbor.settings, name, value)
        elif what == "restart":
            harbor.restart()
        elif what == "registry":
            harbor.backend = registry.Backend(**given) if given else None
        elif what == "image":
            harbor.put_image(**given)
        elif what == "calls":
            calls = harbor.calls(forget=self.command == "DELETE")
            return Answer(200, [vars(call) for call in calls])
        elif what != "hello":
            return Answer(404, "faults, down, settings, restart, registry, image, calls, hello")
        return Answer(200, {"this": "a fake of Harbor's API", "dead": harbor.is_dead})


_TOO_MANY = {"errors": [{"code": "TOO_MANY_REQUEST", "message": "too many requests"}]}
_FAULTY: dict[str, Answer] = {
    "500": answers.internal_error().answer,
    "empty 500": Answer(500),
    "502": Answer(502, "<html>502 Bad Gateway</html>", {"Content-Type": "text/html"}),
    "503": Answer(503, "<html>503</html>", {"Content-Type": "text/html"}),
    "401": answers.unauthorized().answer,
}
