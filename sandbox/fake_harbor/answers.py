"""What the fake answers: a status with a body, or one of Harbor's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VALIDATION = "validation failure list:\n"
"""Harbor repeats this prefix of each 422 once per level of nesting."""


@dataclass(frozen=True)
class Answer:
    """A whole answer. `body` None is an empty body; a text is sent as it is, the rest as JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def content(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else _json(self.body)


def _json(document: Any) -> bytes:
    return (json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


class Refused(Exception):
    """Harbor refuses the call. `answer` is the whole answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status, answer.body)
        self.answer = answer


class CoreDies(Exception):
    """The call, or what follows it, ends Harbor's core. `answer`, if any, is sent before."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__("core dies")
        self.answer = answer


class Hangs(Exception):
    """No answer comes for `seconds`, then the connection ends."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Refused:
    body = {"errors": [{"code": code, "message": message}]}
    return Refused(Answer(status, body, headers or {}))


def bad_request(message: str) -> Refused:
    return error(400, "BAD_REQUEST", message)


def unauthorized() -> Refused:
    return error(401, "UNAUTHORIZED", "unauthorized")


def forbidden(message: str = "forbidden") -> Refused:
    return error(403, "FORBIDDEN", message)


def denied(message: str) -> Refused:
    return error(403, "DENIED", message)


def not_found(message: str) -> Refused:
    return error(404, "NOT_FOUND", message)


def conflict(message: str) -> Refused:
    return error(409, "CONFLICT", message)


def precondition(message: str) -> Refused:
    return error(412, "PRECONDITION", message)


def invalid(message: str, *, levels: int = 1) -> Refused:
    """A 422, which Harbor gives for wrong JSON types and for what its API description refuses."""
    return error(422, "UNPROCESSABLE_ENTITY", VALIDATION * levels + message)


def internal_error() -> Refused:
    """The 500 that Harbor gives when its database or an adapter refuses the input."""
    return error(500, "UNKNOWN", "internal server error")


def panic() -> Refused:
    """The 500 with an empty body: the handler panicked, core survives."""
    return Refused(Answer(500))


def created(location: str, body: Any = None) -> Answer:
    """A 201; `location` begins below /api/v2.0."""
    return Answer(201, body, {"Location": f"/api/v2.0{location}"})


OK = Answer(200)
