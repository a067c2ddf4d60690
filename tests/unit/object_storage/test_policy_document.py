"""The policy of a lockdown, and which policies are taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.object_storage.s3.policy_document import (
    exempted,
    fingerprints,
    is_ours,
    lockdown_policy,
    parsed,
    principal,
    with_trial,
)

BUCKET = "omantel-harbor"
OWN = principal("1234567", "OWNACCESSKEY00000001")
OTHER = principal("1234567", "OTHERACCESSKEY000002")


def test_everything_is_denied_to_everybody_but_those_named() -> None:
    assert lockdown_policy(BUCKET, [OWN, OTHER, OWN]) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "SovereignHarborLockdown",
                "Effect": "Deny",
                "NotPrincipal": {
                    "AWS": [
                        "arn:aws:iam:::user/p1234567:OTHERACCESSKEY000002",
                        "arn:aws:iam:::user/p1234567:OWNACCESSKEY00000001",
                    ]
                },
                "Action": ["s3:*"],
                "Resource": ["arn:aws:s3:::omantel-harbor", "arn:aws:s3:::omantel-harbor/*"],
            }
        ],
    }


@pytest.mark.parametrize(
    "policy", [lockdown_policy(BUCKET, [OWN]), with_trial(None, BUCKET, "trial", OWN)]
)
def test_no_action_is_named_that_the_vendor_refuses_or_ignores(policy: dict[str, Any]) -> None:
    text = json.dumps(policy)
    for word in ("NotAction", "PutEncryptionConfiguration", "PutBucketOwnershipControls"):
        assert word not in text


def test_the_trial_takes_one_object_from_one_key_and_nothing_else() -> None:
    (statement,) = with_trial(None, BUCKET, ".sovereign-harbor/trial", OWN)["Statement"]
    assert statement["Principal"] == {"AWS": [OWN]}
    assert statement["Action"] == ["s3:GetObject"]
    assert statement["Resource"] == [f"arn:aws:s3:::{BUCKET}/.sovereign-harbor/trial"]
    assert "NotPrincipal" not in statement, "it could lock out somebody"


def test_the_trial_stands_beside_what_is_in_force_and_only_once() -> None:
    locked = lockdown_policy(BUCKET, [OTHER])
    tried = with_trial(locked, BUCKET, "trial", OWN)
    assert tried["Statement"][0] == locked["Statement"][0]
    assert len(tried["Statement"]) == 2
    assert with_trial(tried, BUCKET, "trial", OWN) == tried


LOCKDOWN = lockdown_policy(BUCKET, [OWN])
(STATEMENT,) = LOCKDOWN["Statement"]


def policy_of(**changes: Any) -> dict[str, Any]:
    return {**LOCKDOWN, "Statement": [{**STATEMENT, **changes}]}


@pytest.mark.parametrize(
    "told",
    [
        LOCKDOWN,
        policy_of(NotPrincipal={"AWS": OWN}),
        policy_of(Action="s3:*"),
        policy_of(Resource=STATEMENT["Resource"][::-1]),
        {**LOCKDOWN, "Statement": STATEMENT},
    ],
    ids=["same", "one principal", "one action", "other order", "one statement"],
)
def test_other_spellings_are_the_same_policy(told: dict[str, Any]) -> None:
    policy = parsed(json.dumps(told))
    assert policy == LOCKDOWN
    assert exempted(policy, BUCKET) == [OWN]


@pytest.mark.parametrize(
    "told",
    [
        policy_of(Effect="Allow"),
        policy_of(Action=["s3:GetObject"]),
        policy_of(Resource=[f"arn:aws:s3:::{BUCKET}/*"]),
        policy_of(Resource=["arn:aws:s3:::other", "arn:aws:s3:::other/*"]),
        policy_of(Condition={"Bool": {"aws:SecureTransport": "false"}}),
        policy_of(NotPrincipal="*"),
        {**LOCKDOWN, "Statement": [STATEMENT, STATEMENT]},
        {**LOCKDOWN, "Statement": []},
        {"Version": "2008-10-17", "Statement": [STATEMENT]},
        with_trial(LOCKDOWN, BUCKET, "trial", OWN),
        with_trial(None, BUCKET, "trial", OWN),
    ],
    ids=str,
)
def test_what_does_anything_else_lets_nobody_in_as_far_as_we_are_concerned(
    told: dict[str, Any],
) -> None:
    assert exempted(parsed(json.dumps(told)), BUCKET) == []


def test_no_policy_lets_nobody_in_in_particular() -> None:
    assert exempted(None, BUCKET) == []


@pytest.mark.parametrize(
    ("sids", "ours"),
    [
        (["SovereignHarborLockdown"], True),
        (["SovereignHarborTrial"], True),
        (["SovereignHarborLockdown", "SovereignHarborTrial"], True),
        (["PublicRead"], False),
        ([None], False),
        (["SovereignHarborLockdown", "PublicRead"], False),
    ],
)
def test_a_policy_is_ours_when_all_of_it_is(sids: list[str | None], ours: bool) -> None:
    statements = [{"Sid": sid} if sid else {} for sid in sids]
    assert is_ours(parsed(json.dumps({"Statement": statements}))) is ours


def test_fingerprints_show_no_key_and_tell_keys_and_projects_apart() -> None:
    digests = fingerprints([OWN, OTHER, OWN])
    assert len(digests) == 2
    assert digests == fingerprints([OTHER, OWN])
    assert "ACCESSKEY" not in str(digests)
    assert fingerprints([principal("7654321", "OWNACCESSKEY00000001")])[0] not in digests
