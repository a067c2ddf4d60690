"""The lockdown of a bucket, against moto behind a proxy that enforces policies as Hetzner does.

Neither moto nor the sandbox's gateway knows Hetzner's names of keys: what the real store makes of
the policy is the proxy's rendering of its documentation, not the store itself.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, NamedTuple

import pytest
from pulumi.dynamic import ConfigureRequest

from components.object_storage.s3 import policy as s3_policy
from components.object_storage.s3.client import S3Credentials
from components.object_storage.s3.errors import BucketError
from components.object_storage.s3.policy_document import fingerprints, lockdown_policy, principal
from components.object_storage.s3_lockdown import S3LockdownProvider
from tests.support.faulty_store import (
    CREDENTIALS,
    Enforcing,
    Fault,
    Seen,
    Store,
    calm,
    dead_from,
    state_after,
    through_engine,
)

PROJECT = "1234567"
NEXT = S3Credentials(access_key="NEXTACCESSKEY0000001", secret_key="n3xt" * 10)
DENIED = Fault(status=403, code="AccessDenied")


class RealPauses(NamedTuple):
    """As they are without `few_looks`."""

    trial: tuple[float, ...] = s3_policy.TRIAL_PAUSES
    proof: tuple[float, ...] = s3_policy.PROOF_PAUSES


REAL_PAUSES = RealPauses()


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minutes of the real thing, in fewer requests."""
    monkeypatch.setattr(s3_policy, "TRIAL_PAUSES", (30.0,) * 4)
    monkeypatch.setattr(s3_policy, "PROOF_PAUSES", (60.0,))


@pytest.fixture
def existing(store: Store, bucket: str) -> str:
    """A bucket of nobody known, which costs fewer requests than one of a stack."""
    where = {"LocationConstraint": store.region}
    store.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    return bucket


@pytest.fixture
def policies(store: Store, existing: str) -> Enforcing:
    """From here on the store enforces policies."""
    store.proxy.plan = enforcing = Enforcing(PROJECT)
    return enforcing


def inputs(store: Store, bucket: str, **changes: Any) -> dict[str, Any]:
    keys = ("bucket", "region", "endpoint", "pathStyle", "caBundle", "owner")
    basis = {key: store.inputs(bucket)[key] for key in keys}
    props = {**basis, "projectId": PROJECT, "moreAccessKeys": [], **changes}
    return through_engine({**props, "__provider": "pickled"})


def locked(
    store: Store, bucket: str, credentials: S3Credentials | None = None, **changes: Any
) -> dict[str, Any]:
    created = store.lockdown(credentials).create(inputs(store, bucket, **changes))
    return state_after(created.outs)


def as_locked(store: Store, bucket: str, *more: str) -> dict[str, Any]:
    """The state after `locked`, without a store; the same as a test below finds."""
    let_in = fingerprints(names(CREDENTIALS.access_key, *more))
    by = fingerprints(names(CREDENTIALS.access_key))[0]
    props = inputs(store, bucket, moreAccessKeys=list(more))
    return state_after({**props, "letIn": let_in, "by": by})


def in_force(store: Store, policies: Enforcing, bucket: str, *more: str) -> dict[str, Any]:
    """`as_locked`, and the store as it is then."""
    policies.written = lockdown_policy(bucket, names(CREDENTIALS.access_key, *more))
    return as_locked(store, bucket, *more)


def updated(
    store: Store, state: dict[str, Any], credentials: S3Credentials | None = None, **changes: Any
) -> dict[str, Any]:
    props = inputs(store, state["bucket"], **changes)
    provider = store.lockdown(credentials)
    assert provider.diff(state["bucket"], state, props).changes
    return state_after(provider.update(state["bucket"], state, props).outs)


def names(*keys: str) -> list[str]:
    return [principal(PROJECT, key) for key in keys]


def reaches(store: Store, bucket: str, credentials: S3Credentials) -> bool:
    try:
        store.key_proof(credentials).create(store.inputs(bucket))
    except BucketError as error:
        if "AccessDenied" not in str(error):
            raise
        return False
    return True


