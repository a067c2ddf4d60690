"""Requests to the Sovereign's API server, for what the engine can neither read nor await.

lightkube reads the kubeconfig and does the authentication; paths are the API's own.
"""

from __future__ import annotations

import base64
import threading
from typing import Any

import httpx2
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig

# The engine calls a dynamic provider in several threads. lightkube reads a kubeconfig by msgspec,
# which builds its description of a type at the first use. A second thread that uses a description
# before it is complete crashes the process (segmentation fault in msgspec 0.22.0).
_READING_KUBECONFIG = threading.Lock()


class ClusterUnreachable(Exception):
    """The kubeconfig names no such context, or its API server does not answer or refuses."""


class ClusterClient:
    """JSON over one kubeconfig context; None means its current context."""

    def __init__(self, context: str | None) -> None:
        try:
            with _READING_KUBECONFIG:
                config = KubeConfig.from_env().get(context_name=context)
        except Exception as error:
            raise ClusterUnreachable(f"kubeconfig: {error}") from None
        if config is None:
            raise ClusterUnreachable(f"kubeconfig has no context {context or '(current)'}")
        self.cluster_name: str = config.context.cluster
        """Name of the cluster entry in the kubeconfig."""
        parameters = ConnectionParams(timeout=httpx2.Timeout(10.0), trust_env=True)
        self._http = Client(config, parameters)

    def get(self, path: str) -> Any:
        """The object at an API path; None if it does not exist. Raises ClusterUnreachable."""
        answer = self._request("GET", path)
        return None if answer.status_code == 404 else answer.json()

    def text(self, path: str) -> str:
        """The body at an API path as text. Raises ClusterUnreachable, also if there is none."""
        answer = self._request("GET", path)
        if answer.status_code == 404:
            raise ClusterUnreachable(f"{path} is not there")
        return answer.text

    def delete(self, path: str) -> None:
        """Deletes the object at an API path, if it is there. Raises ClusterUnreachable."""
        self._request("DELETE", path)

    def _request(self, method: str, path: str) -> httpx2.Response:
        try:
            answer = self._http.request(method, path)
        except httpx2.HTTPError as error:
            raise ClusterUnreachable(str(error) or type(error).__name__) from None
        if answer.is_error and answer.status_code != 404:
            raise ClusterUnreachable(f"{path}: {answer.status_code} {_message(answer)}")
        return answer


def dig(tree: Any, *keys: str) -> Any:
    """The value under `keys` in nested objects; None where one of the keys is missing."""
    for key in keys:
        tree = tree.get(key) if tree else None
    return tree


def _message(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


def secret_annotations(client: ClusterClient, *, namespace: str, name: str) -> dict[str, str]:
    """Annotations of a Secret; empty when it does not exist. Its data is never looked at."""
    secret = client.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    return dig(secret, "metadata", "annotations") or {}


def secret_value(client: ClusterClient, *, namespace: str, name: str, key: str) -> str | None:
    """The text under `key` of a Secret; None when Secret or key is missing."""
    secret = client.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    encoded = dig(secret, "data", key)
    return None if encoded is None else base64.b64decode(encoded).decode()


def sealed_secret_condition(client: ClusterClient, *, namespace: str, name: str) -> str:
    """The sealed-secrets controller's last message on a SealedSecret, for an error message."""
    sealed = client.get(f"/apis/bitnami.com/v1alpha1/namespaces/{namespace}/sealedsecrets/{name}")
    if sealed is None:
        return "the SealedSecret is gone"
    conditions: list[dict[str, Any]] = dig(sealed, "status", "conditions") or []
    for condition in conditions:
        if condition.get("type") == "Synced":
            return str(condition.get("message") or f"Synced={condition.get('status')}")
    return "the controller has not looked at it: is sealed-secrets running?"


def fetch_certificate(client: ClusterClient, *, namespace: str, name: str) -> str:
    """PEM of the sealed-secrets controller's newest certificate, through the API server."""
    return client.text(
        f"/api/v1/namespaces/{namespace}/services/http:{name}:8080/proxy/v1/cert.pem"
    )
