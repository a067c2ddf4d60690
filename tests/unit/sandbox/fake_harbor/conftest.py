"""A client for the fake of these tests, as plain as Harbor's API."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.fake_harbor import FakeHarbor

ADMIN = ("admin", "Harbor12345")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes

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

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """`path` begins below /api/v2.0, or is a whole one that begins with `//`."""
        if self.login is not None:
            token = base64.b64encode(":".join(self.login).encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        content = None if body is None else json.dumps(body)
        if content is not None:
            headers.setdefault("Content-Type", "application/json")
        target = path[1:] if path.startswith("//") else f"/api/v2.0{path}"
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        try:
            connection.request(method, target, content, headers)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()

    def as_whom(self, name: str, secret: str) -> Client:
        return Client(self.address, (name, secret))


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    with FakeHarbor(admin_password=ADMIN[1]) as running:
        yield running


@pytest.fixture
def client(harbor: FakeHarbor) -> Client:
    return Client(harbor.url)
