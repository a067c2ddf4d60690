"""Plain reads from the Sovereign's API server, for what the engine cannot wait for by itself."""

from __future__ import annotations

import base64
from typing import Any

import lightkube
from lightkube.config.kubeconfig import KubeConfig


class ClusterUnreachable(Exception):
    """The kubeconfig names no such context, or its API server does not answer."""


def cluster_client(context: str | None) -> lightkube.Client:
    """A client for `context` of $KUBECONFIG, ~/.kube/config or the pod's service account.

    None means the kubeconfig's current context. Raises ClusterUnreachable.
    """
    try:
        found = KubeConfig.from_env().get(context_name=context)
    except Exception as error:
        raise ClusterUnreachable(f"kubeconfig: {error}") from None
    if found is None:
        raise ClusterUnreachable(f"kubeconfig has no context {context or '(current)'}")
    return lightkube.Client(config=found)


def secret_annotations(client: lightkube.Client, *, namespace: str, name: str) -> dict[str, str]:
    """Annotations of a Secret; empty when it does not exist. Its data is never looked at."""
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.core_v1 import Secret

    try:
        secret = client.get(Secret, name, namespace=namespace)
    except ApiError as error:
        if error.status.code == 404:
            return {}
        raise
    metadata = secret.metadata
    return dict(metadata.annotations or {}) if metadata else {}


def secret_value(client: lightkube.Client, *, namespace: str, name: str, key: str) -> str | None:
    """The text under `key` of a Secret; None when Secret or key is missing.

    Raises ClusterUnreachable when the API server does not answer or refuses the read.
    """
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.core_v1 import Secret

    try:
        data = client.get(Secret, name, namespace=namespace).data or {}
    except ApiError as error:
        if error.status.code == 404:
            return None
        raise ClusterUnreachable(str(error.status.message)) from None
    except Exception as error:
        raise ClusterUnreachable(str(error)) from None
    return base64.b64decode(data[key]).decode() if key in data else None


def sealed_secret_condition(client: lightkube.Client, *, namespace: str, name: str) -> str:
    """What the sealed-secrets controller last said of a SealedSecret, for an error message."""
    from lightkube.core.exceptions import ApiError
    from lightkube.generic_resource import create_namespaced_resource

    kind = create_namespaced_resource("bitnami.com", "v1alpha1", "SealedSecret", "sealedsecrets")
    try:
        found: dict[str, Any] = client.get(kind, name, namespace=namespace).to_dict()
    except ApiError as error:
        return f"the SealedSecret cannot be read ({error.status.reason})"
    conditions = (found.get("status") or {}).get("conditions") or []
    synced = next((c for c in conditions if c.get("type") == "Synced"), None)
    if synced is None:
        return "the controller has not looked at it: is sealed-secrets running?"
    return str(synced.get("message") or f"Synced={synced.get('status')}")


def fetch_certificate(context: str | None, *, namespace: str, name: str) -> str:
    """PEM of the sealed-secrets controller's newest certificate, through the API server.

    Raises ClusterUnreachable with the reason, including when no controller answers.
    """
    try:
        client = cluster_client(context)
        path = f"/api/v1/namespaces/{namespace}/services/http:{name}:8080/proxy/v1/cert.pem"
        answer = client._client._client.get(path)  # lightkube has no call for a service's proxy
        answer.raise_for_status()
    except ClusterUnreachable:
        raise
    except Exception as error:
        raise ClusterUnreachable(
            f"controller {namespace}/{name} did not answer: {error}".splitlines()[0]
        ) from None
    return answer.text
