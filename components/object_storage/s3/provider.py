"""What the dynamic providers of a bucket have in common."""

from __future__ import annotations

import sys
from typing import Any

from pulumi.dynamic import ConfigureRequest, ResourceProvider

from components.object_storage.s3.client import S3Credentials
from components.settings.provider_config import key_pair


class S3Provider(ResourceProvider):
    """A provider that reaches the store with the stack's key pair.

    The pair is read from the stack's configuration in `configure`, never kept as an input: a
    rotated key changes nothing in the state, and destroy works with the key of the day.
    """

    serialize_as_secret_always = False
    _credentials: S3Credentials | None = None

    def configure(self, req: ConfigureRequest) -> None:
        pair = key_pair(req.config.get)
        self._credentials = pair and S3Credentials(access_key=pair[0], secret_key=pair[1])


def inputs_of(props: dict[str, Any]) -> dict[str, Any]:
    """What the program declared; the SDK adds keys of its own, the pickled provider for one."""
    return {key: value for key, value in props.items() if not key.startswith("__")}


def tell(words: str) -> None:
    """Says something beside the resource, where the engine shows what goes to stderr."""
    print(words, file=sys.stderr)
