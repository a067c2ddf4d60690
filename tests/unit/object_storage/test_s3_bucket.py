"""The bucket provider and the key proof against moto, through a proxy that fails on demand."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import traceback
from typing import Any

import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.dynamic import serialize_provider

from components.object_storage import s3_bucket
from components.object_storage.key_proof import KeyProofProvider
from components.object_storage.location import BucketLocation
from components.object_storage.s3 import client as s3_client
from components.object_storage.s3.client import ATTEMPTS, S3Credentials
from components.object_storage.s3.contents import OWNER_KEY
from components.object_storage.s3.errors import BucketError
from components.object_storage.s3.features import declared
from components.object_storage.s3_bucket import S3BucketProvider
from components.object_storage.s3_lockdown import S3LockdownProvider
from tests.support.faulty_store import (
    CREDENTIALS,
    Fault,
    Seen,
    Store,
    calm,
    configured,
    dead_from,
    on,
    state_after,
    store_behind_proxy,
    whole_life,
)

STRANGER = "sovereign-harbor/otech"
LATER = dt.timedelta(hours=-1)
"""As INTERRUPTED_CREATE_WINDOW: no bucket is young enough to be an interrupted creation."""

_names = (f"bucket-of-its-own-{number}" for number in itertools.count())


def make_foreign(store: Store, bucket: str, *, owner: str | None = None) -> None:
    """A bucket that this stack did not make, with one object in it."""
    where = {"LocationConstraint": store.region}
    store.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    store.s3.put_object(Bucket=bucket, Key="precious", Body=b"data")
    if owner:
        text = json.dumps({"owner": owner, "claim": "theirs"}).encode()
        store.s3.put_object(Bucket=bucket, Key=OWNER_KEY, Body=text)


def take_over(store: Store, bucket: str) -> dict[str, Any]:
    """Another stack takes the bucket as somebody is told to who is sure that this one is gone."""
    store.s3.delete_object(Bucket=bucket, Key=OWNER_KEY)
    return store.create(store.inputs(bucket, owner=STRANGER, adopt=True))


def owner_of(store: Store, bucket: str) -> str:
    return json.loads(store.s3.get_object(Bucket=bucket, Key=OWNER_KEY)["Body"].read())["owner"]


def world(store: Store, bucket: str) -> dict[str, Any]:
    """All that can be seen of a bucket."""
    rules = store.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return {
        "versioning": store.s3.get_bucket_versioning(Bucket=bucket).get("Status"),
        "rules": sorted(rule["ID"] for rule in rules),
        "tags": store.s3.get_bucket_tagging(Bucket=bucket)["TagSet"],
        "keys": store.keys(bucket),
        "owner": owner_of(store, bucket),
    }


@pytest.fixture(scope="module")
def undisturbed(store_of_all: Store) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and looks of a bucket that was made in peace."""
    store_of_all.proxy.forget()
    bucket = next(_names)
    return store_of_all.create(store_of_all.inputs(bucket)), world(store_of_all, bucket)


# Creation


def test_a_bucket_is_made_with_versioning_lifecycle_tags_and_its_owner(
    store: Store, bucket: str
) -> None:
    state = store.create(store.inputs(bucket))
    assert world(store, bucket) == {
        "versioning": "Enabled",
        "rules": ["abort-incomplete-uploads", "expire-noncurrent-versions"],
        "tags": [{"Key": "team", "Value": "registry"}],
        "keys": {OWNER_KEY},
        "owner": "sovereign-harbor/omantel",
    }
    assert state["unsupported"] == []
    assert state["claimedBy"] == "sovereign-harbor/omantel"
    assert state["bucket"] == bucket


def test_numbers_reach_the_store_as_whole_numbers(store: Store, bucket: str) -> None:
    store.create(store.inputs(bucket, abortDays=7, noncurrentDays=14))
    sent = next(seen.body for seen in store.proxy.seen if seen.what == "PUT lifecycle")
    assert b"<DaysAfterInitiation>7</DaysAfterInitiation>" in sent
    assert b"<NoncurrentDays>14</NoncurrentDays>" in sent


def test_without_versioning_the_bucket_keeps_no_versions_and_needs_no_rule_for_them(
    store: Store, bucket: str
) -> None:
    state = store.create(store.inputs(bucket, versioning=False))
    seen = world(store, bucket)
    assert seen["versioning"] is None, "suspending what was never on is a third state"
    assert seen["rules"] == ["abort-incomplete-uploads"]
    assert store.read(state) == state


def test_every_request_is_path_style_and_no_checksum_trails(store: Store, bucket: str) -> None:
    whole_life(store, bucket)
    assert {seen.path.partition("?")[0].split("/")[1] for seen in store.proxy.seen} == {bucket}
    for seen in store.proxy.seen:
        names = {name.lower() for name in seen.headers}
        assert not names & {"x-amz-trailer", "x-amz-sdk-checksum-algorithm"}
        assert not any(name.startswith("x-amz-checksum-") for name in names)
        assert seen.headers.get("X-Amz-Content-SHA256", "")[:9] != "STREAMING"


