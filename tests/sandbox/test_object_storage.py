"""The bucket provider and the key proof against a real S3 gateway, in good and in bad weather."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator

import pytest

from components.object_storage.s3.client import S3Credentials
from components.object_storage.s3.contents import OWNER_KEY
from components.object_storage.s3.errors import BucketError
from components.object_storage.s3.policy import read_policy
from components.object_storage.s3.policy_document import lockdown_policy, principal
from engine.stack import Stack
from sandbox import processes, storage
from sandbox.state import REGION, State
from tests.sandbox.conftest import Sandbox
from tests.support.faulty_store import (
    FAULTS,
    Store,
    calm,
    dead_from,
    fresh,
    store_behind_proxy,
    whole_life,
)
from tests.support.sandbox import generations, unsealed
from toolchain.build import ensure

_names = (f"bucket-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """versitygw alone, in a folder of its own; ended by its process id."""
    state = State(tmp_path_factory.mktemp("object-storage"))
    tools = ensure(["versitygw"], report=lambda _: None)
    endpoint = storage.start(state, tools)
    kept = state.credentials()
    credentials = S3Credentials(access_key=kept["s3AccessKey"], secret_key=kept["s3SecretKey"])
    try:
        with store_behind_proxy(endpoint, credentials, REGION) as store:
            yield store
    finally:
        running = processes.find(state, storage.NAME)
        assert running is not None
        processes.stop(state, running)


@pytest.fixture
def store(gateway: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    return fresh(gateway, monkeypatch)


@pytest.fixture
def bucket() -> str:
    return next(_names)


def test_the_gateway_lacks_lifecycle_rules_which_is_told_and_done_without(
    store: Store, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs = store.inputs(bucket)
    state = store.create(inputs)
    assert state["unsupported"] == ["lifecycle"]
    assert "does not offer lifecycle; the bucket works without" in capfd.readouterr().err
    assert store.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert not store.differs(store.read(state), inputs)


def test_a_bucket_lives_its_whole_life(store: Store, bucket: str) -> None:
    whole_life(store, bucket)


def test_a_whole_life_under_hundreds_of_faults_loses_and_orphans_nothing(store: Store) -> None:
    before = store.buckets()
    for seed in range(100, 106):
        store.proxy.plan = store.storm(seed)
        whole_life(store, next(_names))
    assert len(store.proxy.injected) >= 200
    assert set(store.proxy.injected) == set(FAULTS)
    assert store.buckets() == before


@pytest.mark.parametrize("executed", [False, True], ids=["before", "after"])
def test_killed_at_any_call_the_next_creation_ends_in_the_same_state(
    store: Store, executed: bool
) -> None:
    before = store.buckets()
    undisturbed = store.create(store.inputs(next(_names)))
    calls = len(store.proxy.seen)
    for call in range(1, calls + 1):
        bucket = next(_names)
        store.proxy.plan = dead_from(call, executed=executed)
        with pytest.raises(BucketError):
            store.create(store.inputs(bucket))
        store.proxy.plan = calm
        state = store.create(store.inputs(bucket))
        assert {**state, "bucket": "", "claim": ""} == {**undisturbed, "bucket": "", "claim": ""}
        assert store.keys(bucket) == {OWNER_KEY}
        store.delete(state)
    store.delete(undisturbed)
    assert store.buckets() == before


def test_data_of_others_is_adopted_only_when_asked_and_stays(store: Store, bucket: str) -> None:
    store.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    store.s3.put_object(Bucket=bucket, Key="precious", Body=b"data")
    with pytest.raises(BucketError, match="was not made by this stack"):
        store.create(store.inputs(bucket))
    state = store.create(store.inputs(bucket, adopt=True))
    assert store.s3.get_object(Bucket=bucket, Key="precious")["Body"].read() == b"data"
    with pytest.raises(BucketError, match="is not deleted"):
        store.delete(state)


def test_two_stacks_share_a_bucket_and_leave_it_one_after_the_other(
    store: Store, bucket: str
) -> None:
    ours = store.inputs(bucket)
    theirs = store.inputs(bucket, owner="sovereign-harbor/otech", rootDirectory="otech", adopt=True)
    first, second = store.create(ours), store.create(theirs)
    store.s3.put_object(Bucket=bucket, Key="docker/registry/v2/blob", Body=b"layer")
    assert (store.read(first), store.read(second)) == (first, second)
    assert not store.differs(first, ours) and not store.differs(second, theirs)
    with pytest.raises(BucketError, match="still holds objects"):
        store.delete(first)
    store.delete(second)
    assert store.read(first) == first
    store.empty(bucket)
    store.delete(first)
    assert bucket not in store.buckets()


def test_the_gateway_knows_no_such_names_of_keys_which_is_told_and_nothing_is_left(
    store: Store, bucket: str
) -> None:
    store.create(store.inputs(bucket))
    inputs = {**store.inputs(bucket), "projectId": "1234567", "moreAccessKeys": []}
    with pytest.raises(BucketError, match=r"MalformedPolicy.*The policy was taken off again"):
        store.lockdown().create(inputs)
    assert read_policy(store.s3, bucket) is None
    assert store.keys(bucket) == {OWNER_KEY}


def test_a_lockdown_reads_back_from_the_gateway_as_it_was_written(
    store: Store, bucket: str
) -> None:
    store.create(store.inputs(bucket))
    # Of the names in it the gateway knows none, so it means nothing there.
    policy = lockdown_policy(bucket, [principal("1234567", "NEXTACCESSKEY0000001")])
    store.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert read_policy(store.s3, bucket) == policy
    store.s3.delete_bucket_policy(Bucket=bucket)
    assert read_policy(store.s3, bucket) is None


def test_an_unfinished_upload_keeps_the_bucket_from_being_deleted(
    store: Store, bucket: str
) -> None:
    state = store.create(store.inputs(bucket))
    store.s3.create_multipart_upload(Bucket=bucket, Key="docker/blob")
    with pytest.raises(BucketError, match="unfinished uploads"):
        store.delete(state)
    store.empty(bucket)
    store.delete(state)
    assert bucket not in store.buckets()


@pytest.mark.parametrize("wrong", ["access key", "secret key"])
def test_a_wrong_key_pair_is_said_to_be_wrong_whatever_it_asks_for(
    store: Store, bucket: str, wrong: str
) -> None:
    state = store.create(store.inputs(bucket))
    right = store.credentials
    pair = (
        S3Credentials(access_key="NOBODYSACCESSKEY01", secret_key=right.secret_key)
        if wrong == "access key"
        else S3Credentials(access_key=right.access_key, secret_key="nobodys" * 5)
    )
    provider, inputs = store.provider(pair), store.inputs(bucket)
    proof = store.key_proof().create(inputs).outs or {}
    for attempt in (
        lambda: provider.create(store.inputs("absent")),
        lambda: provider.read(bucket, state),
        lambda: provider.update(bucket, state, inputs),
        lambda: provider.delete(bucket, state),
        lambda: store.key_proof(pair).update(bucket, proof, inputs),
    ):
        with pytest.raises(BucketError, match="check s3AccessKey and s3SecretKey") as refused:
            attempt()
        assert right.access_key not in str(refused.value)
        assert right.secret_key not in str(refused.value)
    assert "absent" not in store.buckets()
    assert store.read(state) == state


# Rotation, by the engine


def test_a_bad_new_key_fails_up_and_changes_nothing(sandbox: Sandbox, sovereign: Stack) -> None:
    secrets_before, before = unsealed(sandbox), generations(sandbox)
    bad = sandbox.stack(SANDBOX_S3_SECRET_KEY="wrong" * 8)
    preview = bad.run("preview", "-s", bad.name)
    assert "error" not in preview.text, "a preview contacts no store"
    refused = bad.run("up", "-s", bad.name, "--yes", "--skip-preview", check=False)
    assert refused.code != 0
    assert "check s3AccessKey and s3SecretKey" in refused.text
    assert "Nothing was sealed with this key pair" in refused.text
    assert "wrong" * 8 not in preview.text + refused.text
    assert unsealed(sandbox) == secrets_before
    assert generations(sandbox) == before
    sovereign.up(expect_no_changes=True)


@contextlib.contextmanager
def other_keys(sandbox: Sandbox) -> Iterator[Stack]:
    """The gateway takes another key pair, and only that one, for a while."""
    kept = sandbox.state.credentials()
    new = {"s3AccessKey": "ROTATEDACCESSKEY01", "s3SecretKey": "rotated" * 6}

    def restart(credentials: dict[str, str]) -> None:
        running = processes.find(sandbox.state, storage.NAME)
        assert running is not None
        processes.stop(sandbox.state, running)
        sandbox.state.save("credentials.json", credentials)
        storage.start(sandbox.state, sandbox.tools)

    restart(new)
    try:
        yield sandbox.stack(
            SANDBOX_S3_ACCESS_KEY=new["s3AccessKey"], SANDBOX_S3_SECRET_KEY=new["s3SecretKey"]
        )
    finally:
        restart(kept)


def test_a_good_new_key_reaches_both_secrets_and_restarts_the_registry_alone(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    secrets_before, before = unsealed(sandbox), generations(sandbox)
    with other_keys(sandbox) as rotated:
        rotated.up()
        secrets_after, after = unsealed(sandbox), generations(sandbox)
        rotated.up(expect_no_changes=True)
    changed = {name for name in secrets_after if secrets_after[name] != secrets_before[name]}
    assert changed == {"object-storage", "harbor-objectstorage-credentials"}
    assert secrets_after["object-storage"]["s3-access-key"] == "ROTATEDACCESSKEY01"
    restarted = {name for name in after if after[name] != before[name]}
    assert restarted == {"Deployment/harbor-registry"}
    sovereign.up()
    assert unsealed(sandbox) == secrets_before
