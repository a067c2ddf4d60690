"""A client of Harbor's API, as plain as the API, for tests."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ADMIN = ("admin", "Harbor12345")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes
    cookies: tuple[str, ...] = ()

    @property
    def body(self) -> Any:
        """The decoded body; a text where it is no JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return self.content.decode()

    @property
    def message(self) -> str:
        """The text of Harbor's error."""
        return self.body["errors"][0]["message"]


@dataclass(frozen=True)
class Client:
    """Asks the API at `address`; each call has its own connection."""

    address: str
    login: tuple[str, str] | None = ADMIN

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Reply:
        """`path` begins below /api/v2.0, or is a whole one that begins with `//`.

        `body` is sent as JSON, `content` as it is.
        """
        sent = dict(headers or {})
        if self.login is not None:
            token = base64.b64encode(":".join(self.login).encode()).decode()
            sent["Authorization"] = f"Basic {token}"
        if body is not None:
            content = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        target = path[1:] if path.startswith("//") else f"/api/v2.0{path}"
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        try:
            connection.request(method, target, content, sent)
            answer = connection.getresponse()
            cookies = tuple(answer.headers.get_all("Set-Cookie") or ())
            return Reply(answer.status, dict(answer.headers), answer.read(), cookies)
        finally:
            connection.close()

    def as_whom(self, name: str, secret: str) -> Client:
        return Client(self.address, (name, secret))
