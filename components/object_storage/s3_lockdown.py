"""The lockdown of a bucket as a resource: as long as it exists, only some keys reach the bucket.

The state holds digests of those keys. The stack's own key pair is read from its configuration in
`configure`, as for the bucket.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

from typing import Any

import pulumi
from botocore.exceptions import ClientError
from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from components.commands import for_stack, run
from components.object_storage.location import BucketLocation, location_props
from components.object_storage.s3.contents import read_owner
from components.object_storage.s3.errors import BucketError, error_code
from components.object_storage.s3.policy import is_locked, lock, read_policy, take_off
from components.object_storage.s3.policy_document import (
    exempted,
    fingerprints,
    is_ours,
    lockdown_policy,
    principal,
)
from components.object_storage.s3.provider import S3Provider, inputs_of, tell
from components.object_storage.s3_bucket import IDENTITY

_HELP = (
    "If the lockdown refuses this key, see docs/runbooks/lock-down-a-bucket.md for who can take it "
    "off."
)
_LEFT_OPEN = "The policy was taken off again: every key of the project reaches the bucket."
_LEFT_LOCKED = (
    "The policy could not be taken off again. Try it at once, and again, since each try may reach "
    "another gateway: the command is in docs/runbooks/lock-down-a-bucket.md."
)
_NOT_LET_IN = (
    "the lockdown in force does not let this key pair in. Put the pair before back, add the new "
    f"pair's access key to storage.lockdown.moreAccessKeys, run `{run('up')}`, and change the pair "
    f"then. (If the policy was taken off by hand: `{run('refresh')}`.)"
)
_STILL_IN_USE = (
    "the key pair before would be shut out while Harbor still uses it. Keep its access key in "
    "storage.lockdown.moreAccessKeys for this run, and remove it in the next."
)


class S3LockdownProvider(S3Provider):
    """Puts the policy on, keeps it as declared, takes it off.

    Outputs are the inputs and: `letIn`, digests of the keys that the policy in force lets in, empty
    if the bucket has no policy or another one; `by`, the digest of the key that wrote the policy.
    """

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return CheckResult({**news, "moreAccessKeys": news.get("moreAccessKeys") or []}, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        transport = ("pathStyle", "caBundle", "owner")
        changes = any(_olds.get(key) != _news.get(key) for key in transport)
        if self._credentials is None:  # a preview by somebody without the key pair
            declared = ("projectId", "moreAccessKeys")
            changes |= not _olds["letIn"] or any(_olds[key] != _news[key] for key in declared)
        else:
            let_in, own = fingerprints(self._principals(_news)), self._by(_news)
            if not replaces and _olds["letIn"]:
                self._refuse_a_rotation_that_locks_out(_olds, let_in, own)
            changes |= let_in != _olds["letIn"] or own != _olds["by"]
        return DiffResult(changes=bool(replaces) or changes, replaces=replaces)

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=props["bucket"], outs=self._locked(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        with self._reached(props, _HELP) as client:
            let_in = fingerprints(exempted(read_policy(client, id_), id_))
        return ReadResult(id_=id_, outs={**props, "letIn": let_in})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self._locked(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        with self._reached(_props, _HELP) as client:
            try:
                policy = read_policy(client, _id)
                if policy is not None and is_ours(policy):
                    client.delete_bucket_policy(Bucket=_id)
                elif policy is not None:
                    tell(f"bucket {_id} has a policy that this program did not write; it is left")
            except ClientError as error:
                if error_code(error) != "NoSuchBucket":
                    raise

    def _locked(self, props: dict[str, Any]) -> dict[str, Any]:
        """Locks the bucket unless it is; returns the outputs."""
        bucket = props["bucket"]
        with self._reached(props, _HELP) as client:
            keeper = read_owner(client, bucket)
            if keeper is not None and keeper.stack != props["owner"]:
                raise BucketError(
                    f"bucket {bucket} is kept by {keeper.stack}, and who may use it is declared "
                    "there: remove storage.lockdown here, and add this stack's access key to "
                    "storage.lockdown.moreAccessKeys there"
                )
            principals = self._principals(props)
            policy = lockdown_policy(bucket, principals)
            if not is_locked(client, bucket, policy):
                tell(f"bucket {bucket}: its lockdown is tried out and proven for some minutes")
                try:
                    with self._reached(props) as careful:
                        lock(careful, bucket, policy, principals[0])
                except BucketError as error:
                    outcome = _LEFT_OPEN if take_off(client, bucket) else _LEFT_LOCKED
                    raise BucketError(f"{error} {outcome}") from None
        return {**inputs_of(props), "letIn": fingerprints(principals), "by": self._by(props)}

    def _principals(self, props: dict[str, Any]) -> list[str]:
        """The keys that the policy lets in, as it names them; the stack's own is the first."""
        assert self._credentials is not None  # `reached` demands them
        keys = [self._credentials.access_key, *props["moreAccessKeys"]]
        return [principal(props["projectId"], key) for key in keys]

    def _by(self, props: dict[str, Any]) -> str:
        return fingerprints(self._principals(props)[:1])[0]

    def _refuse_a_rotation_that_locks_out(
        self, olds: dict[str, Any], let_in: list[str], own: str
    ) -> None:
        """Raises BucketError, in the preview already: a stack that is locked out cannot undo it."""
        if own not in olds["letIn"]:
            reason = for_stack(_NOT_LET_IN, self._stack)
            raise BucketError(f"bucket {olds['bucket']}: {reason}")
        if own != olds["by"] and olds["by"] not in let_in:
            raise BucketError(f"bucket {olds['bucket']}: {_STILL_IN_USE}")


class S3Lockdown(Resource, module="storage", name="S3Lockdown"):
    """The lockdown as a resource."""

    def __init__(
        self,
        name: str,
        *,
        bucket: pulumi.Input[str],
        location: BucketLocation,
        owner: str,
        project_id: str,
        more_access_keys: tuple[str, ...],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`bucket`: the name, known once the bucket is there. `location`: how it is reached.

        `owner`: this stack, as in the bucket's owner object. `more_access_keys` are let in beside
        the stack's own.
        """
        super().__init__(
            S3LockdownProvider(),
            name,
            {
                **location_props(location),
                "bucket": bucket,
                "owner": owner,
                "projectId": project_id,
                "moreAccessKeys": list(more_access_keys),
                "letIn": None,
                "by": None,
            },
            opts,
        )
