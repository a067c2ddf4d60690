"""The policy that denies a bucket to every key that it does not name. Pure.

Keys of a Hetzner project reach each of its buckets, and a policy that allows takes nothing away:
only Deny does. A key is named `arn:aws:iam:::user/p<project>:<access key>`; in AWS's own form it
silently names nobody, and the policy then locks out everybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from components.parsed import json_of

Policy = dict[str, Any]

_LOCKDOWN = "SovereignHarborLockdown"
_TRIAL = "SovereignHarborTrial"
_LISTS = ("Action", "Resource")
_WHOM = ("Principal", "NotPrincipal")


def principal(project_id: str, access_key: str) -> str:
    """How a policy names a key."""
    return f"arn:aws:iam:::user/p{project_id}:{access_key}"


def lockdown_policy(bucket: str, principals: Iterable[str]) -> Policy:
    """Denies everything to everybody but `principals`.

    The action is s3:* since Hetzner ignores NotAction and answers ServiceUnavailable to policies
    that name some single actions.
    """
    statement = {
        "Sid": _LOCKDOWN,
        "Effect": "Deny",
        "NotPrincipal": {"AWS": sorted(set(principals))},
        "Action": ["s3:*"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def with_trial(policy: Policy | None, bucket: str, key: str, named: str) -> Policy:
    """`policy`, and a statement by which `named` may not read one object.

    A key that is denied that object is the one that `named` stands for, and policies are in force.
    If `named` stands for no key, nobody loses anything.
    """
    statement = {
        "Sid": _TRIAL,
        "Effect": "Deny",
        "Principal": {"AWS": [named]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/{key}"],
    }
    kept = [s for s in policy["Statement"] if s["Sid"] != _TRIAL] if policy else []
    return {"Version": "2012-10-17", "Statement": [*kept, statement]}


def parsed(text: str) -> Policy:
    """A policy as a store returns it, in the spelling of this module: lists, sorted."""
    policy: Any = json_of(text)
    statements: list[Policy] = _as_list(policy.get("Statement", []))
    return {**policy, "Statement": [_spelled(statement) for statement in statements]}


def is_ours(policy: Policy) -> bool:
    """Whether this program wrote it, whoever may have changed it since."""
    return all(s.get("Sid") in (_LOCKDOWN, _TRIAL) for s in policy["Statement"])


def exempted(policy: Policy | None, bucket: str) -> list[str]:
    """The keys that `policy` lets in; none unless it is a lockdown of `bucket` and nothing else."""
    if policy is None or len(policy["Statement"]) != 1:
        return []
    whom: dict[str, list[str]] = policy["Statement"][0].get("NotPrincipal", {})
    named = whom.get("AWS", [])
    return named if policy == lockdown_policy(bucket, named) else []


def fingerprints(principals: Iterable[str]) -> list[str]:
    """A digest of each, sorted, for the state: a principal itself contains an access key.

    Access keys have 20 random characters, too many to guess from a digest.
    """
    return sorted({hashlib.sha256(name.encode()).hexdigest() for name in principals})


def _spelled(statement: Policy) -> Policy:
    lists = {key: sorted(_as_list(statement[key])) for key in _LISTS if key in statement}
    whom = {key: _named(statement[key]) for key in _WHOM if key in statement}
    return {**statement, **lists, **whom}


def _named(whom: Any) -> dict[str, list[str]]:
    if whom == "*":
        return {"*": ["*"]}
    return {kind: sorted(_as_list(names)) for kind, names in whom.items()}


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownArgumentType]
