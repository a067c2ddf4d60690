"""How Harbor's API is reached: a port-forward to a pod of core, or an address.

A port-forward needs neither DNS nor a certificate nor an open gateway, so it works in the first
`up` too. The service proxy of the API server was tried: it takes the login off each request.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import urllib3

from components import proxies
from components.kubernetes import kubectl
from components.kubernetes.client import ClusterClient, dig, secret_value
from components.kubernetes.unreachable import ClusterUnreachable
from components.registry.errors import HarborDown, HarborSilent, OtherCluster

CORE_PORT: Final = 8080
"""Where a pod of core listens (the chart's harbor-core Deployment)."""

_AT_ONCE: Final = 16
"""Kept connections. The engine asks a provider for as many resources at once as it has workers."""

_LARGEST: Final = 64 * 1024**2
"""Bytes of an answer. A page of 100 artifacts with their scans is below 1 MiB; a report of all
vulnerabilities of an image may have 10."""

_WHOLE_SECONDS: Final = 120.0
"""For a whole answer: each piece of one that trickles is in time."""

_CONNECT_SECONDS: Final = 10.0

WRITE_SILENCE: Final = 60.0
"""Seconds for which Harbor may be silent after a write: before some it asks an upstream."""

READ_SILENCE: Final = 20.0
"""The same after a read. kubectl's port-forward does not always tell that core has closed the
connection, so a read that was lost there ends only by this."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection(Protocol):
    """What carries requests to Harbor. All methods may be called by several threads at once.

    They raise OtherCluster where the kubeconfig leads to another cluster than the stack's.
    """

    def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
        *,
        silence: float = READ_SILENCE,
    ) -> Answer:
        """The answer to a request below the root of Harbor. Raises HarborDown without one, and of
        its kind HarborSilent where Harbor says nothing for `silence` seconds."""
        ...

    def secret(self, name: str, key: str) -> str | None:
        """The text of a Secret in Harbor's namespace; None when missing. Raises HarborDown."""
        ...

    def close(self) -> None:
        """Ends what was started."""
        ...


@dataclass(kw_only=True)
class ToCluster:
    """A connection to the Harbor of a namespace.

    `context`: of the kubeconfig; "" for the current one. `cluster_name`: the cluster entry that
    the context must have; "" where any will do. `api_url`: https address of Harbor in place of a
    port-forward; "" for none. `api_ca`: PEM of authorities that are trusted for it besides the
    system's.
    """

    namespace: str
    context: str = ""
    cluster_name: str = ""
    api_url: str = ""
    api_ca: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _client: ClusterClient | None = field(default=None, repr=False)
    _forward: kubectl.PortForward | None = field(default=None, repr=False)
    _pool: Any = field(default=None, repr=False)

    def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
        *,
        silence: float = READ_SILENCE,
    ) -> Answer:
        call = f"{method} {path}"
        pool, base = self._reached(call)
        try:
            response = pool.request(
                method,
                f"{base}{path}",
                headers=headers,
                body=body,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=silence),
                preload_content=False,
            )
            body = _body(response)
        except urllib3.exceptions.ReadTimeoutError:
            reason = f"it took the connection and said nothing for {silence:.0f} s"
            raise HarborSilent(call, reason + self._complaints()) from None
        except (urllib3.exceptions.HTTPError, _TooLarge) as error:
            reason = _reason(error) + self._complaints()
            raise HarborDown(call, reason) from None
        return Answer(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
        )

    def secret(self, name: str, key: str) -> str | None:
        try:
            return secret_value(self._cluster(), namespace=self.namespace, name=name, key=key)
        except ClusterUnreachable as error:
            raise HarborDown(f"reading Secret {self.namespace}/{name}", str(error)) from None

    def close(self) -> None:
        self.disconnect()
        kubectl.close_all()

    def disconnect(self) -> None:
        """Ends the port-forward alone; the next call starts another one."""
        with self._lock:
            self._drop()

    def _reached(self, call: str) -> tuple[Any, str]:
        """Kept connections, and what comes before the path."""
        with self._lock:
            if self.api_url:
                if self._pool is None:
                    self._pool = _public_pool(self.api_url, self.api_ca)
                return self._pool, self.api_url.rstrip("/")
            if self._forward is None or not self._forward.is_running():
                self._drop()
                try:
                    self._forward_to_core(call)
                except ClusterUnreachable as error:
                    self._drop()
                    raise HarborDown(call, str(error)) from None
            return self._pool, ""

    def _forward_to_core(self, call: str) -> None:
        pod = ready_pod(self._cluster(), self.namespace, "core")
        if pod is None:
            raise HarborDown(call, f"no pod of harbor-core in namespace {self.namespace} is Ready")
        self._forward = kubectl.PortForward(
            self.context or None, namespace=self.namespace, pod=pod, port=CORE_PORT
        )
        port = self._forward.local_port()
        # Requests beyond the kept connections wait for one.
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=_AT_ONCE, block=True)

    def _drop(self) -> None:
        if self._forward is not None:
            self._forward.close()
        if self._pool is not None:
            self._pool.close() if hasattr(self._pool, "close") else self._pool.clear()
        self._forward = self._pool = None

    def _cluster(self) -> ClusterClient:
        if self._client is None:
            client = ClusterClient(self.context or None)
            if self.cluster_name and client.cluster_name != self.cluster_name:
                raise OtherCluster(
                    f"the kubeconfig leads to cluster {client.cluster_name!r}, and this stack is "
                    f"for {self.cluster_name!r} (cluster.name)"
                )
            self._client = client
        return self._client

    def _complaints(self) -> str:
        forward = self._forward
        return "" if forward is None else forward.complaints()


def ready_pod(client: ClusterClient, namespace: str, component: str) -> str | None:
    """The name of the newest pod of a component of Harbor that is Ready and is not being deleted.

    Raises ClusterUnreachable.
    """
    labels = f"app%3Dharbor%2Ccomponent%3D{component}"
    listed = client.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={labels}")
    pods = cast("list[dict[str, Any]]", dig(listed, "items") or [])
    ready = [
        (str(pod["metadata"]["creationTimestamp"]), str(pod["metadata"]["name"]))
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in cast("list[dict[str, Any]]", dig(pod, "status", "conditions") or [])
        )
    ]
    return max(ready)[1] if ready else None


def _public_pool(url: str, authorities: str) -> Any:
    options: dict[str, Any] = {"maxsize": _AT_ONCE, "block": True}
    if url.startswith("https:"):
        options["ssl_context"] = trust = ssl.create_default_context()
        if authorities:
            trust.load_verify_locations(cadata=authorities)
    for proxy in proxies.proxies_for(url, os.environ).values():
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


class _TooLarge(Exception):
    """An answer that no Harbor gives."""


def _body(response: Any) -> bytes:
    """The body of an answer; its connection is then free for the next request."""
    end = time.monotonic() + _WHOLE_SECONDS
    content = bytearray()
    try:
        for piece in response.stream(1024**2):
            content += piece
            if len(content) > _LARGEST:
                raise _TooLarge(f"it answers more than {_LARGEST} bytes")
            if time.monotonic() > end:
                raise _TooLarge(f"its answer has no end after {_WHOLE_SECONDS:.0f} s")
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()
    return bytes(content)


def _reason(error: Exception) -> str:
    """Without urllib3's own objects, which its texts begin with."""
    return str(error).rpartition("): ")[2] or type(error).__name__
