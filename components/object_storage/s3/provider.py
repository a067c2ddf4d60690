"""What the dynamic providers of a bucket have in common."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Mapping
from typing import Any

from pulumi.dynamic import ConfigureRequest, ResourceProvider

from components.commands import for_stack
from components.object_storage.location import location_of
from components.object_storage.s3.client import S3Credentials, reached
from components.object_storage.s3.errors import BucketError
from components.object_storage.s3.purpose import IMAGES, purpose_of
from components.settings.provider_config import backup_key_pair, key_pair, stack_name


class S3Provider(ResourceProvider):
    """A provider that reaches the store with the stack's key pair for the bucket at hand.

    The pair is read from the stack's configuration in `configure`, never kept as an input: a
    rotated key changes nothing in the state, and destroy works with the key of the day.
    """

    serialize_as_secret_always = False
    _credentials: S3Credentials | None = None
    """Of the bucket of the images."""
    _backup_credentials: S3Credentials | None = None
    _stack: str | None = None
    """For messages; None where nothing says it."""

    def configure(self, req: ConfigureRequest) -> None:
        pair = key_pair(req.config.get)
        self._credentials = pair and S3Credentials(access_key=pair[0], secret_key=pair[1])
        pair = backup_key_pair(req.config.get)
        self._backup_credentials = pair and S3Credentials(access_key=pair[0], secret_key=pair[1])
        self._stack = stack_name(req.config.get)

    def credentials_for(self, props: Mapping[str, Any]) -> S3Credentials | None:
        """The key pair of the bucket of `props`; None where the stack has none."""
        is_of_images = purpose_of(props) == IMAGES
        return self._credentials if is_of_images else self._backup_credentials

    @contextlib.contextmanager
    def _reached(self, props: Mapping[str, Any], afterwards: str = "") -> Generator[Any]:
        """A client for the bucket of `props`. Raises BucketError, with this stack's commands."""
        try:
            with reached(
                location_of(props),
                self.credentials_for(props),
                afterwards,
                purpose=purpose_of(props),
            ) as client:
                yield client
        except BucketError as error:
            raise BucketError(for_stack(str(error), self._stack)) from None


def inputs_of(props: dict[str, Any]) -> dict[str, Any]:
    """What the program declared; the SDK adds keys of its own, the pickled provider for one."""
    return {key: value for key, value in props.items() if not key.startswith("__")}


def tell(words: str) -> None:
    """Says something beside the resource, where the engine shows what goes to stderr."""
    print(words, file=sys.stderr)
