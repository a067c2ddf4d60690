"""Puts a lockdown on a bucket and takes it off, without locking out the key that does it.

Only the vendor's support could take off a policy that does not let this key in. So the key is first
shown to work. Then a trial, which cannot lock anybody out, shows that the policy names the key
rightly. Then the policy is written and read back, and the key is used for about a minute, which is
how long a policy takes to reach all gateways. If the key fails meanwhile, the policy is taken off
while some gateways still allow that.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from components.object_storage.s3.client import read_object
from components.object_storage.s3.contents import OWN_PREFIX, delete_own
from components.object_storage.s3.errors import BucketError, error_code
from components.object_storage.s3.policy_document import (
    Policy,
    exempted,
    is_ours,
    parsed,
    with_trial,
)
from components.object_storage.s3.probe import probe

TRIAL_PAUSES = (5.0,) * 18
"""Seconds between looks at whether the trial is in force."""

PROOF_PAUSES = (0.0, 5.0, 10.0, 15.0, 15.0, 20.0)
"""Seconds before each use of the key under the new policy."""

REMOVAL_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 15.0)
"""Seconds before each try to take a policy off again: each may reach another gateway."""

_TRIAL = OWN_PREFIX + "lockdown-trial-"


def read_policy(client: Any, bucket: str) -> Policy | None:
    """The bucket's policy, None if it has none. Raises ClientError."""
    try:
        return parsed(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error_code(error) == "NoSuchBucketPolicy":
            return None
        raise


def is_locked(client: Any, bucket: str, policy: Policy) -> bool:
    """Whether `policy` is the bucket's already.

    Raises BucketError when the bucket has a policy that this program did not write, and ClientError
    when the key of `client` does not work.
    """
    current = read_policy(client, bucket)
    if current is not None and not is_ours(current):
        raise BucketError(
            f"bucket {bucket} has a policy that this program did not write, and it is left as it "
            "is. Take it off yourself if it is not needed (`aws s3api delete-bucket-policy`), or "
            "do without storage.lockdown."
        )
    probe(client, bucket)
    return current == policy


def lock(client: Any, bucket: str, policy: Policy, own: str) -> None:
    """Puts `policy`, in which `own` names the key of `client`, on the bucket.

    After any error the policy has to be taken off again. Raises ClientError, and BucketError when
    the trial is not in force or the policy does not read back.
    """
    current = read_policy(client, bucket)
    if own not in exempted(current, bucket):
        _try_out(client, bucket, current, own)
    _put(client, bucket, policy)
    for pause in PROOF_PAUSES:
        time.sleep(pause)
        probe(client, bucket)
    if read_policy(client, bucket) != policy:
        raise BucketError(f"bucket {bucket}: its policy does not read back as it was written.")


def take_off(client: Any, bucket: str) -> bool:
    """Removes the policy after a failure; whether that worked."""
    for pause in REMOVAL_PAUSES:
        time.sleep(pause)
        with contextlib.suppress(ClientError, BotoCoreError):
            client.delete_bucket_policy(Bucket=bucket)
            return True
    return False


def _try_out(client: Any, bucket: str, current: Policy | None, own: str) -> None:
    key = _TRIAL + secrets.token_hex(8)  # a policy may still deny the key of an interrupted trial
    client.put_object(Bucket=bucket, Key=key, Body=b"")
    try:
        read_object(client, bucket, key)
        _put(client, bucket, with_trial(current, bucket, key, own))
        for pause in TRIAL_PAUSES:
            time.sleep(pause)
            try:
                read_object(client, bucket, key)
            except ClientError as error:
                if error_code(error) == "AccessDenied":
                    return
                raise
    finally:
        with contextlib.suppress(ClientError, BotoCoreError):
            delete_own(client, bucket, _TRIAL)
    raise BucketError(
        f"bucket {bucket}: a policy that denies one object to this key was not in force after "
        f"{sum(TRIAL_PAUSES):.0f} seconds. Either storage.lockdown.projectId is not the project of "
        "this key, and a lockdown would lock out everybody, or the store does not enforce policies."
    )


def _put(client: Any, bucket: str, policy: Policy) -> None:
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