def test_content_md5_is_sent_where_s3_demands_a_checksum(store: Store, bucket: str) -> None:
    store.create(store.inputs(bucket))
    with_md5 = {seen.what for seen in store.proxy.seen if "Content-MD5" in seen.headers}
    assert with_md5 == {"PUT versioning", "PUT lifecycle", "PUT tagging"}


def test_virtual_hosts_are_used_where_path_style_is_off() -> None:
    location = BucketLocation(
        bucket="b", region="fsn1", endpoint="https://s3.example.com", path_style=False
    )
    client = s3_client.s3_client(location, CREDENTIALS)
    try:
        url = client.generate_presigned_url("get_object", Params={"Bucket": "blobs", "Key": "k"})
    finally:
        client.close()
    assert url.startswith("https://blobs.s3.example.com/k")


def test_the_region_is_no_location_constraint_where_s3_refuses_it(moto: str, bucket: str) -> None:
    with store_behind_proxy(moto, CREDENTIALS, "us-east-1") as store:
        store.create(store.inputs(bucket))
        made = next(seen for seen in store.proxy.seen if seen.what == "PUT bucket")
        assert made.body == b""


def test_a_store_that_knows_no_such_constraint_gets_none(store: Store, bucket: str) -> None:
    refusal = Fault(status=400, code="InvalidLocationConstraint")
    store.proxy.plan = lambda seen: refusal if b"LocationConstraint" in seen.body else None
    with pytest.raises(BucketError, match="IllegalLocationConstraintException"):
        store.create(store.inputs(bucket))  # moto insists, but it was asked without
    bodies = [seen.body for seen in store.proxy.seen if seen.what == "PUT bucket"]
    assert len(bodies) == 2 and bodies[1] == b""


