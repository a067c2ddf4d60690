"""Replays recorded exchanges with Harbor's API, and compares the answers.

A file of tests/recorded/harbor-api begins with what it is about, and then has one exchange a line,
as it was recorded on Harbor 2.14.3. Lines with `prepare` bring about what earlier calls had done
that are not recorded. `replay` says how a line is treated: `not` (with the reason) is not replayed,
`only: status` compares nothing else, `ignore` names keys, `fake_only` spares a real Harbor.

Ids, times and random values are compared by their kind only: the ids of a recording lead to those
of the Harbor that is asked, by the Location of what was created.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.support.harbor_client import Client, Reply

FOLDER = Path(__file__).parents[1] / "recorded" / "harbor-api"
API = "/api/v2.0"
CHOSEN_SECRET = "Recorded-Secret-1"

Line = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """One file: what it is about, the settings of the fake it needs, and its lines."""

    name: str
    settings: Mapping[str, Any]
    not_on_a_real_one: str
    lines: tuple[Line, ...]

    @property
    def replayed(self) -> list[Line]:
        return [line for line in self.lines if "response" in line and not reason_against(line)]


def recordings() -> list[Recording]:
    """All files, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.jsonl"))]


def _read(path: Path) -> Recording:
    head, *lines = (json.loads(line) for line in path.read_text().splitlines())
    return Recording(path.stem, head["fake"], head.get("not_on_a_real_one", ""), tuple(lines))


def reason_against(line: Line) -> str:
    """Why a line cannot be replayed; "" when it can."""
    return line.get("replay", {}).get("not", "")


