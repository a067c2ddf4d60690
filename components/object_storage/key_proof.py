"""Proof that a key pair works, before anything is sealed with it.

The state holds the bucket's address and a salted revision of the pair. The pair itself is read from
the stack's configuration in `configure`, as for the bucket: it is neither an input nor an output,
and a proof that fails leaves the last proven revision in the state.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import os
from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from components.commands import run, set_secret
from components.object_storage.location import BucketLocation, location_of, location_props
from components.object_storage.s3.probe import probe
from components.object_storage.s3.provider import S3Provider
from components.object_storage.s3.purpose import IMAGES, Purpose, purpose_of
from components.ordering import after
from components.sealing.digests import revision

ADDRESS = ("bucket", "region", "endpoint", "pathStyle", "caBundle", "rootDirectory")
"""Inputs that say where the key pair is used. A change of one of them needs a new proof."""


def _unchanged(purpose: Purpose) -> str:
    access_key, secret_key = purpose.keys
    reader = "Harbor" if purpose == IMAGES else "the database"
    return (
        f"Nothing was sealed with this key pair: the Secrets in the cluster, and {reader}, still "
        "have the one before. Keep that one valid, set the right new one with "
        f"`{set_secret(access_key)}`, likewise {secret_key}, and run `{run('up')}`."
    )


_LOCKED_DOWN = (
    "storage.lockdown is on, and its policy refuses every key pair that it does not name: let the "
    "pair before add this one to it first (docs/runbooks/lock-down-a-bucket.md)."
)


class KeyProofProvider(S3Provider):
    """Lists, puts, gets and deletes a probe object whenever the key pair or the bucket is new."""

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        # A missing value counts as "": states of earlier versions have no root directory.
        moved = any((_olds.get(key) or "") != (_news.get(key) or "") for key in ADDRESS)
        # Without the stack's key pair this is a preview by somebody who does not have it.
        known = self.credentials_for(_news) is not None and self._revision(_news, _olds["salt"])
        return DiffResult(changes=moved or known != _olds["revision"], replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=props["bucket"], outs=self._proven(props, os.urandom(16).hex()))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self._proven(_news, _olds["salt"]))

    def _proven(self, props: dict[str, Any], salt: str) -> dict[str, Any]:
        location = location_of(props)
        unchanged = _unchanged(purpose_of(props))
        afterwards = f"{_LOCKED_DOWN} {unchanged}" if props.get("lockdown") else unchanged
        with self._reached(props, afterwards) as client:
            probe(client, location.bucket, location.root_directory, afterwards=afterwards)
        address = {key: props.get(key) for key in ADDRESS}
        return {**address, "salt": salt, "revision": self._revision(props, salt)}

    def _revision(self, props: dict[str, Any], salt: str) -> str:
        credentials = self.credentials_for(props)
        assert credentials is not None  # `reached` demands them
        pair = {"access": credentials.access_key, "secret": credentials.secret_key}
        return revision(pair, salt=bytes.fromhex(salt))


class KeyProof(Resource, module="storage", name="KeyProof"):
    """The proof as a resource: its `revision` is known once the key pair has passed."""

    revision: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        bucket: pulumi.Input[str],
        location: BucketLocation,
        lockdown: bool = False,
        setting: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`bucket`: the name, known once the bucket is there. `location`: how it is reached.

        `lockdown`: whether a policy lets only some key pairs in; the message of a failure says so.
        `setting`: see s3/purpose.py; None for the bucket of the images.
        """
        super().__init__(
            KeyProofProvider(),
            name,
            {
                **location_props(location),
                "bucket": bucket,
                "rootDirectory": location.root_directory,
                "lockdown": lockdown,
                **({} if setting is None else {"setting": setting}),
                "revision": None,
                "salt": None,
            },
            pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(additional_secret_outputs=["salt"]), opts
            ),
        )

    def proven(self, key: pulumi.Input[str]) -> pulumi.Output[str]:
        """`key`, for what waits until the pair has passed; as secret as it was."""
        return after(self.revision, key)
