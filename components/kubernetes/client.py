"""Requests to the Sovereign's API server, for what the engine can neither read nor await.

kubectl reads the kubeconfig and does the authentication; paths are the API's own.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import Any, Final, cast

from components import parsed
from components.kubernetes import kubectl
from components.kubernetes.unreachable import ClusterUnreachable

_ANSWER_SECONDS: Final = 10

_WHOLE_ANSWER_SECONDS: Final = 60
"""From the head of an answer to its end: each piece of a body that trickles is in time."""

_LONGEST_MESSAGE: Final = 500
"""Characters of what a server said that an error repeats."""

_LARGEST_ANSWER: Final = 256 * 1024**2
"""Bytes. 500 pods are about 5 MiB, and etcd takes objects of 1.5 MiB."""

_FIRST_ANSWER_SECONDS: Final = 30
"""From kubectl's start, for a credential plugin that has to ask somebody, and for a connection:
client-go gives up connecting after 30 s."""


_ATTEMPTS: Final = 5
"""Of a call that the API server asks to repeat, or of a reading one whose connection breaks."""

_PAUSE_SECONDS: Final = 0.2
"""After a broken connection, and twice as long after each further one."""

_LONGEST_WAIT_SECONDS: Final = 10.0

_BROKEN: Final = re.compile(r"\bEOF|connection reset by peer|broken pipe|GOAWAY", re.IGNORECASE)
"""Go's words for a connection that broke. One that was refused is none of them."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """`after`: seconds after which the server wants to be asked again; None where it does not."""

    status: int
    body: bytes
    after: float | None = None


class _Broken(ClusterUnreachable):
    """The connection broke before the end of the answer."""


class _Later(ClusterUnreachable):
    """The server wants to be asked again."""

    def __init__(self, message: str, status: int, after: float) -> None:
        super().__init__(message, status)
        self.after = min(after, _LONGEST_WAIT_SECONDS)


class ClusterClient:
    """JSON over one kubeconfig context; None means its current context.

    It may be used by several threads at once. Clients of one context share one `kubectl proxy`.
    """

    def __init__(self, context: str | None) -> None:
        self._context = context
        self._proxy = kubectl.proxy(context)

    @property
    def cluster_name(self) -> str | None:
        """Name of the cluster entry in the kubeconfig; None for the account of a pod."""
        return self._proxy.cluster_name

    def get(self, path: str) -> Any:
        """The object at an API path; None if it does not exist. Raises ClusterUnreachable."""
        answer = self._request("GET", path)
        return None if answer.status == 404 else _object(path, answer)

    def text(self, path: str) -> str:
        """The body at an API path as text. Raises ClusterUnreachable, also if there is none."""
        answer = self._request("GET", path)
        if answer.status == 404:
            raise ClusterUnreachable(f"{path} is not there", 404)
        return answer.body.decode(errors="replace")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Creates an object in the collection at an API path, and returns it.

        Raises ClusterUnreachable: of status 409 where an object of that name exists, of 404 where
        the namespace or the kind does not.
        """
        return self._written("POST", path, "application/json", body)

    def patch(self, path: str, merge: Mapping[str, Any]) -> Any:
        """Changes the object at an API path by a JSON merge patch (RFC 7386), and returns it.

        Raises ClusterUnreachable: of status 404 where there is no such object.
        """
        return self._written("PATCH", path, "application/merge-patch+json", merge)

    def apply(self, path: str, manifest: Mapping[str, Any], *, manager: str) -> Any:
        """Applies an object by server-side apply, with force: the fields in it become `manager`'s,
        and those that `manager` applied before and that are missing now go. Returns the object.

        Raises ClusterUnreachable: of status 404 where the namespace or the kind does not exist.
        """
        return self._written(
            "PATCH",
            f"{path}?fieldManager={manager}&force=true",
            "application/apply-patch+yaml",
            manifest,
        )

    def delete(self, path: str) -> None:
        """Deletes the object at an API path, if it is there. Raises ClusterUnreachable."""
        self._request("DELETE", path)

    def _written(self, method: str, path: str, media_type: str, body: Mapping[str, Any]) -> Any:
        answer = self._request(method, path, media_type=media_type, body=json.dumps(body).encode())
        if answer.status == 404:
            raise ClusterUnreachable(f"{path}: {answer.status} {_message(answer)}", 404)
        return _object(path, answer)

    def _request(
        self, method: str, path: str, *, media_type: str | None = None, body: bytes | None = None
    ) -> _Answer:
        """The answer of a status below 300, or of 404: there is no such object.

        Repeated where client-go repeats (rest/with_retry.go), through which the engine's own calls
        go: for 429 and 5xx with Retry-After, and for a GET whose connection breaks.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                return self._once(method, path, media_type, body)
            except _Later as later:
                pause = later.after
            except _Broken:
                if method != "GET":
                    raise
                pause = _PAUSE_SECONDS * 2 ** (attempt - 1)
            time.sleep(pause)
        return self._once(method, path, media_type, body)

    def _once(self, method: str, path: str, media_type: str | None, body: bytes | None) -> _Answer:
        if not self._proxy.is_running():
            self._proxy = kubectl.proxy(self._context)
        proxy = self._proxy
        waited = time.monotonic() - proxy.started
        connection = _OverSocket(
            proxy.socket(), max(float(_ANSWER_SECONDS), _FIRST_ANSWER_SECONDS - waited)
        )
        headers = {"Accept": "application/json, */*"}
        if media_type is not None:
            headers["Content-Type"] = media_type
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            answer = _Answer(
                status=response.status, body=_body(response), after=_seconds_to_wait(response)
            )
        except TimeoutError:
            raise ClusterUnreachable(
                f"no answer within {connection.seconds:.0f} s{proxy.complaints()}"
            ) from None
        except (OSError, HTTPException, UnicodeError) as error:
            reason = str(error) or type(error).__name__
            is_broken = isinstance(error, ConnectionError | IncompleteRead)
            kind = _Broken if is_broken else ClusterUnreachable
            raise kind(f"kubectl proxy: {reason}{proxy.complaints()}") from None
        finally:
            connection.close()
        if answer.status == 404 and not _is_of_the_api_server(answer):
            raise ClusterUnreachable(
                f"{path}: 404, but not by a Kubernetes API server: check the kubeconfig's server "
                "and what stands in front of it"
            )
        if answer.status >= 300 and answer.status != 404:
            message = _message(answer)
            if answer.status == 500 and not _is_of_the_api_server(answer):
                # Of kubectl, which got no answer. It does not quote a plugin that failed.
                kind = _Broken if _BROKEN.search(message) else ClusterUnreachable
                raise kind(message + proxy.complaints(besides=message))
            told = f"{path}: {answer.status} {message}"
            if answer.after is not None:
                raise _Later(told, answer.status, answer.after)
            raise ClusterUnreachable(told, answer.status)
        return answer