@dataclass
class Replay:
    """One Harbor that is asked what a recording asks. `fake` does what no API can; None: real."""

    client: Client
    fake: Callable[[Mapping[str, Any]], None] | None = None
    _ids: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    _secrets: dict[str, str] = field(default_factory=dict[str, str])
    _cookies: dict[str, str] = field(default_factory=dict[str, str])
    _token: str = ""

    def differences(self, recording: Recording) -> Iterator[str]:
        """One text for each line whose answer differs."""
        self._secrets["eve"] = self._secrets["alice"] = CHOSEN_SECRET
        for line in recording.lines:
            if "fake" in line:
                if self.fake is not None:
                    self.fake(line["fake"])
                continue
            if reason_against(line) or (self.fake is None and _is_for_the_fake(line)):
                continue
            reply = self._ask(line)
            if "response" in line:
                problem = self._compared(line, reply)
                if problem:
                    yield f"{line['what'].strip()}: {problem}"
            elif reply is None or reply.status >= 300:
                yield f"prepare {line['request']}: {reply}"

    def _ask(self, line: Line) -> Reply | None:
        request, treated = line["request"], line.get("replay", {})
        path = self._live_path(request["path"])
        body = self._live(request["body"])
        headers = dict(request.get("headers", {}))
        client = self._asker(request, treated)
        if treated.get("send") == "cookies":
            self._open_session()
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self._cookies.items())
            if "X-Harbor-CSRF-Token" in headers:
                headers["X-Harbor-CSRF-Token"] = self._token
        if path.startswith(("/v2/", "/c/")):
            path = "/" + path
        try:
            if path == "//c/login":
                name, secret = self.client.login or ("", "")
                form = urlencode({"principal": name, "password": secret})
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                reply = client.ask("POST", path, headers=headers, content=form.encode())
            else:
                reply = client.ask(request["method"], path, body, headers=headers)
        except (ConnectionError, TimeoutError):
            return None
        if path == "//c/login":  # a login is a new session
            self._keep_cookies(reply)
        self._learn(line, request, reply)
        return reply

    def _asker(self, request: Line, treated: Line) -> Client:
        asker: str = treated.get("auth", request.get("auth", "admin"))
        if asker in ("admin", "basic"):
            return self.client
        if asker == "none":
            return replace(self.client, login=None)
        if asker == "wrong":
            return self.client.as_whom("admin", "Wrong-Password-1")
        return self.client.as_whom(asker, self._secrets.get(asker, "unknown"))

    def _open_session(self) -> None:
        """Cookies and token, as a browser gets them: by two calls."""
        for _ in range(2 if not self._token else 1):
            cookies = "; ".join(f"{k}={v}" for k, v in self._cookies.items())
            sent = {"Cookie": cookies} if cookies else {}
            reply = replace(self.client, login=None).ask("GET", "/health", headers=sent)
            self._keep_cookies(reply)

    def _keep_cookies(self, reply: Reply) -> None:
        for cookie in reply.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        self._token = reply.headers.get("X-Harbor-Csrf-Token", self._token)

    def made(self, kind: str) -> list[str]:
        """The ids of what the recording has created, as the Harbor that is asked knows it."""
        return [live for (known, _), live in self._ids.items() if known == kind]

    # Ids of the recording and of the Harbor that is asked ---------------------------------------

    def _learn(self, line: Line, request: Line, reply: Reply) -> None:
        recorded = line.get("location") or line.get("response", {}).get("headers", {}).get(
            "location"
        )
        live = reply.headers.get("Location")
        if recorded and live:
            self._ids[_kind_and_id(recorded)] = _kind_and_id(live)[1]
        body = reply.body
        if request["path"] == "/robots" and reply.status == 201:
            self._secrets[body["name"]] = body["secret"]
        if (
            request["method"] == "PATCH"
            and request["path"].startswith("/robots/")
            and reply.status == 200
        ):
            name = request["body"].get("secret") and CHOSEN_SECRET
            self._remember_secret(request["path"], name or body.get("secret", ""))
        retention, known = _retention_of(body), _retention_of(line.get("response", {}).get("body"))
        if retention and known:
            self._ids["retentions", known] = retention

    def _remember_secret(self, path: str, secret: str) -> None:
        robot = self.client.ask("GET", self._live_path(path)).body
        self._secrets[robot["name"]] = secret

    def _id(self, kind: str, recorded: str) -> str:
        return self._ids.get((kind, recorded), recorded)

    def _live_path(self, path: str) -> str:
        path, question, query = path.partition("?")
        parts = path.split("/")
        for number in range(2, len(parts)):
            parts[number] = self._id(parts[number - 1], parts[number])
        query = re.sub(
            r"(reference_id=|ProjectID=|project_id=)(\d+)",
            lambda m: m[1] + self._id("projects", m[2]),
            query,
        )
        query = re.sub(r"(policy_id=)(\d+)", lambda m: m[1] + self._id("policies", m[2]), query)
        if "immutabletagrules" in path:
            query = re.sub(
                r"(q=id=)(\d+)", lambda m: m[1] + self._id("immutabletagrules", m[2]), query
            )
        return "/".join(parts) + question + quote(query, safe="=&%,~+$")

    def _live(self, body: Any, key: str = "") -> Any:
        if isinstance(body, dict):
            live = {k: self._live(value, k) for k, value in body.items()}
            if key in ("src_registry", "dest_registry") and body.get("id"):
                live["id"] = int(self._id("registries", str(body["id"])))
            if "tag_selectors" in body or set(body) == {"id", "disabled"}:
                live |= self._live_id(body, "id", "immutabletagrules")
            if "policy_id" in body:
                live |= self._live_id(body, "policy_id", "policies")
            if key == "scope":
                live |= self._live_id(body, "ref", "projects")
            if "registry_id" in body:
                live |= self._live_id(body, "registry_id", "registries")
            if body.get("scope") in ("p", "g"):
                live |= self._live_id(body, "project_id", "projects")
            return live
        if isinstance(body, list):
            return [self._live(item) for item in body]
        if body == "<admin password>":
            return (self.client.login or ("", ""))[1]
        if body == "<secret>" and key != "access_secret":
            return CHOSEN_SECRET
        if key == "retention_id" and body:
            return self._id("retentions", body)
        return body

    def _live_id(self, body: Line, key: str, kind: str) -> Line:
        return {key: int(self._id(kind, str(body[key])))} if key in body else {}

    # Comparison ----------------------------------------------------------------------------------

    def _compared(self, line: Line, reply: Reply | None) -> str:
        recorded, treated = line["response"], line.get("replay", {})
        if recorded["status"] == 0:
            return "" if reply is None else f"answered with {reply.status}, Harbor does not"
        if reply is None:
            return "no answer"
        if reply.status != recorded["status"]:
            return f"status {reply.status}, Harbor's {recorded['status']}: {reply.content[:300]!r}"
        if treated.get("only") == "status":
            return ""
        ignored: list[str] = treated.get("ignore", [])
        ours, theirs = normal(reply.body, ignored), normal(recorded["body"], ignored)
        if treated.get("unordered"):
            ours, theirs = unordered(ours), unordered(theirs)
        if ours != theirs and line["request"]["method"] != "HEAD":
            return f"body\n  {json.dumps(ours)}\n  {json.dumps(theirs)}"
        for name, value in recorded["headers"].items():
            given = reply.headers.get(_header(name))
            if name == "content-type" or treated.get("ignore_headers"):
                continue
            if _anonymous(given or "") != _anonymous(value):
                return f"{name}: {given}, Harbor's {value}"
        return ""


