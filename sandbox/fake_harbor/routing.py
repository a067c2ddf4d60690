"""Which function answers which call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sandbox.fake_harbor import answers
from sandbox.fake_harbor.access import Identity
from sandbox.fake_harbor.answers import Answer
from sandbox.fake_harbor.fields import Body
from sandbox.fake_harbor.world import Row, World

if TYPE_CHECKING:
    from sandbox.fake_harbor.server import Settings


@dataclass(frozen=True)
class Call:
    """One call to the API. `path` begins below /api/v2.0; `body` has only known fields."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    who: Identity
    world: World
    settings: Settings
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def number(self, part: str) -> int:
        """A part of the path that must be a number. Raises Refused."""
        text = self.parts[part]
        try:
            return int(text)
        except ValueError:
            raise answers.invalid(f'{part} in path must be of type int64: "{text}"') from None

    def project(self) -> Row | None:
        """The project of the path: by name, or by id where Harbor takes the text for one."""
        text = self.parts["project"]
        projects = self.world.table("projects")
        by_name = self.headers.get("X-Is-Resource-Name", "").lower() == "true"
        if text.isdigit() and not by_name:
            return projects.get(int(text))
        return next((p for p in projects.values() if p["name"] == text), None)


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    body: Body | None


ROUTES: list[Route] = []


def route(method: str, path: str, body: Body | None = None) -> Callable[[Handler], Handler]:
    """Registers a handler for a verb and a path such as /projects/{project}."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?")

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, pattern, handler, body))
        return handler

    return register


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route and the parts of its path. Raises Refused: 404 or 405."""
    verbs: list[str] = []
    for candidate in ROUTES:
        matched = candidate.pattern.fullmatch(path)
        if matched is None:
            continue
        if candidate.method == method:
            return candidate, {name: unquote(part) for name, part in matched.groupdict().items()}
        verbs.append(candidate.method)
    if verbs:
        raise answers.error(
            405,
            "METHOD_NOT_ALLOWED",
            f"method {method} is not allowed, but [{','.join(verbs)}] are",
        )
    raise answers.not_found(f"path /api/v2.0{path} was not found")
