"""The client of Harbor's API v2.0, made for what a running Harbor was seen to answer.

- No cookies: with one of Harbor's own, each write needs a CSRF token besides.
- `X-Is-Resource-Name: true`: a project named by digits is else taken for an id.
- 401 also means that the database is down, and 500 often means that the input is refused.
- A login is proven first: with a wrong password, lists answer 200 as for anybody.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast
from urllib.parse import quote

from components import commands, parsed
from components.registry.connection import READ_SILENCE, WRITE_SILENCE, Answer, Connection
from components.registry.errors import (
    HarborDown,
    HarborError,
    HarborSilent,
    LoginRefused,
    NoSecret,
    is_refusal,
    last_line,
)

Who = Literal["account", "admin"]
"""`account`: the system robot of this program, which may do nearly everything. `admin` is for the
settings, the CVE allowlist and passwords."""

ADMIN_PASSWORD_KEY: Final = "HARBOR_ADMIN_PASSWORD"
PREVIOUS_ADMIN_PASSWORD_KEY: Final = "previous"
"""Beside it in the same Secret: those before, a line each, from which Harbor is changed to it."""

ACCOUNT_PASSWORD_KEY: Final = "password"

PATIENCE: Final = 90.0
"""Seconds for a Harbor that is starting or has lost its database. A preview waits less."""

PREVIEW_PATIENCE: Final = 4.0

PREVIEW_SILENCE: Final = 10.0
"""Seconds for which Harbor may be silent in a preview, which then goes on without it."""

_DOWN_FOR: Final = 30.0
"""Seconds for which a preview does not ask again a Harbor that did not answer: its many objects
would wait for it one after the other."""

_PAGE: Final = 100
"""The largest page that Harbor gives."""

_HEALTH_IS_LATE: Final = 12.0
"""Seconds: /health shows a change up to 10 s after it."""

_REFUSED_FOR: Final = 60.0
"""Seconds for which a refused login is not tried again: Harbor takes 1.5 s for each refusal."""

_ATTEMPTS: Final = 3
"""Of a call that a healthy Harbor answers with 5xx: most often it refuses what was sent."""

_WAITS: Final = (0.3, 1.0, 2.0, 4.0)
"""Seconds before each repetition of a call that Harbor answered."""

_PAUSE: Final = 1.0
"""Seconds before Harbor is asked again whether it works."""

_PASSING: Final = frozenset({429, 502, 503, 504})

_LONGEST: Final = 500
"""Characters of what Harbor said that an error repeats."""


@dataclass(frozen=True, kw_only=True)
class Logins:
    """Whose passwords are in which Secrets of Harbor's namespace.

    `account`: the short name of this program's system robot. `prefix`: Harbor's robot_name_prefix.
    """

    admin_secret: str
    account: str
    account_secret: str
    prefix: str = "robot$"


@dataclass
class _Shared:
    """What the threads of one plugin share."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    writing: dict[str, threading.Lock] = field(default_factory=dict[str, threading.Lock])
    headers: dict[Who, str] = field(default_factory=dict[Who, str])
    refused: dict[Who, tuple[float, LoginRefused]] = field(default_factory=dict[Who, Any])
    down: tuple[float, HarborDown] | None = None
    projects: dict[str, int] = field(default_factory=dict[str, int])
    hidden: set[str] = field(default_factory=set[str])
    prefix: str | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, kw_only=True)
