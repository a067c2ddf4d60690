"""What the tests ask of a running sandbox: objects in its cluster, and its object storage."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from components.object_storage.location import BucketLocation
from components.object_storage.s3.client import S3Credentials, s3_client
from components.object_storage.s3.contents import delete_own
from sandbox import cluster
from sandbox.state import REGION
from tests.sandbox.conftest import Sandbox

NAMESPACE = "harbor"


def objects(sandbox: Sandbox, kinds: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """The namespace's objects of these kinds (comma-separated)."""
    listed = cluster.kubectl(
        sandbox.state, sandbox.tools, "get", kinds, "-n", namespace, "-o", "json"
    )
    return json.loads(listed)["items"]


def unsealed(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    """Secret → key → plaintext, of each Secret that a SealedSecret owns, in both namespaces."""
    return {
        secret["metadata"]["name"]: {
            key: base64.b64decode(value).decode() for key, value in secret["data"].items()
        }
        for namespace in (NAMESPACE, "flux-system")
        for secret in objects(sandbox, "secrets", namespace)
        if any(o["kind"] == "SealedSecret" for o in secret["metadata"].get("ownerReferences", []))
    }


def generations(sandbox: Sandbox) -> dict[str, int]:
    """Workload → generation, which grows when anything of its pod template changes."""
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["generation"]
        for item in objects(sandbox, "deployments,statefulsets")
    }


def bucket_client(sandbox: Sandbox, outputs: Mapping[str, Any]) -> Any:
    """An S3 client for the bucket that a stack's outputs name."""
    kept = sandbox.state.credentials()
    return s3_client(
        BucketLocation(bucket=outputs["bucket"], region=REGION, endpoint=outputs["bucketEndpoint"]),
        S3Credentials(access_key=kept["s3AccessKey"], secret_key=kept["s3SecretKey"]),
    )


def empty_bucket(sandbox: Sandbox, outputs: Mapping[str, Any]) -> None:
    """Deletes all that lies in the bucket, with its versions."""
    delete_own(bucket_client(sandbox, outputs), outputs["bucket"], "")
