"""What the dynamic providers have in common that look into the Sovereign's cluster.

Existing states name the modules of the providers derived from ClusterProvider, and not this one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pulumi.dynamic import ConfigureRequest, ResourceProvider

from components.sealing.opened import maker_path

if TYPE_CHECKING:
    from components.kubernetes.client import ClusterClient

SILENT_SECONDS: Final = 30.0
"""For how long an API server that did not answer is not asked again."""


class ClusterProvider(ResourceProvider):
    """A provider with one client of the stack's cluster, made at its first use.

    The client is kept: an exec plugin of the kubeconfig takes up to a second at each start.
    """

    serialize_as_secret_always = False
    _connecting: ClassVar[threading.Lock] = threading.Lock()
    _context: str | None = None
    _client: ClusterClient | None = None
    _silent_until: float = 0.0

    def configure(self, req: ConfigureRequest) -> None:
        from components.settings.provider_config import cluster_context

        self._context = cluster_context(req.config.get)

    def client(self) -> ClusterClient:
        """The client. Raises ClusterUnreachable."""
        from components.kubernetes import client

        with self._connecting:
            if self._client is None:
                self._client = client.ClusterClient(self._context)
            return self._client

    def look(self, path: str) -> tuple[bool, Any]:
        """Whether the API server answered, and the object at `path`; None when it is missing.

        A check or a diff must not fail in a preview without a cluster, so an API server that does
        not answer, or refuses, is no error here.
        """
        from components.kubernetes.unreachable import ClusterUnreachable

        if time.monotonic() < self._silent_until:
            return False, None
        try:
            return True, self.client().get(path)
        except ClusterUnreachable:
            self._silent_until = time.monotonic() + SILENT_SECONDS
            return False, None

    def stays(self, secret: Mapping[str, Any], namespace: str, name: str) -> bool:
        """Whether a Secret outlives the next moment.

        Kubernetes removes it soon after the object that made it, as after `pulumi destroy`.
        """
        path = maker_path(secret, namespace, name)
        if path is None:
            return True
        answered, maker = self.look(path)
        return not answered or maker is not None

    def events(self, found: Any) -> Any:
        """The list of the events about an object of the API; None where nobody answered."""
        from components.kubernetes.client import dig

        uid, namespace = dig(found, "metadata", "uid"), dig(found, "metadata", "namespace")
        if not uid or not namespace:
            return None
        selector = f"fieldSelector=involvedObject.uid%3D{uid}"
        _, listed = self.look(f"/api/v1/namespaces/{namespace}/events?{selector}")
        return listed