def _retention_of(body: Any) -> str:
    """The retention policy that a project's body names."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return metadata.get("retention_id", "") if isinstance(metadata, dict) else ""


def _is_for_the_fake(line: Line) -> bool:
    return bool(line.get("replay", {}).get("fake_only"))


def _kind_and_id(location: str) -> tuple[str, str]:
    parts = location.split("/")
    return parts[-2], parts[-1]


def _header(name: str) -> str:
    return {"x-total-count": "X-Total-Count"}.get(name, name.title())


def _anonymous(text: str) -> str:
    return re.sub(r"[0-9a-f-]{36}|(?<=[/=])\d+", "#", text)


_IDS = re.compile(r"\b(project|policy|registry|account|id|execution|ID|Project id|binding) (\d+)\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_RANDOM = ("secret", "harbor_version", "uuid", "job_id")
_OF_THE_PLACE = ("external_url", "registry_url", "registry_storage_provider_name", "has_ca_root")


def normal(value: Any, ignored: list[str], key: str = "") -> Any:
    """A body without what differs from one Harbor to the next."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in ignored}
        if kept.get("name") == "Local" and kept.get("id") == 0:
            kept["url"] = "<address of this Harbor>"
        return {k: normal(v, ignored, k) for k, v in kept.items()}
    if isinstance(value, list):
        if key == "components":  # Trivy is one of them where it is deployed
            value = [item for item in value if item["name"] != "trivy"]
        items = [normal(item, ignored, key) for item in value]
        # Rights come in the order of Harbor's database, which changes.
        return sorted(items, key=_text) if key in ("access", "permissions") else items
    if key == "job_parameters":
        return json.loads(value)
    if isinstance(value, str):
        return _normal_text(value, key)
    is_id = key in ("id", "ref") or key.endswith(("_id", "_ref"))
    if is_id and value not in (0, None):
        return "<id>"
    if key == "expires_at" and isinstance(value, int) and value > 0:
        return "<time>"
    return value


def unordered(value: Any) -> Any:
    """The same with its lists sorted."""
    if isinstance(value, dict):
        return {key: unordered(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((unordered(item) for item in value), key=_text)
    return value


def _text(item: Any) -> str:
    return json.dumps(item, sort_keys=True)


def _normal_text(text: str, key: str) -> str:
    if key in (*_RANDOM, *_OF_THE_PLACE):
        return f"<{key}>"
    if _TIME.fullmatch(text):
        return "never" if text.startswith("0001") else "<time>"
    if key == "retention_id":
        return "<id>"
    if key == "message":
        text = _IDS.sub(r"\1 #", text)
        # Of several that are empty, Harbor names any.
        text = re.sub(r"(?<=item name )ldap_(base_dn|uid|url)", "ldap_#", text)
        text = re.sub(r"\[([A-Z,]+)\]", lambda m: ",".join(sorted(m[1].split(","))), text)
    return text.strip()


# One Harbor for one recording after the other ---------------------------------------------------

_LISTS: tuple[tuple[str, str, str], ...] = (
    ("/replication/policies", "id", "name"),
    ("/projects", "name", "name"),
    ("/registries", "id", "name"),
    ("/robots", "id", "name"),
    ("/labels?scope=g", "id", "name"),
    ("/usergroups", "id", "group_name"),
    ("/users", "user_id", "username"),
)
"""What a recording leaves behind: list, key of the path, key of the name. In order of deletion."""


def contents(client: Client) -> dict[str, str]:
    """Path → name of everything that a fresh Harbor does not have."""
    names: dict[str, str] = {}
    for path, key, name in _LISTS:
        path, _, query = path.partition("?")
        rows = client.ask("GET", f"{path}?page_size=0&{query}").body
        for row in rows:
            if row.get(name) != "library":
                names[f"{path}/{row[key]}"] = row.get(name, "")
    return names


def configuration(client: Client) -> Line:
    """What PUT /configurations takes to bring back the present state."""
    items = client.ask("GET", "/configurations").body
    values = {key: item["value"] for key, item in items.items() if "value" in item}
    # Harbor shows these empty and refuses them empty.
    never_empty = ("ldap_base_dn", "ldap_uid", "ldap_url")
    return {k: v for k, v in values.items() if v or k not in never_empty}


def empty(client: Client, before: Line, labels: Iterable[str] = ()) -> None:
    """Makes a Harbor fresh again after a recording, with the configuration of before.

    `labels`: ids of those that were made; no list shows those of a project that does not exist.

    Raises AssertionError when something stays.
    """
    client.ask("PUT", "/configurations", {"read_only": False})
    for path in (*contents(client), *(f"/labels/{label}" for label in labels)):
        client.ask("DELETE", path, headers={"X-Is-Resource-Name": "true"})
    restored = client.ask("PUT", "/configurations", before)
    assert restored.status == 200, restored
    client.ask("PUT", "/system/CVEAllowlist", {"items": []})
    [quota] = client.ask("GET", "/quotas?reference=project&reference_id=1").body
    client.ask("PUT", f"/quotas/{quota['id']}", {"hard": {"storage": -1}})
    for schedule, parameters in (
        ("gc", {}),
        ("purgeaudit", {"audit_retention_hour": 24, "include_event_types": "create_artifact"}),
        ("scanAll", {}),
    ):
        call = {"schedule": {"type": "None"}, "parameters": parameters}
        client.ask("PUT", f"/system/{schedule}/schedule", call)
    assert contents(client) == {}