def test_profiles_of_whoever_runs_it_do_not_matter(
    store: Store, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nretry_mode = legacy\ns3 =\n  addressing_style = virtual\n")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    s3_client._session.cache_clear()
    store.create(store.inputs(bucket))
    assert world(store, bucket)["versioning"] == "Enabled"


def test_the_ca_bundle_is_a_file_of_its_owner_under_a_name_nobody_foresees() -> None:
    s3_client._ca_file.cache_clear()
    path = s3_client._ca_file("-----BEGIN CERTIFICATE-----")
    assert s3_client._ca_file("-----BEGIN CERTIFICATE-----") == path
    s3_client._ca_file.cache_clear()
    assert s3_client._ca_file("-----BEGIN CERTIFICATE-----") != path
    with open(path) as kept:
        assert kept.read() == "-----BEGIN CERTIFICATE-----"
    assert os.stat(path).st_mode & 0o077 == 0


def test_the_ca_bundle_is_what_the_client_trusts(tmp_path: Any) -> None:
    location = BucketLocation(
        bucket="b", region="fsn1", endpoint="https://s3.example.com", ca_bundle="PEM"
    )
    client = s3_client.s3_client(location, CREDENTIALS)
    try:
        assert client._endpoint.http_session._verify == s3_client._ca_file("PEM")
    finally:
        client.close()


# Creation that breaks off


def number_of_calls(store: Store, bucket: str) -> int:
    before = len(store.proxy.seen)
    store.create(store.inputs(bucket))
    return len(store.proxy.seen) - before


CALLS_OF_A_CREATION = 9
"""Checked by the first test below."""


def test_a_creation_has_as_many_calls_as_are_broken_off_below(store: Store, bucket: str) -> None:
    assert number_of_calls(store, bucket) == CALLS_OF_A_CREATION


@pytest.mark.parametrize("executed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, CALLS_OF_A_CREATION + 1))
def test_killed_at_any_call_the_next_creation_ends_in_the_same_state(
    store: Store,
    undisturbed: tuple[dict[str, Any], dict[str, Any]],
    bucket: str,
    call: int,
    executed: bool,
) -> None:
    expected, expected_world = undisturbed
    store.proxy.plan = dead_from(call, executed=executed)
    with pytest.raises(BucketError):
        store.create(store.inputs(bucket))
    store.proxy.plan = calm
    state = store.create(store.inputs(bucket))
    differing = {"bucket", "claim"}
    assert {k: v for k, v in state.items() if k not in differing} == {
        k: v for k, v in expected.items() if k not in differing
    }
    assert world(store, bucket) == expected_world
    store.delete(state)
    assert bucket not in store.buckets()


def test_a_creation_that_the_engine_forgot_is_taken_up_whatever_lies_in_it(
    store: Store, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "INTERRUPTED_CREATE_WINDOW", LATER)
    store.create(store.inputs(bucket))
    store.s3.put_object(Bucket=bucket, Key="blob", Body=b"layer")
    state = store.create(store.inputs(bucket))
    assert not store.differs(state, store.inputs(bucket))
    assert store.keys(bucket) == {OWNER_KEY, "blob"}


# Buckets that exist


def test_a_bucket_that_holds_data_of_nobody_known_is_refused_with_the_way_to_adopt_it(
    store: Store, bucket: str
) -> None:
    make_foreign(store, bucket)
    with pytest.raises(BucketError) as refused:
        store.create(store.inputs(bucket))
    assert f"bucket {bucket} exists already" in str(refused.value)
    assert "was not made by this stack" in str(refused.value)
    assert "pulumi config set --path 'storage.adopt' true" in str(refused.value)
    assert store.keys(bucket) == {"precious"}


def test_an_old_empty_bucket_is_refused_too(
    store: Store, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "INTERRUPTED_CREATE_WINDOW", LATER)
    make_foreign(store, bucket)
    store.empty(bucket)
    with pytest.raises(BucketError, match="was not made by this stack"):
        store.create(store.inputs(bucket))
    assert store.keys(bucket) == set()


def test_a_bucket_of_another_stack_is_refused_and_its_owner_named(
    store: Store, bucket: str
) -> None:
    make_foreign(store, bucket, owner=STRANGER)
    with pytest.raises(BucketError, match=f"belongs to {STRANGER}"):
        store.create(store.inputs(bucket))
    assert owner_of(store, bucket) == STRANGER


def test_adoption_takes_a_bucket_of_nobody_over_and_touches_no_object(
    store: Store, bucket: str
) -> None:
    make_foreign(store, bucket)
    before = store.s3.head_object(Bucket=bucket, Key="precious")
    props = store.inputs(bucket, adopt=True)
    state = store.create(props)
    after = store.s3.head_object(Bucket=bucket, Key="precious")
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    assert owner_of(store, bucket) == "sovereign-harbor/omantel"
    assert not store.differs(state, props)
    touched = {seen.what for seen in store.proxy.seen if seen.method in ("PUT", "DELETE")}
    assert touched == {"PUT owner.json", "PUT versioning", "PUT lifecycle", "PUT tagging"}


def test_adoption_tells_which_lifecycle_rules_it_replaces(
    store: Store, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make_foreign(store, bucket)
    rule = {
        "ID": "theirs",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": 1},
    }
    store.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
    )
    store.create(store.inputs(bucket, adopt=True))
    assert "its lifecycle rules theirs were replaced" in capfd.readouterr().err


def test_a_name_that_somebody_else_holds_is_a_clear_error(store: Store, bucket: str) -> None:
    store.proxy.plan = lambda _: Fault(status=403, code="AccessDenied")
    with pytest.raises(BucketError) as refused:
        store.create(store.inputs(bucket))
    assert f"bucket name {bucket} is taken" in str(refused.value)
    assert "shared by all customers" in str(refused.value)
    assert store.proxy.endpoint in str(refused.value)


def test_a_name_that_is_taken_only_at_creation_is_the_same_error(store: Store, bucket: str) -> None:
    store.proxy.plan = on("PUT bucket", Fault(status=409, code="BucketAlreadyExists"))
    with pytest.raises(BucketError, match=f"bucket name {bucket} is taken"):
        store.create(store.inputs(bucket))
    assert bucket not in store.buckets()


@pytest.mark.parametrize(
    "code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound"]
)
def test_a_wrong_key_pair_is_not_taken_for_a_taken_or_missing_bucket(
    store: Store, bucket: str, code: str
) -> None:
    store.proxy.plan = lambda _: Fault(status=404 if code.startswith("X") else 403, code=code)
    with pytest.raises(BucketError, match="check s3AccessKey and s3SecretKey"):
        store.create(store.inputs(bucket))
    assert {seen.method for seen in store.proxy.seen} == {"GET"}


def test_an_owner_object_that_cannot_be_read_is_never_written_over(
    store: Store, bucket: str
) -> None:
    make_foreign(store, bucket, owner=STRANGER)
    store.proxy.plan = on("GET owner.json", Fault(status=403, code="AccessDenied"))
    with pytest.raises(BucketError, match="AccessDenied"):
        store.create(store.inputs(bucket, adopt=True))
    assert owner_of(store, bucket) == STRANGER


def test_a_store_that_answers_403_for_a_missing_object_is_understood(
    store: Store, bucket: str
) -> None:
    denied = Fault(status=403, code="AccessDenied")

    def plan(seen: Any) -> Fault | None:
        return denied if seen.what == "GET owner.json" and not store.keys(bucket) else None

    store.proxy.plan = plan
    store.create(store.inputs(bucket))
    assert owner_of(store, bucket) == "sovereign-harbor/omantel"


# Features


@pytest.mark.parametrize("code", ["NotImplemented", "MethodNotAllowed"])
@pytest.mark.parametrize("feature", ["versioning", "lifecycle", "tagging"])
def test_a_feature_the_store_does_not_offer_is_named_and_done_without(
    store: Store, bucket: str, feature: str, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = Fault(status=501 if code == "NotImplemented" else 405, code=code)
    store.proxy.plan = lambda seen: missing if seen.what.endswith(f" {feature}") else None
    props = store.inputs(bucket)
    state = store.create(props)
    assert state["unsupported"] == [feature]
    assert f"does not offer {feature}" in capfd.readouterr().err
    assert not store.differs(state, props)
    refreshed = store.read(state)
    assert refreshed == state
    assert not store.differs(refreshed, props)


@pytest.mark.parametrize("code", ["NotImplemented", "MalformedXML", "InvalidArgument"])
@pytest.mark.parametrize(
    ("refused", "action", "kept"),
    [
        ("expire-noncurrent-versions", b"NoncurrentVersionExpiration", "abort-incomplete-uploads"),
        ("abort-incomplete-uploads", b"AbortIncompleteMultipart", "expire-noncurrent-versions"),
    ],
)
def test_a_store_that_refuses_one_lifecycle_rule_keeps_the_other(
    store: Store,
    bucket: str,
    refused: str,
    action: bytes,
    kept: str,
    code: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    refusal = Fault(status=501 if code == "NotImplemented" else 400, code=code)
    store.proxy.plan = lambda seen: (
        refusal if seen.what == "PUT lifecycle" and action in seen.body else None
    )
    props = store.inputs(bucket)
    state = store.create(props)
    assert state["unsupported"] == [refused]
    assert f"does not offer {refused}" in capfd.readouterr().err
    rules = store.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [rule["ID"] for rule in rules] == [kept]
    assert not store.differs(state, props)
    refreshed = store.read(state)
    assert refreshed == state
    assert not store.differs(refreshed, props)


def test_rules_that_are_all_malformed_to_the_store_fail(store: Store, bucket: str) -> None:
    store.proxy.plan = on("PUT lifecycle", Fault(status=400, code="MalformedXML"))
    with pytest.raises(BucketError, match="MalformedXML"):
        store.create(store.inputs(bucket))


def test_tags_are_not_missed_where_none_are_declared(
    store: Store, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = Fault(status=501, code="NotImplemented")
    store.proxy.plan = lambda seen: missing if seen.what.endswith(" tagging") else None
    state = store.create(store.inputs(bucket, tags={}))
    assert state["unsupported"] == []
    assert capfd.readouterr().err == ""
    assert store.read(state) == state


@pytest.mark.parametrize("feature", ["versioning", "lifecycle", "tagging"])
def test_a_feature_that_is_refused_for_any_other_reason_fails(
    store: Store, bucket: str, feature: str
) -> None:
    store.proxy.plan = on(f"PUT {feature}", Fault(status=403, code="AccessDenied"))
    with pytest.raises(BucketError, match=f"bucket {bucket} at .* was answered AccessDenied"):
        store.create(store.inputs(bucket))


@pytest.mark.parametrize("call", ["PUT owner.json", "PUT bucket"])
def test_what_cannot_be_done_without_fails_even_where_it_is_not_offered(
    store: Store, bucket: str, call: str
) -> None:
    store.proxy.plan = on(call, Fault(status=501, code="NotImplemented"))
    with pytest.raises(BucketError, match="NotImplemented"):
        store.create(store.inputs(bucket))


def test_tags_that_are_no_longer_declared_are_removed(store: Store, bucket: str) -> None:
    state = store.create(store.inputs(bucket))
    state = store.update(state, store.inputs(bucket, tags={}))
    assert store.read(state)["tags"] == {}


def test_versioning_that_is_no_longer_declared_is_suspended(store: Store, bucket: str) -> None:
    state = store.create(store.inputs(bucket))
    state = store.update(state, store.inputs(bucket, versioning=False))
    assert store.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    assert store.read(state) == state


# Differences


def as_made(store: Store, bucket: str, **changes: Any) -> dict[str, Any]:
    """The state after a creation, without a store: what the first test of this file asserts."""
    inputs = store.inputs(bucket, **changes)
    own = {"unsupported": [], "keeps": True, "claimedBy": inputs["owner"], "claim": "0123"}
    return state_after({**inputs, **declared(inputs), **own})


def test_the_state_that_the_differences_start_from_is_the_real_one(
    store: Store, bucket: str
) -> None:
    state = store.create(store.inputs(bucket))
    assert as_made(store, bucket) == {**state, "claim": "0123"}


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": "another"},
        {"region": "nbg1"},
        {"endpoint": "https://nbg1.your-objectstorage.com"},
    ],
)
def test_another_place_is_another_bucket(store: Store, bucket: str, change: dict[str, Any]) -> None:
    state = as_made(store, bucket)
    result = store.provider().diff(bucket, state, store.inputs(bucket) | change)
    assert (result.changes, result.replaces) == (True, list(change))


@pytest.mark.parametrize(
    "change",
    [
        {"versioning": False},
        {"noncurrentDays": 30},
        {"abortDays": 1},
        {"tags": {}},
        {"owner": "sovereign-harbor/renamed"},
        {"pathStyle": False},
        {"caBundle": "PEM"},
    ],
)
def test_what_is_changed_in_place(store: Store, bucket: str, change: dict[str, Any]) -> None:
    state = as_made(store, bucket)
    result = store.provider().diff(bucket, state, store.inputs(bucket, **change))
    assert (result.changes, result.replaces) == (True, [])


def test_new_keys_and_adoption_of_what_is_kept_already_change_nothing(
    store: Store, bucket: str
) -> None:
    state = as_made(store, bucket)
    rotated = S3Credentials(access_key="ANOTHERACCESSKEY01", secret_key="other" * 8)
    for props in (store.inputs(bucket), store.inputs(bucket, adopt=True)):
        assert not store.provider(rotated).diff(bucket, state, props).changes
    assert store.proxy.seen == [], "a diff asks nobody"


def test_a_day_limit_without_versions_to_expire_is_no_difference(store: Store, bucket: str) -> None:
    state = as_made(store, bucket, versioning=False)
    assert not store.differs(state, store.inputs(bucket, versioning=False, noncurrentDays=99))


def test_check_fills_in_what_the_engine_leaves_out(store: Store) -> None:
    checked = store.provider().check({}, {"bucket": "b"})
    assert (checked.inputs, checked.failures) == ({"bucket": "b", "tags": {}}, [])


# Drift


def _suspend(store: Store, bucket: str) -> None:
    store.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def _rules(store: Store, bucket: str, *, add: dict[str, Any] | None = None, **changes: Any) -> None:
    before = store.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    rules = [{**rule, **changes} for rule in before] + ([add] if add else [])
    store.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": rules}
    )


_EXPIRY = {
    "ID": "clean-up",
    "Status": "Enabled",
    "Filter": {"Prefix": "docker/"},
    "Expiration": {"Days": 1},
}

DRIFTS: dict[str, Any] = {
    "versioning suspended": _suspend,
    "lifecycle removed": lambda store, bucket: store.s3.delete_bucket_lifecycle(Bucket=bucket),
    "rules disabled": lambda store, bucket: _rules(store, bucket, Status="Disabled"),
    "rules narrowed": lambda store, bucket: _rules(store, bucket, Filter={"Prefix": "tmp/"}),
    "a rule that expires blobs added": lambda store, bucket: _rules(store, bucket, add=_EXPIRY),
    "tags removed": lambda store, bucket: store.s3.delete_bucket_tagging(Bucket=bucket),
    "a tag added": lambda store, bucket: store.s3.put_bucket_tagging(
        Bucket=bucket, Tagging={"TagSet": [{"Key": "cost", "Value": "1"}]}
    ),
    "owner object deleted": lambda store, bucket: store.s3.delete_object(
        Bucket=bucket, Key=OWNER_KEY
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_found_by_a_refresh_and_healed_by_the_next_update(
    store: Store, bucket: str, drift: str
) -> None:
    props = store.inputs(bucket)
    state = store.create(props)
    seen_before = world(store, bucket)
    DRIFTS[drift](store, bucket)
    drifted = store.read(state)
    assert drifted != state
    assert store.differs(drifted, props)
    healed = store.update(drifted, props)
    assert healed == state
    assert not store.differs(healed, props)
    assert world(store, bucket) == seen_before
    assert store.read(healed) == healed


def test_a_refresh_without_drift_changes_nothing(store: Store, bucket: str) -> None:
    state = store.create(store.inputs(bucket))
    before = len(store.proxy.seen)
    assert store.read(state) == state
    assert {seen.method for seen in store.proxy.seen[before:]} == {"GET"}


def test_lifecycle_rules_in_the_old_spelling_are_the_same_rules() -> None:
    from components.object_storage.s3.features import _effects

    new = {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    act = {"Status": "Enabled", "Expiration": {"Days": 1}}
    for spelling in ({"Prefix": ""}, {"Filter": {}}, {"Filter": {"Prefix": ""}}, {}):
        assert _effects([{**act, **spelling}]) == _effects([new])
    for other in ({"Prefix": "x"}, {"Filter": {"Prefix": "x"}}, {"Filter": {"Tag": {"Key": "k"}}}):
        assert _effects([{**act, **other}]) != _effects([new])
    assert _effects([{**act, "Prefix": "x"}]) == _effects([{**act, "Filter": {"Prefix": "x"}}])


def test_a_bucket_that_another_stack_took_over_is_not_taken_back_unasked(
    store: Store, bucket: str
) -> None:
    props = store.inputs(bucket)
    state = store.create(props)
    theirs = take_over(store, bucket)
    drifted = store.read(state)
    assert drifted["claimedBy"] == STRANGER
    assert store.differs(drifted, props)
    with pytest.raises(BucketError, match=f"belongs to {STRANGER}"):
        store.update(drifted, props)
    assert store.read(theirs) == theirs


def test_a_renamed_stack_keeps_its_bucket(store: Store, bucket: str) -> None:
    state = store.create(store.inputs(bucket))
    renamed = store.inputs(bucket, owner="sovereign-harbor/renamed")
    state = store.update(state, renamed)
    assert owner_of(store, bucket) == "sovereign-harbor/renamed"
    assert not store.differs(store.read(state), renamed)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404, code="NoSuchBucket"),
        Fault(status=403, code="AccessDenied"),
        Fault(status=403, code="InvalidAccessKeyId"),
        Fault(status=404, code="XAdminUserNotFound"),
        Fault(status=404, code=""),
        Fault(status=500, code="InternalError"),
        Fault(),
    ],
    ids=lambda fault: fault.code or f"{fault.status}",
)
def test_a_refresh_that_cannot_see_the_bucket_fails_and_drops_nothing(
    store: Store, bucket: str, fault: Fault
) -> None:
    state = store.create(store.inputs(bucket))
    store.proxy.plan = lambda _: fault
    with pytest.raises(BucketError) as failed:
        store.read(state)
    assert "The state is left as it was" in str(failed.value)
    assert bucket in str(failed.value)


@pytest.mark.parametrize("call", ["GET owner.json", "GET versioning", "GET lifecycle"])
def test_a_refresh_that_sees_only_a_part_of_the_bucket_fails_too(
    store: Store, bucket: str, call: str
) -> None:
    state = store.create(store.inputs(bucket))
    # The listing too: a store may answer 403 for an object that is not there.
    denied = Fault(status=403, code="AccessDenied")
    store.proxy.plan = lambda seen: denied if seen.what in (call, "GET list-type") else None
    with pytest.raises(BucketError, match=r"AccessDenied.*The state is left as it was"):
        store.read(state)


def test_a_bucket_that_vanished_fails_the_refresh(store: Store, bucket: str) -> None:
    state = store.create(store.inputs(bucket))
    store.delete(state)
    with pytest.raises(BucketError, match=r"NoSuchBucket.*pulumi state delete"):
        store.read(state)


# Deletion


def _put(store: Store, bucket: str) -> None:
    store.s3.put_object(Bucket=bucket, Key="blob", Body=b"layer")


def _marker(store: Store, bucket: str) -> None:
    made = store.s3.put_object(Bucket=bucket, Key="blob", Body=b"layer")["VersionId"]
    store.s3.delete_object(Bucket=bucket, Key="blob")
    store.s3.delete_object(Bucket=bucket, Key="blob", VersionId=made)
    markers = store.s3.list_object_versions(Bucket=bucket)["DeleteMarkers"]
    assert [marker["Key"] for marker in markers] == ["blob"]


def _old_version(store: Store, bucket: str) -> None:
    _put(store, bucket)
    marker = store.s3.delete_object(Bucket=bucket, Key="blob")["VersionId"]
    store.s3.delete_object(Bucket=bucket, Key="blob", VersionId=marker)
    kept = store.s3.list_object_versions(Bucket=bucket)["Versions"]
    assert any(version["Key"] == "blob" for version in kept)


def _upload(store: Store, bucket: str) -> None:
    store.s3.create_multipart_upload(Bucket=bucket, Key="blob")


def _among_many_own(store: Store, bucket: str) -> None:
    for number in range(5):
        store.s3.put_object(Bucket=bucket, Key=f".sovereign-harbor/probe-{number}", Body=b"")
    store.s3.put_object(Bucket=bucket, Key="~last", Body=b"layer")


@pytest.mark.parametrize("put", [_put, _marker, _old_version, _upload, _among_many_own])
def test_a_bucket_that_holds_anything_is_not_deleted(store: Store, bucket: str, put: Any) -> None:
    state = store.create(store.inputs(bucket))
    put(store, bucket)
    keys = store.keys(bucket)
    with pytest.raises(BucketError, match=r"is not deleted.*pulumi state delete"):
        store.delete(state)
    assert store.keys(bucket) == keys
    assert store.read(state) == state


@pytest.mark.parametrize("versioning", [True, False])
def test_a_bucket_that_holds_only_what_is_ours_is_deleted(
    store: Store, bucket: str, versioning: bool
) -> None:
    state = store.create(store.inputs(bucket, versioning=versioning))
    for _ in range(2):  # versions of its own, and a probe that a killed proof left behind
        store.s3.put_object(Bucket=bucket, Key=".sovereign-harbor/probe-1", Body=b"")
        store.s3.delete_object(Bucket=bucket, Key=".sovereign-harbor/probe-2")
    store.delete(state)
    assert bucket not in store.buckets()


def test_where_a_store_lists_no_versions_its_objects_are_still_seen(
    store: Store, bucket: str
) -> None:
    missing = Fault(status=501, code="NotImplemented")
    store.proxy.plan = lambda s: missing if s.what in ("GET versions", "GET uploads") else None
    state = store.create(store.inputs(bucket, versioning=False))
    _put(store, bucket)
    with pytest.raises(BucketError, match="is not deleted"):
        store.delete(state)
    store.s3.delete_object(Bucket=bucket, Key="blob")
    store.delete(state)
    assert bucket not in store.buckets()


def test_a_bucket_that_is_gone_already_counts_as_deleted(store: Store, bucket: str) -> None:
    state = store.create(store.inputs(bucket))
    store.delete(state)
    store.delete(state)


def test_a_bucket_that_another_stack_took_over_is_forgotten_and_left(
    store: Store, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    state = store.create(store.inputs(bucket))
    theirs = take_over(store, bucket)
    store.delete(state)
    assert f"is kept by {STRANGER} now" in capfd.readouterr().err
    assert store.read(theirs) == theirs


def test_a_replacement_that_is_the_same_bucket_under_another_address_survives(
    store: Store, bucket: str
) -> None:
    old = store.create(store.inputs(bucket))
    new = store.create(store.inputs(bucket, endpoint=store.upstream))
    store.delete(old)
    assert store.read(new) == new


@pytest.mark.parametrize("executed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 8))
def test_killed_at_any_call_of_a_deletion_the_next_one_ends_it(
    store: Store, bucket: str, call: int, executed: bool
) -> None:
    state = store.create(store.inputs(bucket))
    store.proxy.plan = dead_from(call, executed=executed)
    with pytest.raises(BucketError):
        store.delete(state)
    store.proxy.plan = calm
    store.delete(state)
    assert bucket not in store.buckets()


# A store in trouble


def test_a_whole_life_under_hundreds_of_faults_loses_and_orphans_nothing(store: Store) -> None:
    before = store.buckets()
    for seed in range(5):
        store.proxy.plan = store.storm(seed)
        whole_life(store, next(_names))
    assert len(store.proxy.injected) >= 200
    assert len(set(store.proxy.injected)) == 10, "every kind of fault came up"
    assert store.buckets() == before


def test_half_an_answer_is_asked_for_again_and_never_believed(store: Store, bucket: str) -> None:
    cut: set[str] = set()

    def plan(seen: Seen) -> Fault | None:
        if seen.method != "GET" or seen.what in cut:
            return None
        cut.add(seen.what)
        return Fault(executed=True, truncated=True)

    store.proxy.plan = plan
    whole_life(store, bucket)
    assert cut >= {"GET list-type", "GET owner.json", "GET versioning", "GET versions"}


def test_the_client_backs_off_and_gives_up_in_the_end(store: Store, bucket: str) -> None:
    store.proxy.plan = lambda _: Fault(status=503, code="SlowDown", message="Reduce your rate.")
    with pytest.raises(BucketError, match=r"SlowDown \(Reduce your rate\)"):
        store.create(store.inputs(bucket))
    assert len(store.proxy.seen) == ATTEMPTS
    assert len(store.pauses) == ATTEMPTS - 1
    assert all(0 <= pause <= 20 for pause in store.pauses)


def test_an_endpoint_where_nobody_answers_is_named(store: Store, bucket: str) -> None:
    with pytest.raises(BucketError, match=r"bucket .* at http://127\.0\.0\.1:1: Could not connect"):
        store.create(store.inputs(bucket, endpoint="http://127.0.0.1:1"))


# Secrets


@pytest.mark.parametrize("operation", ["create", "read", "update", "delete", "prove"])
@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "AccessDenied", "InternalError"])
def test_no_error_shows_a_key_even_if_the_store_repeats_it(
    store: Store, bucket: str, operation: str, code: str
) -> None:
    props = store.inputs(bucket)
    state = store.create(props)
    keys = f"{CREDENTIALS.access_key} and {CREDENTIALS.secret_key}"
    store.proxy.plan = lambda _: Fault(status=403, code=code, message=f"no: {keys}")
    operations: dict[str, Any] = {
        "create": lambda: store.create(props),
        "read": lambda: store.read(state),
        "update": lambda: store.update(state, props),
        "delete": lambda: store.delete(state),
        "prove": lambda: store.key_proof().create(props),
    }
    with pytest.raises(BucketError) as failed:
        operations[operation]()
    shown = "".join(traceback.format_exception(failed.value))
    assert CREDENTIALS.secret_key not in shown
    assert CREDENTIALS.access_key not in shown
    assert code in shown


def test_neither_repr_nor_state_nor_the_kept_provider_holds_a_key(
    store: Store, bucket: str
) -> None:
    state = store.create(store.inputs(bucket))
    proof = store.key_proof().create(store.inputs(bucket)).outs
    shown = f"{CREDENTIALS!r} {vars(store.provider())} {state} {proof}"
    assert CREDENTIALS.secret_key not in shown
    assert CREDENTIALS.access_key not in shown


def test_without_keys_the_commands_that_set_them_are_named(store: Store, bucket: str) -> None:
    provider = S3BucketProvider()
    provider.configure(ConfigureRequest({}))  # type: ignore[arg-type]
    with pytest.raises(BucketError, match="pulumi config set --secret s3AccessKey"):
        provider.create(store.inputs(bucket))


def test_keys_may_come_from_the_environment_of_a_sandbox(
    store: Store, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_S3_ACCESS_KEY", CREDENTIALS.access_key)
    monkeypatch.setenv("SANDBOX_S3_SECRET_KEY", CREDENTIALS.secret_key)
    references = S3Credentials(
        access_key="${SANDBOX_S3_ACCESS_KEY}", secret_key="${SANDBOX_S3_SECRET_KEY}"
    )
    state = store.create(store.inputs(bucket))
    assert store.provider(references).read(bucket, state).outs == state
    signed = store.proxy.seen[-1].headers["Authorization"]
    assert f"Credential={CREDENTIALS.access_key}/" in signed


@pytest.mark.parametrize("kind", [S3BucketProvider, KeyProofProvider, S3LockdownProvider])
def test_the_serialized_provider_is_stable_and_loads_back(kind: type[Any]) -> None:
    import base64

    import dill

    texts = {serialize_provider(kind()) for _ in range(3)}
    assert len(texts) == 1, "else every preview shows an update"
    assert type(dill.loads(base64.b64decode(texts.pop()))) is kind


# The proof of a key pair

ROTATED = S3Credentials(access_key="ROTATEDACCESSKEY01", secret_key="rotated" * 5)


def proven(store: Store, bucket: str) -> dict[str, Any]:
    store.create(store.inputs(bucket))
    outs = store.key_proof().create(store.inputs(bucket)).outs
    assert outs is not None
    return outs


def test_a_key_pair_is_proven_by_listing_putting_getting_and_deleting(
    store: Store, bucket: str
) -> None:
    store.create(store.inputs(bucket))
    before = len(store.proxy.seen)
    store.key_proof().create(store.inputs(bucket))
    calls = [seen.method for seen in store.proxy.seen[before:]][:4]
    assert calls == ["GET", "PUT", "GET", "DELETE"]
    probed = {seen.what for seen in store.proxy.seen[before:] if seen.method == "PUT"}
    assert all(name.startswith("PUT probe-") for name in probed)
    assert store.keys(bucket) == {OWNER_KEY}, "no version, no delete marker stays behind"


def test_two_proofs_at_once_use_two_probes(store: Store, bucket: str) -> None:
    proven(store, bucket)
    store.key_proof().create(store.inputs(bucket))
    probes = {s.path for s in store.proxy.seen if s.method == "PUT" and "/probe-" in s.path}
    assert len(probes) == 2


def test_the_same_key_pair_and_place_need_no_new_proof(store: Store, bucket: str) -> None:
    state = proven(store, bucket)
    before = len(store.proxy.seen)
    result = store.key_proof().diff(bucket, state, store.inputs(bucket))
    assert (result.changes, result.replaces) == (False, [])
    assert len(store.proxy.seen) == before, "a preview contacts nobody"


@pytest.mark.parametrize(
    "pair",
    [
        ROTATED,
        S3Credentials(access_key=ROTATED.access_key, secret_key=CREDENTIALS.secret_key),
        S3Credentials(access_key=CREDENTIALS.access_key, secret_key=ROTATED.secret_key),
    ],
    ids=["both", "access key", "secret key"],
)
def test_a_new_key_pair_needs_a_new_proof(store: Store, bucket: str, pair: S3Credentials) -> None:
    state = proven(store, bucket)
    provider = store.key_proof(pair)
    assert provider.diff(bucket, state, store.inputs(bucket)).changes
    updated = provider.update(bucket, state, store.inputs(bucket)).outs
    assert updated is not None and updated["revision"] != state["revision"]
    assert updated["salt"] == state["salt"]
    assert not provider.diff(bucket, updated, store.inputs(bucket)).changes


@pytest.mark.parametrize("change", [{"bucket": "another"}, {"endpoint": "https://elsewhere"}])
def test_another_place_needs_a_new_proof(store: Store, bucket: str, change: dict[str, Any]) -> None:
    state = proven(store, bucket)
    result = store.key_proof().diff(bucket, state, store.inputs(bucket) | change)
    assert (result.changes, result.replaces) == (True, [])


def test_a_preview_without_keys_says_that_the_proof_is_still_to_come(
    store: Store, bucket: str
) -> None:
    state = proven(store, bucket)
    provider = KeyProofProvider()
    provider.configure(ConfigureRequest({}))  # type: ignore[arg-type]
    assert provider.diff(bucket, state, store.inputs(bucket)).changes


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_a_key_pair_that_may_not_do_one_of_them_fails_and_says_that_nothing_was_sealed(
    store: Store, bucket: str, method: str
) -> None:
    state = proven(store, bucket)
    denied = Fault(status=403, code="AccessDenied")
    store.proxy.plan = lambda s: denied if s.method == method and "/probe-" in s.path else None
    with pytest.raises(BucketError) as failed:
        store.key_proof(ROTATED).update(bucket, state, store.inputs(bucket))
    assert "AccessDenied" in str(failed.value)
    assert "Nothing was sealed with this key pair" in str(failed.value)


def test_a_key_pair_that_may_not_list_fails_before_anything_is_put(
    store: Store, bucket: str
) -> None:
    proven(store, bucket)
    before = len(store.proxy.seen)
    store.proxy.plan = lambda _: Fault(status=403, code="AccessDenied")
    with pytest.raises(BucketError, match="ListObjectsV2 was answered AccessDenied"):
        store.key_proof(ROTATED).create(store.inputs(bucket))
    assert {seen.method for seen in store.proxy.seen[before:]} == {"GET"}


def test_a_proof_that_fails_on_the_way_leaves_no_probe(store: Store, bucket: str) -> None:
    proven(store, bucket)
    denied = Fault(status=403, code="AccessDenied")
    store.proxy.plan = lambda s: denied if s.method == "GET" and "/probe-" in s.path else None
    with pytest.raises(BucketError):
        store.key_proof().create(store.inputs(bucket))
    assert store.keys(bucket) == {OWNER_KEY}


def test_a_store_that_gives_back_something_else_fails_the_proof(store: Store, bucket: str) -> None:
    proven(store, bucket)
    store.proxy.plan = lambda s: (
        Fault(status=200, code="Other") if s.method == "GET" and "/probe-" in s.path else None
    )
    with pytest.raises(BucketError, match="gave back something else"):
        store.key_proof().create(store.inputs(bucket))


def test_a_key_pair_need_not_be_allowed_to_delete_versions(store: Store, bucket: str) -> None:
    proven(store, bucket)
    denied = Fault(status=403, code="AccessDenied")
    store.proxy.plan = lambda s: denied if "versionId" in s.path else None
    assert store.key_proof().create(store.inputs(bucket)).outs
    store.proxy.plan = on("GET versions", denied)
    assert store.key_proof().create(store.inputs(bucket)).outs


def test_an_unconfigured_proof_names_the_commands(store: Store, bucket: str) -> None:
    nothing = configured(KeyProofProvider(), S3Credentials(access_key="", secret_key=""))
    with pytest.raises(BucketError, match="pulumi config set --secret s3AccessKey"):
        nothing.create(store.inputs(bucket))
