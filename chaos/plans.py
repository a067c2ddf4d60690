"""Which requests are hit, and how each server says what is wrong. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from chaos.proxy import Answer, Fault, Plan, Request

RESET: Final = Fault()
"""The connection breaks before anything was done."""
LOST: Final = Fault(executed=True)
"""The server did it, and the connection breaks before its answer."""
TRUNCATED: Final = Fault(executed=True, truncated=True)
"""The server did it, and the connection breaks in the middle of its answer."""
LATE: Final = Fault(seconds=3)
"""Nothing comes for 3 s, and then the connection breaks: a load balancer ends what takes long."""


def _kubernetes(
    status: int, reason: str, message: str, *headers: tuple[str, str], executed: bool = False
) -> Fault:
    """A Status, as the API server answers."""
    content = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }
    answer = Answer(
        status=status,
        content_type="application/json",
        content=json.dumps(content).encode(),
        headers=headers,
    )
    return Fault(answer=answer, executed=executed)


def _s3(status: int, code: str, *, executed: bool = False) -> Fault:
    """An error's XML, as an S3 store answers."""
    content = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    answer = Answer(status=status, content_type="application/xml", content=content)
    return Fault(answer=answer, executed=executed)


def _harbor(status: int, code: str, *headers: tuple[str, str], executed: bool = False) -> Fault:
    """Errors in JSON, as Harbor's core answers."""
    content = json.dumps({"errors": [{"code": code, "message": "injected"}]}).encode()
    answer = Answer(
        status=status, content_type="application/json", content=content, headers=headers
    )
    return Fault(answer=answer, executed=executed)


EXPIRED: Final = _kubernetes(401, "Unauthorized", "Unauthorized")
"""What the API server answers to a token that has expired."""

SKEWED: Final = _s3(403, "RequestTimeTooSkewed")
"""What a store answers to a request whose date is more than 15 minutes from its own clock."""

API_SERVER: Final = (
    RESET,
    LOST,
    TRUNCATED,
    LATE,
    _kubernetes(500, "InternalError", "Internal error occurred: etcdserver: request timed out"),
    _kubernetes(503, "ServiceUnavailable", "apiserver is shutting down", ("Retry-After", "1")),
    _kubernetes(429, "TooManyRequests", "too many requests", ("Retry-After", "1")),
    _kubernetes(504, "Timeout", "request did not complete within 60 s", executed=True),
)
S3: Final = (
    RESET,
    LOST,
    TRUNCATED,
    LATE,
    _s3(500, "InternalError"),
    _s3(503, "SlowDown"),
    _s3(503, "ServiceUnavailable"),
    _s3(500, "InternalError", executed=True),
)
BUSY: Final = (
    _kubernetes(503, "ServiceUnavailable", "apiserver is shutting down", ("Retry-After", "1")),
    _kubernetes(429, "TooManyRequests", "too many requests", ("Retry-After", "1")),
)
"""What the API server answers where it wants to be asked again."""

HARBOR: Final = (
    RESET,
    LOST,
    TRUNCATED,
    LATE,
    _harbor(500, "UNKNOWN"),
    _harbor(502, "UNKNOWN"),
    _harbor(503, "UNKNOWN"),
    _harbor(401, "UNAUTHORIZED"),
    _harbor(429, "UNKNOWN", ("Retry-After", "1")),
    _harbor(500, "UNKNOWN", executed=True),
)


def at(number: int, fault: Fault) -> Plan:
    """`fault` on the request of that number alone."""
    return lambda request: fault if request.number == number else None


def since(number: int, fault: Fault) -> Plan:
    """`fault` on the request of that number and on all after it."""
    return lambda request: fault if request.number >= number else None


def storm(
    number: int, share: float, choose: Callable[[], Fault], chance: Callable[[], float]
) -> Plan:
    """A fault on that share of the requests, from the one of that number on.

    `chance`: a number from 0 to 1, another one each time.
    """
    return lambda request: choose() if request.number >= number and chance() < share else None


def slow(seconds: float) -> Plan:
    """Each request waits."""
    return lambda _: Fault(seconds=seconds, passes=True)


def each_once(choose: Callable[[], Fault]) -> Plan:
    """A fault on the first request of each kind; the same request again is let through."""
    hit: set[tuple[str, str]] = set()

    def plan(request: Request) -> Fault | None:
        kind = request.method, request.path.partition("?")[0]
        if kind in hit:
            return None
        hit.add(kind)
        return choose()

    return plan


def calling(number: int, act: Callable[[], object]) -> Plan:
    """Calls `act` as the request of that number arrives, which then is let through."""

    def plan(request: Request) -> None:
        if request.number == number:
            act()

    return plan