class _OverSocket(HTTPConnection):
    """HTTP over the socket of `kubectl proxy`, which answers requests for localhost only."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path, self.seconds = path, seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.seconds)
        self.sock.connect(self._path)


def _object(path: str, answer: _Answer) -> Any:
    try:
        value: Any = parsed.json_of(answer.body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ClusterUnreachable(
            f"{path}: an answer that is no object in JSON, so not by a Kubernetes API server: "
            "check the kubeconfig's server and what stands in front of it"
        )
    if (odd := _odd_part(cast("Any", value))) is not None:
        raise ClusterUnreachable(
            f"{path}: an answer whose {odd} is not Kubernetes', so not by an API server: "
            "check the kubeconfig's server and what stands in front of it"
        )
    return cast("Any", value)


def _seconds_to_wait(response: HTTPResponse) -> float | None:
    """What Retry-After says of a status with which client-go asks again; None if nothing."""
    asked = response.getheader("Retry-After", "")
    may_pass = response.status == 429 or response.status >= 500
    return float(asked) if may_pass and asked.isdecimal() and asked.isascii() else None


def _body(response: HTTPResponse) -> bytes:
    """The body of an answer. Raises OSError for one that is too large, or takes too long."""
    end = time.monotonic() + _WHOLE_ANSWER_SECONDS
    content = bytearray()
    while piece := response.read1(1024**2):
        content += piece
        if len(content) > _LARGEST_ANSWER:
            raise OSError(f"an answer of more than {_LARGEST_ANSWER} bytes")
        if time.monotonic() > end:
            raise OSError(f"an answer that has no end after {_WHOLE_ANSWER_SECONDS} s")
    if response.length:
        raise IncompleteRead(b"", response.length)
    return bytes(content)


def _odd_part(value: Mapping[str, Any]) -> str | None:
    """The part of an object, or of those in a list, that no API server writes so; None if none.

    Only the frame that all kinds have: readers rely on it, and dig for a kind's own parts.
    """
    items: Any = value.get("items", [])
    if not isinstance(items, list):
        return "items"
    for each in cast("list[Any]", [value, *items]):
        if not isinstance(each, Mapping):
            return "items"
        for part in ("metadata", "data", "spec", "status"):
            # `status` is a text in an answer to DELETE.
            if not isinstance(dig(each, part), dict | (str if part == "status" else dict) | None):
                return part
    # Of each object of a list readers use the name.
    names = [dig(each, "metadata", "name") for each in cast("list[Any]", items)]
    is_named = all(isinstance(name, str) for name in names)
    return None if is_named else "items"


def _is_of_the_api_server(answer: _Answer) -> bool:
    """Whether an answer other than 2xx is the API server's own."""
    # Its words for an API group that it does not serve.
    if answer.body.strip() == b"404 page not found":
        return True
    try:
        return parsed.json_of(answer.body)["kind"] == "Status"
    except (ValueError, LookupError, TypeError):
        return False


def _message(answer: _Answer) -> str:
    try:
        return str(parsed.json_of(answer.body)["message"])[:_LONGEST_MESSAGE]
    except (ValueError, LookupError, TypeError):
        return " ".join(answer.body[:500].decode(errors="replace").split())


def dig(tree: Any, *keys: str) -> Any:
    """The value under `keys` in nested objects; None where a key is missing, or no object is."""
    for key in keys:
        tree = cast("Mapping[str, Any]", tree).get(key) if isinstance(tree, Mapping) else None
    return tree


def secret_value(client: ClusterClient, *, namespace: str, name: str, key: str) -> str | None:
    """The text under `key` of a Secret; None when Secret or key is missing.

    Raises ClusterUnreachable, also if the value is no text.
    """
    secret = client.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    encoded = dig(secret, "data", key)
    try:
        return None if encoded is None else base64.b64decode(encoded).decode()
    except (ValueError, TypeError):
        # The exception would quote the value.
        raise ClusterUnreachable(f"Secret {namespace}/{name}: {key} is no text in UTF-8") from None


def fetch_certificate(client: ClusterClient, *, namespace: str, name: str) -> str:
    """PEM of the sealed-secrets controller's newest certificate, through the API server."""
    return client.text(
        f"/api/v1/namespaces/{namespace}/services/http:{name}:8080/proxy/v1/cert.pem"
    )
