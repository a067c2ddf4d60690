"""`/v2/`: the registry's own API, with the logins and rights of the fake.

The fake checks who pulls and pushes, as Harbor's core does, and hands the call to the registry
behind it, with that one's own user. Harbor offers Bearer and Basic; the fake offers Basic only,
which every client knows as well. Nothing is scanned, checked for a signature or measured.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Protocol
from urllib.parse import urlsplit

from sandbox.fake_harbor import access, answers
from sandbox.fake_harbor.access import Identity
from sandbox.fake_harbor.answers import Answer
from sandbox.fake_harbor.kinds import projects, repositories
from sandbox.fake_harbor.world import Row, World

_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.*)")
_BASIC = {"WWW-Authenticate": 'Basic realm="harbor"'}
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "host", "authorization", "cookie")


@dataclass(frozen=True)
class Backend:
    """The registry behind the fake: its address, its user and that one's password."""

    url: str
    user: str
    password: str


@dataclass(frozen=True)
class Place:
    """What a path of /v2/ names: project, repository in it, kind of thing, and the thing."""

    project: str
    repository: str
    kind: str
    rest: str


def place_of(path: str) -> Place | None:
    """None for /v2/ itself and the catalog."""
    matched = _PATH.fullmatch(path)
    if matched is None:
        return None
    project, _, repository = matched["name"].partition("/")
    return Place(project, repository, matched["kind"], matched["rest"])


def check(world: World, who: Identity, method: str, path: str) -> None:
    """Raises Refused unless they may do this, as Harbor's core does."""
    place = place_of(path)
    if place is None:
        if not who.known:
            raise _unauthorized("unauthorized: unauthorized")
        return
    action = "pull" if method in ("GET", "HEAD") else "push"
    if method == "DELETE":
        action = "delete"
    project = projects.by_name(world, place.project)
    if project is None and who.is_admin:
        missing = f"project {place.project} not found"
        raise answers.error(401, "UNAUTHORIZED", f"{missing}: {missing}")
    is_public = project is not None and project["metadata"].get("public") == "true"
    allowed = (action == "pull" and is_public) or access.may_in_project(
        world, who, project, "repository", action
    )
    if not allowed or project is None:
        text = (
            "unauthorized to access repository: "
            f"{place.project}/{place.repository}, action: {action}"
        )
        raise _unauthorized(f"{text}: {text}")
    if action != "pull":
        _check_write(world, project, place, method)


def _unauthorized(message: str) -> answers.Refused:
    return answers.error(401, "UNAUTHORIZED", message, _BASIC)


def _check_write(world: World, project: Row, place: Place, method: str) -> None:
    if world["configurations"]["read_only"]:
        raise answers.denied("The system is in read only mode. Any modification is prohibited.")
    if project["registry"]:
        raise answers.denied(f"denied: can not push artifact to a proxy project: {place.project}")
    if place.kind != "manifests" or method != "PUT" or not _exists(project, place):
        return
    tag = repositories.immutable_tag(world, project, place.repository, [place.rest])
    if tag is not None:
        raise answers.precondition(
            f"Failed to process request due to '{place.repository}:{tag}' configured as immutable."
        )


def _exists(project: Row, place: Place) -> bool:
    name = f"{place.project}/{place.repository}"
    return any(
        place.rest in artifact["tags"]
        for repository in project["repositories"]
        if repository["name"] == name
        for artifact in repository["artifacts"]
    )


def learn(world: World, method: str, path: str, status: int, headers: Message) -> None:
    """Notes the image that was pushed or deleted, so that Harbor's API lists it."""
    place = place_of(path)
    if place is None or place.kind != "manifests" or not 200 <= status < 300:
        return
    if method == "PUT":
        digest = headers.get("Docker-Content-Digest", place.rest)
        tags = [] if place.rest.startswith("sha256:") else [place.rest]
        repositories.put(world, place.project, place.repository, digest, tags)
    if method == "DELETE":
        repositories.forget(world, place.project, place.repository, place.rest)


class Source(Protocol):
    """Where a call's body comes from."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


def body_of(headers: Message, source: Source) -> Iterator[bytes]:
    """The call's body in pieces, with or without a length."""
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        while size := int(source.readline().partition(b";")[0], 16):
            yield from _pieces(source, size)
            source.readline()
        while source.readline().strip():
            pass  # trailers
        return
    yield from _pieces(source, int(headers.get("Content-Length") or 0))


def _pieces(source: Source, size: int) -> Iterator[bytes]:
    while size > 0:
        piece = source.read(min(size, 65536))
        if not piece:
            raise ConnectionError("the call's body ends too early")
        size -= len(piece)
        yield piece


def forward(
    backend: Backend, method: str, target: str, headers: Message, source: Source
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Asks the registry behind. The caller reads the answer and closes the connection."""
    connection = http.client.HTTPConnection(urlsplit(backend.url).netloc, timeout=300)
    token = base64.b64encode(f"{backend.user}:{backend.password}".encode()).decode()
    sent = {k: v for k, v in headers.items() if k.lower() not in _HOP_BY_HOP}
    sent["Authorization"] = f"Basic {token}"
    chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
    if chunked:
        sent["Transfer-Encoding"] = "chunked"
    has_body = chunked or "Content-Length" in headers
    connection.request(
        method,
        target,
        body=body_of(headers, source) if has_body else None,
        headers=sent,
        encode_chunked=chunked,
    )
    return connection, connection.getresponse()


def headers_for_the_client(
    backend: Backend, answer: http.client.HTTPResponse, host: str
) -> list[tuple[str, str]]:
    """The answer's headers; addresses of the registry behind become those of the fake."""
    kept: list[tuple[str, str]] = []
    for name, value in answer.headers.items():
        if name.lower() in ("connection", "transfer-encoding", "content-length"):
            continue
        if name.lower() == "location":
            value = value.replace(backend.url, f"http://{host}")
        kept.append((name, value))
    return kept


def no_backend() -> Answer:
    """Where no registry stands behind the fake."""
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "no registry behind this fake"}]})
    return Answer(502, body, {"Content-Type": "application/json"})