class Harbor:
    """Harbor's API. All methods may be called by several threads at once.

    Paths are those below /api/v2.0, quoted. `patience`: seconds that a call may wait for a Harbor
    that does not work. Every method raises HarborError.
    """

    connection: Connection
    logins: Logins
    patience: float = PATIENCE
    is_preview: bool = False
    _shared: _Shared = field(default_factory=_Shared)

    def hurried(self) -> Harbor:
        """The same client, for a preview: it does not wait for a Harbor that does not work."""
        return replace(self, patience=PREVIEW_PATIENCE, is_preview=True)

    def hide(self, secret: str) -> None:
        """Keeps a text out of every error, should Harbor repeat what was sent."""
        if len(secret) >= 4:
            self._shared.hidden.add(secret)

    def one_at_a_time(self, what: str) -> threading.Lock:
        """The lock for writes of that name. Of 20 parallel writes of a schedule 14 failed."""
        with self._shared.lock:
            return self._shared.writing.setdefault(what, threading.Lock())

    def get(
        self, path: str, query: Mapping[str, object] | None = None, *, who: Who = "account"
    ) -> Any:
        """The object at a path; None for 404, or for an empty body (a schedule that is unset)."""
        answer = self._request("GET", path, query=query, who=who, accepts=(200, 404))
        is_empty = answer.status == 404 or not answer.body.strip()
        return None if is_empty else _decoded(f"GET {path}", answer)

    def listed(
        self, path: str, query: Mapping[str, object] | None = None, *, who: Who = "account"
    ) -> list[dict[str, Any]]:
        """All objects of a list, from all its pages."""
        return list(self._pages(path, query or {}, who))

    def created(
        self,
        path: str,
        body: Any,
        look: Callable[[], Mapping[str, Any] | None],
        *,
        who: Who = "account",
    ) -> Mapping[str, Any]:
        """POSTs an object and returns it as Harbor shows it.

        `look`: finds the object by its name. It is asked before a POST is repeated, so that an
        answer that was lost makes no second object. Raises HarborError of status 409 where
        somebody else made the object.
        """
        failure: HarborError | None = None
        may_exist = False
        for wait in (*_WAITS, None):
            failure = None
            try:
                self.post(path, body, who=who)
            except HarborError as error:
                # A 409 after an answer that was lost is of the object that this call made.
                if not error.may_pass and not (error.status == 409 and may_exist):
                    raise
                failure = error
            # Harbor did nothing where it answered 429.
            may_exist = may_exist or failure is None or failure.status != 429
            shown = look() if may_exist else None
            if shown is not None:
                return shown
            if failure is not None and not failure.may_pass:
                raise failure
            if wait is not None:
                self._wait(f"POST {path}", min(wait, self.patience))
        raise failure or HarborError(
            f"POST {path}", 201, "Harbor said it was created, and does not show it"
        )

    def post(self, path: str, body: Any, *, who: Who = "account") -> Any:
        """POSTs once, except where a Harbor that is too busy took nothing; returns the answer."""
        answer = self._request("POST", path, body=body, who=who, accepts=(200, 201, 202))
        return _decoded(f"POST {path}", answer) if answer.body.strip() else None

    def put(self, path: str, body: Any, *, who: Who = "account") -> None:
        self._request("PUT", path, body=body, who=who)

    def patch(self, path: str, body: Any, *, who: Who = "account") -> None:
        self._request("PATCH", path, body=body, who=who)

    def delete(self, path: str, *, who: Who = "account") -> None:
        """Deletes what is at a path. 404 means that it is done."""
        self._request("DELETE", path, who=who, accepts=(200, 202, 204, 404))

    def project(self, name: str) -> dict[str, Any] | None:
        """A project as Harbor shows it; None if there is none of that name.

        Harbor answers 403 to a robot for a missing project, whatever its rights (seen on v2.14.3),
        so a list tells whether the project is missing or withheld.
        """
        path = f"/projects/{segment(name)}"
        try:
            return _object(f"GET {path}", self.get(path))
        except HarborError as error:
            if error.status != 403:
                raise
            if any(row.get("name") == name for row in self.listed("/projects", {"name": name})):
                raise
            return None

    def project_number(self, name: str) -> int | None:
        """Harbor's number of a project; None if there is none of that name.

        It is remembered: numbers are never given twice.
        """
        known = self._shared.projects.get(name)
        if known is None:
            project = self.project(name)
            if project is None:
                return None
            number = project.get("project_id")
            if not isinstance(number, int):
                raise HarborError(f"GET /projects/{name}", 200, f"{_NOT_HARBORS}: no project_id")
            known = self._shared.projects[name] = number
        return known

    def forget_project(self, name: str) -> None:
        """Asks for its number anew: it is deleted."""
        self._shared.projects.pop(name, None)

    def account_password(self) -> str:
        """The password that the account should have, from its Secret."""
        return self._password("account")

    def admin_password(self) -> str:
        """The password that admin should have, from its Secret."""
        return self._password("admin")

    def admin_passwords(self) -> Iterator[str]:
        """The passwords that admin may have: that of its Secret, then those before it."""
        yield self._password("admin")
        previous = self.connection.secret(self.logins.admin_secret, PREVIOUS_ADMIN_PASSWORD_KEY)
        for password in (previous or "").splitlines():
            self.hide(password)
            yield password

    def change_admin_password(self, old: str, new: str) -> None:
        """Changes admin's password, once: after an answer that was lost, a login tells which one
        Harbor has."""
        call = "PUT /users/1/password"
        headers = {
            "Authorization": _basic("admin", old),
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        body = json.dumps({"old_password": old, "new_password": new}).encode()

        def once() -> Answer:
            return self._send("PUT", "/api/v2.0/users/1/password", headers, body)

        for wait in (*_WAITS, None):
            try:
                self._attempted(call, once, (200,), repeats=False, who=None)
            except HarborError as error:
                if not self.accepts("admin", new):
                    if not error.may_pass or wait is None:
                        raise
                    self._wait(call, min(wait, self.patience))
                    continue
            with self._shared.lock:
                self._shared.headers["admin"] = _basic("admin", new)
                self._shared.refused.pop("admin", None)
            return

    def prefix(self) -> str:
        """What Harbor puts before the name of each robot now."""
        return self.logins.prefix if self._shared.prefix is None else self._shared.prefix

    def ask_prefix(self) -> str:
        """As `prefix`, asked of Harbor. Needs admin."""
        call = "GET /configurations"
        settings = _object(call, self.get("/configurations", who="admin")) or {}
        prefix = (_object(call, settings.get("robot_name_prefix")) or {}).get("value")
        self._shared.prefix = self.logins.prefix if prefix is None else str(prefix)
        return self._shared.prefix

    def forget_login(self, who: Who) -> None:
        """Reads the password anew before the next call: it was changed."""
        with self._shared.lock:
            self._shared.headers.pop(who, None)
            self._shared.refused.pop(who, None)

    def accepts(self, login: str, password: str) -> bool:
        """Whether Harbor takes that name and password."""
        self.hide(password)
        return self._proof(_basic(login, password)) != 401

    def cancel(self) -> None:
        """Ends every wait: the user interrupted the run."""
        self._shared.cancelled.set()

    def until(self, seconds: float, attempt: Callable[[], bool], what: str) -> None:
        """Repeats an attempt each second until it returns true. Raises HarborError if it never
        does: for what Harbor takes only a while later. `what`: the call, for the error."""
        end = time.monotonic() + seconds
        while not attempt():
            if time.monotonic() > end:
                raise HarborError(what, 412, f"still refused after {seconds:.0f} s")
            self._wait(what, _PAUSE)

    def is_healthy(self) -> bool:
        """What Harbor says of itself: 200 in any case, so the text counts."""
        try:
            answer = self._send("GET", "/api/v2.0/health")
        except HarborDown:
            return False
        return self._sick_parts(answer) == []

    def _pages(self, path: str, query: Mapping[str, object], who: Who) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            asked = {**query, "page": page, "page_size": _PAGE}
            answer = self._request("GET", path, query=asked, who=who)
            rows = _rows(f"GET {path}", answer)
            yield from rows
            if len(rows) < _PAGE:
                return
            page += 1

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Any = None,
        who: Who,
        accepts: tuple[int, ...] = (200, 201),
    ) -> Answer:
        target = f"/api/v2.0{path}" + (f"?{_query(query)}" if query else "")
        content = None if body is None else json.dumps(body).encode()

        def once() -> Answer:
            headers = {
                "Authorization": self._authorization_for(method, who),
                "Accept": "application/json",
                "X-Is-Resource-Name": "true",
            }
            if content is not None:
                headers["Content-Type"] = "application/json"
            return self._send(method, target, headers, content)

        return self._attempted(f"{method} {path}", once, accepts, repeats=method != "POST", who=who)

    def _attempted(
        self,
        call: str,
        once: Callable[[], Answer],
        accepts: tuple[int, ...],
        *,
        repeats: bool,
        who: Who | None,
    ) -> Answer:
        """The first answer of an accepted status.

        Repeated while Harbor does not work or is too busy, for as long as `patience`; and a few
        times where a Harbor that works answers 5xx. `repeats`: whether the call may be sent twice.
        """
        began, number = time.monotonic(), 0
        self._raise_if_down(call)
        while True:
            number += 1
            try:
                answer = once()
            except LoginRefused:
                raise
            except HarborDown as error:
                if self.is_preview and isinstance(error, HarborSilent):
                    raise self._given_up(call, error) from None
                failure: HarborError = error
                pause, is_sick = _PAUSE, True
            else:
                refusal = self._refused(call, answer, accepts)
                if refusal is None:
                    return answer
                failure = refusal
                is_sick = not self.is_healthy()
                pause = _pause(answer, number)
                if answer.status == 401 and who is not None:
                    # Of a password that was changed a moment ago, or of a database that /health
                    # does not yet know to be down.
                    self._shared.headers.pop(who, None)
                    is_late = time.monotonic() - began > _HEALTH_IS_LATE
                    if not is_sick and is_late and number > 1:
                        raise failure
                elif not is_sick and number >= _ATTEMPTS and answer.status != 429:
                    raise failure
            # Harbor did nothing yet where it answers 401 or 429.
            if not repeats and failure.status not in (401, 429):
                raise failure
            if time.monotonic() - began + pause > self.patience:
                raise self._given_up(call, failure) if is_sick else failure
            self._wait(call, pause)

    def _send(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> Answer:
        silence = READ_SILENCE if method == "GET" else WRITE_SILENCE
        if self.is_preview:
            silence = PREVIEW_SILENCE
        return self.connection.send(method, path, headers or {}, body, silence=silence)

    def _raise_if_down(self, call: str) -> None:
        """Ends the call where a preview has found a moment ago that nobody answers."""
        if self.is_preview and self._shared.down is not None:
            when, error = self._shared.down
            if time.monotonic() - when < _DOWN_FOR:
                raise HarborDown(call, error.message)

    def _given_up(self, call: str, failure: HarborError) -> HarborError:
        """The error of a call to a Harbor that does not work."""
        if not self.is_preview:
            return self._why_sick(call, failure)
        if not isinstance(failure, HarborDown):
            failure = self._why_sick(call, failure)
        if isinstance(failure, HarborDown):
            self._shared.down = (time.monotonic(), failure)
        return failure

    def _refused(self, call: str, answer: Answer, accepts: tuple[int, ...]) -> HarborError | None:
        """What a repetition may help against; None for an answer of an accepted status. Raises
        HarborError for all else."""
        if answer.status == 404 and not is_refusal(answer.body):
            # Of a gateway: no sign that an object is gone.
            raise HarborError(call, 404, "the answer is not Harbor's: check registry.api.url")
        if answer.status in accepts:
            return None
        failure = self._refusal(call, answer)
        if not failure.may_pass and answer.status != 401:
            raise failure
        return failure

    def _authorization_for(self, method: str, who: Who) -> str:
        """As `_authorization`. Admin reads for an account that does not exist yet: in the preview
        that will make it, and in a refresh after a person deleted it."""
        try:
            return self._authorization(who)
        except LoginRefused:
            if method != "GET" or who == "admin":
                raise
            return self._authorization("admin")

    def _authorization(self, who: Who) -> str:
        """The header of a login that Harbor has taken. Raises LoginRefused."""
        header = self._shared.headers.get(who)
        if header is not None:
            return header
        with self.one_at_a_time(f"login of {who}"):
            if who in self._shared.headers:
                return self._shared.headers[who]
            when, refusal = self._shared.refused.get(who, (0.0, None))
            if refusal is not None and time.monotonic() - when < _REFUSED_FOR:
                raise refusal
            began = time.monotonic()
            while True:
                try:
                    header = self._admin_header() if who == "admin" else self._account_header()
                except NoSecret:
                    raise
                except LoginRefused as error:
                    # A database that is down refuses every login, and /health is late to say so.
                    waited = time.monotonic() - began
                    if self.is_preview or waited > min(_HEALTH_IS_LATE, self.patience):
                        self._shared.refused[who] = (time.monotonic(), error)
                        raise
                    self._wait("the login", _PAUSE)
                else:
                    self._shared.headers[who] = header
                    return header

    def _admin_header(self) -> str:
        for password in self.admin_passwords():
            header = _basic("admin", password)
            if self._proof(header) != 401:
                return header
        # Only somebody who knows the password that Harbor has can help.
        way = (
            "If it was changed in Harbor, give this stack the one that Harbor has: "
            f"`{commands.set_secret('harborAdminPassword')}`, then `{commands.run('up')}`"
        )
        raise LoginRefused("admin", f"{_not_of(self.logins.admin_secret)}. {way}")

    def _account_header(self) -> str:
        password = self._password("account")
        login = self.prefix() + self.logins.account
        if self._proof(_basic(login, password)) != 401:
            return _basic(login, password)
        # A change of the prefix renames every robot at once.
        with suppress(HarborError):
            login = self.ask_prefix() + self.logins.account
            if self._proof(_basic(login, password)) != 401:
                return _basic(login, password)
        # admin sets it anew once a refresh has seen that it is another.
        way = f"`{commands.run('up --refresh')}` sets it anew"
        raise LoginRefused(login, f"{_not_of(self.logins.account_secret)}. {way}")

    def _proof(self, header: str) -> int:
        """200 for a person, 412 for a robot, 401 for a login that a healthy Harbor refuses."""

        def once() -> Answer:
            return self._send("GET", "/api/v2.0/users/current", {"Authorization": header})

        began = time.monotonic()
        while True:
            answer = self._attempted(
                "GET /users/current", once, (200, 412, 401), repeats=True, who=None
            )
            if answer.status != 401 or self.is_healthy():
                return answer.status
            if time.monotonic() - began > self.patience:
                raise self._why_sick("GET /users/current", self._refusal("", answer))
            self._wait("GET /users/current", _PAUSE)

    def _wait(self, call: str, seconds: float) -> None:
        if self._shared.cancelled.wait(seconds):
            raise HarborError(call, 0, "the run was interrupted")

    def _password(self, who: Who) -> str:
        name, key = (
            (self.logins.admin_secret, ADMIN_PASSWORD_KEY)
            if who == "admin"
            else (self.logins.account_secret, ACCOUNT_PASSWORD_KEY)
        )
        password = self.connection.secret(name, key)
        if password is None:
            raise NoSecret(who, f"there is no Secret {name} with key {key}")
        self.hide(password)
        return password

    def _refusal(self, call: str, answer: Answer) -> HarborError:
        message = last_line(answer.body)
        if answer.status == 403 and "read only mode" in message:
            message = (
                "Harbor is in read-only mode and refuses every change. With "
                "`registry.system.readOnly: false` in the stack's file, `up` ends that mode before "
                "it changes anything else"
            )
        # The longest first, as one secret may begin with another.
        for secret in sorted(self._shared.hidden, key=len, reverse=True):
            message = message.replace(secret, "<secret>")
        may_pass = answer.status in _PASSING or answer.status >= 500
        # Cut only now: a half of a secret would not be known as one.
        return HarborError(call, answer.status, message[:_LONGEST], may_pass=may_pass)

    def _why_sick(self, call: str, failure: HarborError) -> HarborError:
        try:
            answer = self._send("GET", "/api/v2.0/health")
        except HarborDown as error:
            return HarborDown(call, error.message)
        parts = self._sick_parts(answer)
        return HarborDown(call, f"{', '.join(parts)} unhealthy") if parts else failure

    def _sick_parts(self, answer: Answer) -> list[str]:
        """The components that do not work; of those that this program needs."""
        try:
            health: Any = parsed.json_of(answer.body)
            status = health["status"]
            parts: list[dict[str, str]] = health.get("components") or []
            # Registry, portal and trivy are not needed to configure Harbor.
            needed = {"core", "database", "redis", "jobservice"}
            ill = [p["name"] for p in parts if p.get("status") != "healthy" and p["name"] in needed]
        except (ValueError, LookupError, TypeError, AttributeError):
            return ["core"]
        return ill if status != "healthy" else []


def _not_of(secret: str) -> str:
    return f"Harbor does not take the password of Secret {secret}"


def segment(name: str) -> str:
    """A name as one segment of a path. Pure."""
    return quote(name, safe="")


def where(conditions: Mapping[str, object]) -> dict[str, object]:
    """The query for objects of a list by exact values. Pure.

    Harbor decodes the values of `q` twice, so they are quoted here and again with the URL. It
    knows no quoting for a few characters: such a condition is left out. Unknown keys are ignored
    by Harbor. So the names that come back have to be compared in each case.
    """
    parts = [
        f"{key}={quote(str(value), safe='')}"
        for key, value in conditions.items()
        if not set(str(value)) & set(',{}()[]"~=')
    ]
    return {"q": ",".join(parts)} if parts else {}


def _query(query: Mapping[str, object]) -> str:
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())