FOREIGN = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "PublicRead",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::any/*",
        }
    ],
}


# Locking


def test_only_the_stack_s_own_key_reaches_a_locked_bucket(
    store: Store, existing: str, policies: Enforcing
) -> None:
    assert reaches(store, existing, NEXT)
    state = locked(store, existing)
    assert policies.written == lockdown_policy(existing, names(CREDENTIALS.access_key))
    assert reaches(store, existing, CREDENTIALS)
    assert not reaches(store, existing, NEXT)
    assert state["letIn"] == fingerprints(names(CREDENTIALS.access_key))
    assert store.keys(existing) == set(), "neither probe nor trial stays behind"


def test_keys_that_are_listed_reach_it_too(
    store: Store, existing: str, policies: Enforcing
) -> None:
    locked(store, existing, moreAccessKeys=[NEXT.access_key])
    assert reaches(store, existing, CREDENTIALS)
    assert reaches(store, existing, NEXT)


def test_the_key_is_used_before_and_after_and_the_policy_read_back(
    store: Store, existing: str, policies: Enforcing
) -> None:
    locked(store, existing)
    calls = [seen.what for seen in store.proxy.seen]
    first, second = (n for n, call in enumerate(calls) if call == "PUT policy")

    def probes(part: list[str]) -> int:
        return sum(call.startswith("PUT probe-") for call in part)

    assert probes(calls[:first]) == 1
    assert probes(calls[second:]) == len(s3_policy.PROOF_PAUSES)
    assert calls[-1] == "GET policy"
    assert sum(store.pauses) >= 60, "as long as a policy takes to reach all gateways"


def test_the_real_pauses_outlast_a_policy_s_way_to_all_gateways() -> None:
    assert sum(REAL_PAUSES.proof) > 60
    assert sum(REAL_PAUSES.trial) >= 90


@pytest.mark.parametrize("lag", [1, 3])
def test_a_policy_that_takes_a_while_is_waited_for(store: Store, existing: str, lag: int) -> None:
    store.proxy.plan = Enforcing(PROJECT, lag=lag)
    locked(store, existing)
    assert reaches(store, existing, CREDENTIALS)
    assert not reaches(store, existing, NEXT)


def test_locking_again_writes_nothing(store: Store, existing: str, policies: Enforcing) -> None:
    state = in_force(store, policies, existing)
    store.proxy.seen.clear()
    assert locked(store, existing) == state
    assert "PUT policy" not in {seen.what for seen in store.proxy.seen}


# What could lock out everybody


def test_the_wrong_project_is_found_out_before_anybody_is_locked_out(
    store: Store, existing: str, policies: Enforcing
) -> None:
    with pytest.raises(BucketError) as refused:
        locked(store, existing, projectId="7654321")
    assert "storage.lockdown.projectId is not the project of this key" in str(refused.value)
    assert "The policy was taken off again" in str(refused.value)
    put = [json.loads(s.body) for s in store.proxy.seen if s.what == "PUT policy"]
    assert not any("NotPrincipal" in statement for p in put for statement in p["Statement"])
    assert policies.written is None
    assert reaches(store, existing, CREDENTIALS)
    assert store.keys(existing) == set()


def test_a_store_that_enforces_no_policies_gets_none(
    store: Store, existing: str, policies: Enforcing
) -> None:
    store.proxy.plan = policies = Enforcing(PROJECT, lag=1000)
    with pytest.raises(BucketError, match="or the store does not enforce policies"):
        locked(store, existing)
    assert policies.written is None


def test_a_key_that_does_not_work_touches_nothing(
    store: Store, existing: str, policies: Enforcing
) -> None:
    store.proxy.plan = lambda s: DENIED if s.method == "PUT" and "/probe-" in s.path else None
    with pytest.raises(BucketError, match="PutObject was answered AccessDenied"):
        locked(store, existing)
    assert "PUT policy" not in {seen.what for seen in store.proxy.seen}


def once_locked(policies: Enforcing, plan: Any) -> Any:
    """`plan`, from when the lockdown itself is written."""

    def later(seen: Seen) -> Fault | None:
        is_locked = policies.written is not None and "NotPrincipal" in str(policies.written)
        return plan(seen) if is_locked else None

    return later


@pytest.mark.parametrize("call", ["PUT probe-", "GET probe-", "DELETE probe-", "GET policy"])
def test_a_key_that_loses_its_access_gets_it_back_at_once(
    store: Store, existing: str, policies: Enforcing, call: str
) -> None:
    policies.plan = once_locked(
        policies, lambda seen: DENIED if seen.what.startswith(call) else None
    )
    with pytest.raises(BucketError, match=r"AccessDenied.*The policy was taken off again"):
        locked(store, existing)
    assert policies.written is None


def test_it_is_taken_off_as_long_as_any_gateway_still_allows_it(
    store: Store, existing: str, policies: Enforcing
) -> None:
    tries = 0

    def plan(seen: Seen) -> Fault | None:
        nonlocal tries
        tries += seen.what == "DELETE policy"
        return None if tries == len(s3_policy.REMOVAL_PAUSES) else DENIED

    policies.plan = once_locked(policies, plan)
    with pytest.raises(BucketError, match="The policy was taken off again"):
        locked(store, existing)
    assert policies.written is None


def test_a_policy_that_stays_is_said_to_stay(
    store: Store, existing: str, policies: Enforcing
) -> None:
    policies.plan = once_locked(policies, lambda _: DENIED)
    with pytest.raises(BucketError, match=r"could not be taken off.*lock-down-a-bucket\.md"):
        locked(store, existing)
    tries = [seen for seen in store.proxy.seen if seen.what == "DELETE policy"]
    assert len(tries) == len(s3_policy.REMOVAL_PAUSES)


def test_a_policy_that_reads_back_otherwise_is_taken_off(
    store: Store, existing: str, policies: Enforcing
) -> None:
    def plan(seen: Seen) -> None:
        if seen.what == "GET policy":
            keys = CREDENTIALS.access_key, "SOMEBODYELSE00000001"
            policies.written = lockdown_policy(existing, names(*keys))

    policies.plan = once_locked(policies, plan)
    with pytest.raises(BucketError, match="does not read back as it was written"):
        locked(store, existing)
    assert policies.written is None


# Broken off


@pytest.mark.parametrize("executed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("policy", ["trial", "lockdown"])
def test_killed_while_it_writes_a_policy_the_next_run_ends_in_the_same_state(
    store: Store, existing: str, policies: Enforcing, policy: str, executed: bool
) -> None:
    number = {"trial": 1, "lockdown": 2}[policy]
    dead, puts = dead_from(1, executed=executed), itertools.count(1)
    has_died = False

    def plan(seen: Seen) -> Fault | None:
        nonlocal has_died
        has_died = has_died or (seen.what == "PUT policy" and next(puts) == number)
        return dead(seen) if has_died else None

    policies.plan = plan
    with pytest.raises(BucketError):
        locked(store, existing)
    policies.plan = calm
    state = locked(store, existing)
    assert policies.written == lockdown_policy(existing, names(CREDENTIALS.access_key))
    assert reaches(store, existing, CREDENTIALS)
    assert state["letIn"] == fingerprints(names(CREDENTIALS.access_key))


@pytest.mark.parametrize("seed", range(2))
def test_a_lockdown_gets_over_a_store_in_trouble(
    store: Store, existing: str, policies: Enforcing, seed: int
) -> None:
    policies.plan = store.storm(seed, share=0.3)
    state = locked(store, existing)
    state = updated(store, state, moreAccessKeys=[NEXT.access_key])
    assert len(store.proxy.injected) >= 10
    policies.plan = calm
    assert reaches(store, existing, NEXT)
    store.lockdown().delete(existing, state)
    assert policies.written is None


# Policies of others


def test_a_policy_of_others_is_neither_replaced_nor_taken_off(
    store: Store, existing: str, policies: Enforcing, capfd: pytest.CaptureFixture[str]
) -> None:
    policies.written = FOREIGN
    with pytest.raises(BucketError, match="has a policy that this program did not write"):
        locked(store, existing)
    assert policies.written == FOREIGN
    state = state_after({**inputs(store, existing), "letIn": [], "by": ""})
    store.lockdown().delete(existing, state)
    assert "did not write; it is left" in capfd.readouterr().err
    assert policies.written == FOREIGN


def test_a_bucket_that_another_stack_keeps_is_not_locked(
    store: Store, existing: str, policies: Enforcing
) -> None:
    store.create(store.inputs(existing, adopt=True))
    with pytest.raises(BucketError, match=r"kept by sovereign-harbor/omantel.*moreAccessKeys"):
        locked(store, existing, owner="sovereign-harbor/otech")
    assert policies.written is None


# As declared


@pytest.mark.parametrize("drift", ["removed", "widened", "replaced"])
def test_drift_is_found_by_a_refresh_and_healed_by_the_next_update(
    store: Store, existing: str, policies: Enforcing, drift: str
) -> None:
    state = in_force(store, policies, existing)
    if drift == "removed":
        policies.written = None
    else:
        keys = [CREDENTIALS.access_key, "SOMEBODYELSE00000001"]
        policy = lockdown_policy(existing, names(*keys))
        if drift == "replaced":
            policy["Statement"][0]["Action"] = ["s3:DeleteObject"]
        policies.written = policy
    provider = store.lockdown()
    drifted = state_after(provider.read(existing, state).outs)
    assert drifted["letIn"] != state["letIn"]
    assert updated(store, drifted) == state
    assert policies.written == lockdown_policy(existing, names(CREDENTIALS.access_key))


def test_a_refresh_without_drift_changes_nothing(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = in_force(store, policies, existing)
    assert state_after(store.lockdown().read(existing, state).outs) == state
    assert not store.lockdown().diff(existing, state, inputs(store, existing)).changes


def test_a_refresh_by_a_key_that_is_locked_out_names_who_can_help(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = in_force(store, policies, existing)
    with pytest.raises(BucketError, match=r"AccessDenied.*lock-down-a-bucket\.md"):
        store.lockdown(NEXT).read(existing, state)


def test_taking_it_off_lets_everybody_in_again(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = in_force(store, policies, existing)
    store.lockdown().delete(existing, state)
    assert policies.written is None
    assert reaches(store, existing, NEXT)
    store.lockdown().delete(existing, state)  # once more is no error


def test_taking_it_off_a_bucket_that_is_gone_is_no_error(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = state_after({**inputs(store, "gone"), "letIn": [], "by": ""})
    store.lockdown().delete("gone", state)


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"bucket": "another"}, ["bucket"]),
        ({"projectId": "7654321", "letIn": []}, []),
        ({"owner": "sovereign-harbor/renamed"}, []),
        ({"pathStyle": False}, []),
    ],
    ids=str,
)
def test_what_is_another_lockdown_and_what_changes_this_one(
    store: Store, existing: str, policies: Enforcing, change: dict[str, Any], replaces: list[str]
) -> None:
    state = as_locked(store, existing)
    state["letIn"] = change.pop("letIn", state["letIn"])
    result = store.lockdown().diff(existing, state, {**inputs(store, existing), **change})
    assert (result.changes, result.replaces) == (True, replaces)


def test_check_fills_in_what_the_engine_leaves_out(store: Store) -> None:
    checked = store.lockdown().check({}, {"bucket": "b"})
    assert (checked.inputs, checked.failures) == ({"bucket": "b", "moreAccessKeys": []}, [])


# Rotation: no store is asked in a preview


def test_the_state_shows_no_key_and_is_what_the_tests_start_from(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = locked(store, existing, moreAccessKeys=[NEXT.access_key])
    assert state == as_locked(store, existing, NEXT.access_key)
    assert CREDENTIALS.access_key not in str(state)
    assert CREDENTIALS.secret_key not in str(state)


def test_a_new_key_pair_that_is_not_let_in_is_refused_in_preview(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = as_locked(store, existing)
    with pytest.raises(BucketError) as refused:
        store.lockdown(NEXT).diff(existing, state, inputs(store, existing))
    assert "does not let this key pair in" in str(refused.value)
    assert "storage.lockdown.moreAccessKeys" in str(refused.value)
    assert NEXT.access_key not in str(refused.value)
    assert store.proxy.seen == []


def test_the_key_pair_before_is_not_shut_out_while_harbor_uses_it(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = as_locked(store, existing, NEXT.access_key)
    for more in ([], [NEXT.access_key]):
        with pytest.raises(BucketError, match="would be shut out while Harbor still uses it"):
            store.lockdown(NEXT).diff(existing, state, inputs(store, existing, moreAccessKeys=more))


def test_a_rotation_in_three_runs_never_shuts_anybody_out(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = in_force(store, policies, existing)
    state = updated(store, state, moreAccessKeys=[NEXT.access_key])
    assert reaches(store, existing, NEXT)
    state = updated(store, state, NEXT, moreAccessKeys=[CREDENTIALS.access_key])
    assert reaches(store, existing, CREDENTIALS), "Harbor has it until its pods are new"
    state = updated(store, state, NEXT)
    assert policies.written == lockdown_policy(existing, names(NEXT.access_key))
    assert not reaches(store, existing, CREDENTIALS)
    assert not store.lockdown(NEXT).diff(existing, state, inputs(store, existing)).changes


def test_a_lockdown_that_is_in_force_is_not_lifted_for_a_trial(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = in_force(store, policies, existing)
    store.proxy.seen.clear()
    updated(store, state, moreAccessKeys=[NEXT.access_key])
    put = [json.loads(seen.body) for seen in store.proxy.seen if seen.what == "PUT policy"]
    assert len(put) == 1, "the policy in force shows already that the name is right"
    assert "DELETE policy" not in {seen.what for seen in store.proxy.seen}


def test_after_an_emergency_a_new_key_pair_locks_the_bucket_again(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state = in_force(store, policies, existing)
    policies.written = None
    drifted = state_after(store.lockdown(NEXT).read(existing, state).outs)
    updated(store, drifted, NEXT)
    assert not reaches(store, existing, CREDENTIALS)


def test_a_preview_without_keys_compares_what_is_declared(
    store: Store, existing: str, policies: Enforcing
) -> None:
    state, provider = as_locked(store, existing), S3LockdownProvider()
    provider.configure(ConfigureRequest({}))  # type: ignore[arg-type]
    assert not provider.diff(existing, state, inputs(store, existing)).changes
    more = inputs(store, existing, moreAccessKeys=[NEXT.access_key])
    assert provider.diff(existing, state, more).changes
    assert provider.diff(existing, {**state, "letIn": []}, inputs(store, existing)).changes


def test_a_proof_of_a_key_that_is_locked_out_names_the_lockdown(
    store: Store, existing: str, policies: Enforcing
) -> None:
    in_force(store, policies, existing)
    for lockdown in (True, False):
        props = store.inputs(existing, lockdown=lockdown)
        with pytest.raises(BucketError, match="AccessDenied") as failed:
            store.key_proof(NEXT).create(props)
        assert ("storage.lockdown is on" in str(failed.value)) is lockdown
        assert "Nothing was sealed with this key pair" in str(failed.value)


def test_no_error_shows_a_key_even_if_the_store_repeats_it(
    store: Store, existing: str, policies: Enforcing
) -> None:
    keys = f"{CREDENTIALS.access_key} and {CREDENTIALS.secret_key}"
    repeated = Fault(status=403, code="AccessDenied", message=f"no: {keys}")
    policies.plan = once_locked(policies, lambda _: repeated)
    with pytest.raises(BucketError) as failed:
        locked(store, existing)
    assert "<hidden>" in str(failed.value)
    for key in (CREDENTIALS.access_key, CREDENTIALS.secret_key):
        assert key not in str(failed.value)
