"""Several stacks in one bucket: one keeps it, each has a directory that is marked as its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.object_storage.s3.contents import OWNER_KEY, owner_key
from components.object_storage.s3.errors import BucketError
from tests.support.faulty_store import Fault, Store, calm, on

OMANTEL = "sovereign-harbor/omantel"
OTECH = "sovereign-harbor/otech"


def theirs(store: Store, bucket: str, **changes: Any) -> dict[str, Any]:
    """The inputs of another stack that shares the bucket."""
    changes = {"rootDirectory": "otech", "adopt": True, **changes}
    return store.inputs(bucket, owner=OTECH, **changes)


def owners(store: Store, bucket: str) -> dict[str, str]:
    """Mark → the stack that it names."""
    return {
        key: json.loads(store.s3.get_object(Bucket=bucket, Key=key)["Body"].read())["owner"]
        for key in store.keys(bucket)
        if key.endswith("owner.json")
    }


def put(store: Store, bucket: str, key: str) -> None:
    store.s3.put_object(Bucket=bucket, Key=key, Body=b"layer")


@pytest.mark.parametrize(
    ("root", "key"),
    [
        ("", ".sovereign-harbor/owner.json"),
        ("/", ".sovereign-harbor/owner.json"),
        ("images", "images/.sovereign-harbor/owner.json"),
        ("/images/v2/", "images/v2/.sovereign-harbor/owner.json"),
    ],
)
def test_the_mark_lies_in_the_directory_as_the_registry_reads_it(root: str, key: str) -> None:
    assert owner_key(root) == key


def test_a_directory_of_one_s_own_is_marked_beside_the_bucket(store: Store, bucket: str) -> None:
    props = store.inputs(bucket, rootDirectory="omantel")
    state = store.create(props)
    assert owners(store, bucket) == {
        OWNER_KEY: OMANTEL,
        "omantel/.sovereign-harbor/owner.json": OMANTEL,
    }
    assert store.read(state) == state
    assert not store.differs(state, props)


@pytest.mark.parametrize("root", ["", "omantel"])
def test_a_second_stack_shares_the_bucket_and_takes_nothing_from_the_first(
    store: Store, bucket: str, root: str
) -> None:
    ours = store.inputs(bucket, rootDirectory=root)
    first = store.create(ours)
    store.proxy.seen.clear()
    second = store.create(theirs(store, bucket))
    touched = {seen.path.partition("?")[0] for seen in store.proxy.seen if seen.method != "GET"}
    assert touched == {f"/{bucket}/otech/.sovereign-harbor/owner.json"}
    assert owners(store, bucket)[OWNER_KEY] == OMANTEL
    for state, props in ((first, ours), (second, theirs(store, bucket))):
        refreshed = store.read(state)
        assert refreshed == state
        assert not store.differs(refreshed, props)
    assert (first["keeps"], second["keeps"]) == (True, False)


@pytest.mark.parametrize(
    "changes", [{"rootDirectory": ""}, {"adopt": False}, {"rootDirectory": "/"}], ids=str
)
def test_a_bucket_is_shared_only_when_asked_and_in_a_directory(
    store: Store, bucket: str, changes: dict[str, Any]
) -> None:
    store.create(store.inputs(bucket))
    with pytest.raises(BucketError) as refused:
        store.create(theirs(store, bucket, **changes))
    for part in (
        f"belongs to {OMANTEL}",
        "pulumi config set --path 'storage.adopt' true",
        "pulumi config set --path 'storage.rootDirectory' <name>",
        OWNER_KEY,
    ):
        assert part in str(refused.value)
    assert owners(store, bucket) == {OWNER_KEY: OMANTEL}


def test_a_directory_of_another_stack_is_refused(store: Store, bucket: str) -> None:
    store.create(store.inputs(bucket, rootDirectory="images"))
    with pytest.raises(BucketError, match=f"directory images .* belongs to {OMANTEL}"):
        store.create(theirs(store, bucket, rootDirectory="images"))
    state = store.create(theirs(store, bucket))
    with pytest.raises(BucketError, match=f"directory images .* belongs to {OMANTEL}"):
        store.update(state, theirs(store, bucket, rootDirectory="images"))


def test_the_first_stack_does_not_move_into_the_directory_of_the_second(
    store: Store, bucket: str
) -> None:
    state = store.create(store.inputs(bucket))
    store.create(theirs(store, bucket))
    with pytest.raises(BucketError, match=f"directory otech .* belongs to {OTECH}"):
        store.update(state, store.inputs(bucket, rootDirectory="otech"))


def test_who_does_not_keep_the_bucket_is_told_what_is_not_as_declared(
    store: Store, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store.create(store.inputs(bucket))
    store.create(theirs(store, bucket, versioning=False, tags={}))
    told = capfd.readouterr().err
    assert "the stack that keeps it decides on versioning, lifecycle, tags" in told
    assert store.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_who_agrees_with_the_bucket_is_told_nothing(
    store: Store, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store.create(store.inputs(bucket))
    store.create(theirs(store, bucket))
    assert capfd.readouterr().err == ""


def test_what_the_keeper_changes_is_no_drift_of_the_others(store: Store, bucket: str) -> None:
    first = store.create(store.inputs(bucket))
    second = store.create(theirs(store, bucket))
    store.update(first, store.inputs(bucket, versioning=False, tags={}))
    assert not store.differs(store.read(second), theirs(store, bucket))


@pytest.mark.parametrize("mark", [OWNER_KEY, owner_key("otech")])
def test_a_mark_that_is_deleted_is_put_back_by_whose_it_is(
    store: Store, bucket: str, mark: str
) -> None:
    declared = {OMANTEL: store.inputs(bucket), OTECH: theirs(store, bucket)}
    states = {stack: store.create(props) for stack, props in declared.items()}
    before = owners(store, bucket)
    store.s3.delete_object(Bucket=bucket, Key=mark)
    for stack, props in declared.items():
        drifted = store.read(states[stack])
        assert store.differs(drifted, props) is (before[mark] == stack)
    # Whoever comes first: the keeper's mark is the keeper's.
    for stack in (OTECH, OMANTEL):
        assert store.update(store.read(states[stack]), declared[stack]) == states[stack]
    assert owners(store, bucket) == before


def test_sharing_goes_on_when_adoption_is_no_longer_said(store: Store, bucket: str) -> None:
    store.create(store.inputs(bucket))
    state = store.create(theirs(store, bucket))
    props = theirs(store, bucket, adopt=False, pathStyle=True)
    assert not store.differs(state, props)
    assert store.update(state, props)["keeps"] is False


def test_who_shares_may_not_spread_over_the_whole_bucket(store: Store, bucket: str) -> None:
    store.create(store.inputs(bucket, rootDirectory="omantel"))
    state = store.create(theirs(store, bucket))
    with pytest.raises(BucketError, match=f"belongs to {OMANTEL}"):
        store.update(state, theirs(store, bucket, rootDirectory=""))


def test_who_shares_a_bucket_that_nobody_keeps_any_more_may_have_all_of_it(
    store: Store, bucket: str
) -> None:
    store.create(store.inputs(bucket))
    state = store.create(theirs(store, bucket))
    store.s3.delete_object(Bucket=bucket, Key=OWNER_KEY)
    state = store.update(state, theirs(store, bucket, rootDirectory=""))
    assert state["keeps"] is True
    assert owners(store, bucket)[OWNER_KEY] == OTECH


def test_a_renamed_stack_keeps_its_directory(store: Store, bucket: str) -> None:
    store.create(store.inputs(bucket))
    state = store.create(theirs(store, bucket))
    renamed = theirs(store, bucket) | {"owner": "sovereign-harbor/renamed"}
    state = store.update(state, renamed)
    assert owners(store, bucket)[owner_key("otech")] == "sovereign-harbor/renamed"
    assert not store.differs(store.read(state), renamed)


# Deletion


def test_who_shares_leaves_without_touching_the_bucket(store: Store, bucket: str) -> None:
    first = store.create(store.inputs(bucket))
    second = store.create(theirs(store, bucket))
    put(store, bucket, "docker/registry/v2/blob")
    store.delete(second)
    assert store.keys(bucket) == {OWNER_KEY, "docker/registry/v2/blob"}
    assert store.read(first) == first


def test_who_shares_does_not_leave_images_behind_unasked(store: Store, bucket: str) -> None:
    store.create(store.inputs(bucket))
    second = store.create(theirs(store, bucket))
    put(store, bucket, "otech/docker/registry/v2/blob")
    with pytest.raises(BucketError, match="still holds objects"):
        store.delete(second)
    assert owners(store, bucket)[owner_key("otech")] == OTECH


def test_the_keeper_does_not_delete_a_bucket_that_others_share(store: Store, bucket: str) -> None:
    first = store.create(store.inputs(bucket, rootDirectory="omantel"))
    second = store.create(theirs(store, bucket))
    with pytest.raises(BucketError, match="still holds objects"):
        store.delete(first)
    assert store.read(second) == second
    store.delete(second)
    store.delete(first)
    assert bucket not in store.buckets()


# States of before


def as_of_0_1_0(state: dict[str, Any]) -> dict[str, Any]:
    """Neither the directory nor who keeps the bucket was written down."""
    return {key: state[key] for key in state if key not in ("rootDirectory", "keeps")}


def test_an_older_state_without_a_directory_needs_no_change(store: Store, bucket: str) -> None:
    props = store.inputs(bucket)
    state = as_of_0_1_0(store.create(props))
    assert store.read(state) == state
    assert not store.differs(state, props)


def test_an_older_state_with_a_directory_marks_it_and_keeps_the_bucket(
    store: Store, bucket: str
) -> None:
    state = as_of_0_1_0(store.create(store.inputs(bucket)))
    put(store, bucket, "images/docker/registry/v2/blob")
    props = store.inputs(bucket, rootDirectory="images")
    assert store.differs(state, props)
    state = store.update(state, props)
    assert owners(store, bucket) == {OWNER_KEY: OMANTEL, owner_key("images"): OMANTEL}
    assert state["keeps"] is True
    assert store.read(state) == state


# Moves


def test_a_directory_without_the_images_is_refused_even_after_consent(
    store: Store, bucket: str
) -> None:
    state = store.create(store.inputs(bucket))
    put(store, bucket, "docker/registry/v2/blob")
    props = store.inputs(bucket, rootDirectory="images")
    with pytest.raises(BucketError, match=r"its root and none in images: copy them first.*\.md"):
        store.update(state, props)
    put(store, bucket, "images/docker/registry/v2/blob")
    state = store.update(state, props)
    assert not store.differs(state, props)
    with pytest.raises(BucketError, match="in images and none in other"):
        store.update(state, store.inputs(bucket, rootDirectory="other"))


def test_a_directory_in_which_nothing_lies_yet_is_changed_at_will(
    store: Store, bucket: str
) -> None:
    state = store.create(store.inputs(bucket, rootDirectory="one"))
    state = store.update(state, store.inputs(bucket, rootDirectory="other"))
    assert store.read(state) == state


# Weather


@pytest.mark.parametrize("seed", range(2))
def test_sharing_gets_over_a_store_in_trouble(store: Store, bucket: str, seed: int) -> None:
    store.proxy.plan = store.storm(seed)
    first = store.create(store.inputs(bucket, rootDirectory="omantel"))
    second = store.create(theirs(store, bucket))
    store.delete(second)
    store.delete(first)
    store.proxy.plan = calm
    assert bucket not in store.buckets()
    assert len(store.proxy.injected) >= 15


def test_a_mark_that_cannot_be_read_is_never_written_over(store: Store, bucket: str) -> None:
    store.create(store.inputs(bucket, rootDirectory="images"))
    marked = owners(store, bucket)

    def plan(seen: Any) -> Fault | None:
        is_mark = seen.path.endswith("/images/.sovereign-harbor/owner.json")
        return Fault(status=403, code="AccessDenied") if is_mark else None

    store.proxy.plan = plan
    with pytest.raises(BucketError, match="AccessDenied"):
        store.create(theirs(store, bucket, rootDirectory="images"))
    assert owners(store, bucket) == marked


def test_the_proof_of_a_key_uses_the_directory_that_the_registry_will_use(
    store: Store, bucket: str
) -> None:
    store.create(store.inputs(bucket))
    store.create(theirs(store, bucket))
    outside = Fault(status=403, code="AccessDenied")
    store.proxy.plan = lambda s: outside if s.path.startswith(f"/{bucket}/.sov") else None
    assert store.key_proof().create(theirs(store, bucket)).outs
    store.proxy.plan = on("GET list-type", outside)
    with pytest.raises(BucketError, match="ListObjectsV2 was answered AccessDenied"):
        store.key_proof().create(theirs(store, bucket))