def _basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def _decoded(call: str, answer: Answer) -> Any:
    """An object, or a list of objects. Raises HarborError."""
    try:
        value: Any = parsed.json_of(answer.body)
    except ValueError:
        raise HarborError(
            call, answer.status, "an answer that is no JSON, so not by Harbor's API"
        ) from None
    rows = cast("list[Any]", value if isinstance(value, list) else [value])
    if value is not None and not all(isinstance(row, dict) for row in rows):
        raise HarborError(
            call, answer.status, f"{_NOT_HARBORS}: neither an object nor a list of them"
        )
    return cast("Any", value)


def _rows(call: str, answer: Answer) -> list[dict[str, Any]]:
    """The objects of a list. Raises HarborError."""
    value: Any = _decoded(call, answer) or []
    if not isinstance(value, list):
        raise HarborError(call, answer.status, f"{_NOT_HARBORS}: an object in place of a list")
    return cast("list[dict[str, Any]]", value)


def _object(call: str, value: Any) -> dict[str, Any] | None:
    """A value that is an object, or nothing. Raises HarborError."""
    if not isinstance(value, dict | None):
        raise HarborError(call, 200, f"{_NOT_HARBORS}: no object where one is expected")
    return cast("dict[str, Any] | None", value)


_NOT_HARBORS: Final = "an answer that is not of Harbor's API"


def _pause(answer: Answer, number: int) -> float:
    """Seconds before the call is repeated: as Harbor asks for, at most 30."""
    asked = answer.headers.get("retry-after", "")
    waits = _WAITS[min(number, len(_WAITS)) - 1]
    return min(float(asked), 30.0) if asked.isdecimal() else waits
