"""Waiting for the operator: what counts as synced, and what a later run notices."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from components.delivery import synced
from components.delivery.synced import FORCE_SYNC, NotSynced, SyncedProvider
from components.sealing.opened import REVISION_ANNOTATION
from tests.support.builders import Cluster

State = dict[str, Any]

SECRET = "/api/v1/namespaces/registry/secrets/harbor"
SOURCE = "/api/v1/namespaces/registry/secrets/harbor-pushed"
EXTERNAL = "/apis/external-secrets.io/v1/namespaces/registry/externalsecrets/harbor"
PUSH = "/apis/external-secrets.io/v1alpha1/namespaces/registry/pushsecrets/harbor"
OF_STORE: State = {
    "namespace": "registry",
    "name": "harbor",
    "applied": "uid/2",
    "remotes": "gitlab-redis, property password",
    "timeoutSeconds": 60.0,
    "stack": "omantel",
    "__provider": "…",
}
PUSHED: State = {**OF_STORE, "revision": "new", "source": "harbor-pushed", "remotes": "k"}


def made(
    status: str | None = "True",
    *,
    generation: int = 2,
    synced: int = 2,
    uid: str = "uid",
    message: str = "",
) -> State:
    conditions = [] if status is None else [{"type": "Ready", "status": status, "message": message}]
    return {
        "metadata": {"generation": generation, "uid": uid, "namespace": "registry"},
        "status": {"syncedResourceVersion": f"{synced}-0a", "conditions": conditions},
    }


def secret_of(password: str, revision: str | None = None, uid: str = "uid", **more: str) -> State:
    annotations = {} if revision is None else {REVISION_ANNOTATION: revision}
    owner = {"kind": "ExternalSecret", "name": "harbor", "uid": uid}
    texts = {"password": password, **more}
    return {
        "metadata": {"annotations": annotations, "ownerReferences": [owner]},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
    }


def source_of(password: str) -> State:
    return secret_of(password, **{"sovereign-harbor-owner": "registry.omantel.omani.works"})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster().stand_in(monkeypatch)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(synced.time, "sleep", slept.append)
    monkeypatch.setattr(synced.time, "monotonic", lambda: sum(slept))
    return slept


def of_store(password: str = "TOPSECRET") -> State:
    return {SECRET: secret_of(password), EXTERNAL: made()}


def pushed(password: str = "TOPSECRET") -> State:
    return {
        SECRET: secret_of(password, "new"),
        EXTERNAL: made(),
        PUSH: made(),
        SOURCE: source_of(password),
    }


def outs_of(inputs: State) -> State:
    outs = SyncedProvider().create(inputs).outs
    assert outs is not None
    return outs


def later(first: Any, then: Any, clock: list[float], *, at: float) -> Any:
    """What the API server answers before and after a moment."""
    return lambda: then if sum(clock) >= at else first


# --- The wait ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path_and_before",
    [
        (EXTERNAL, made(None)),
        (EXTERNAL, made("False")),
        (EXTERNAL, made(generation=3)),
        (SECRET, None),
        (SECRET, secret_of("TOPSECRET", uid="of-one-that-is-gone")),
    ],
)
def test_it_waits_until_the_operator_carried_out_what_was_applied(
    cluster: Cluster, clock: list[float], path_and_before: tuple[str, Any]
) -> None:
    path, before = path_and_before
    objects = of_store()
    cluster.objects = {**objects, path: later(before, objects[path], clock, at=2)}
    outs_of(OF_STORE)
    assert 2 <= sum(clock) < 4


@pytest.mark.parametrize(
    "path_and_before",
    [
        (SECRET, secret_of("TOPSECRET", "old")),
        (SECRET, secret_of("TOPSECRET-old", "new")),
        (SOURCE, None),
    ],
)
def test_a_pushed_value_has_to_come_back(
    cluster: Cluster, clock: list[float], path_and_before: tuple[str, Any]
) -> None:
    path, before = path_and_before
    objects = pushed()
    cluster.objects = {**objects, path: later(before, objects[path], clock, at=5)}
    assert outs_of(PUSHED)["revision"] == "new"
    assert 5 <= sum(clock) < 7


def test_the_operator_is_made_to_look_at_once(cluster: Cluster, clock: list[float]) -> None:
    objects = pushed()
    stale = secret_of("TOPSECRET-old", "new")
    cluster.objects = {**objects, SECRET: later(stale, objects[SECRET], clock, at=5)}
    outs_of(PUSHED)
    paths = [path.partition("?")[0] for path, _ in cluster.merged]
    assert paths == [PUSH, EXTERNAL]
    assert all(FORCE_SYNC in merge["metadata"]["annotations"] for _, merge in cluster.merged)


def test_what_is_there_is_not_asked_for_again(cluster: Cluster, clock: list[float]) -> None:
    cluster.objects = pushed()
    outs_of(PUSHED)
    assert (cluster.merged, clock) == ([], [])


def events(message: str) -> tuple[str, State]:
    path = "/api/v1/namespaces/registry/events?fieldSelector=involvedObject.uid%3Duid"
    return path, {"items": [{"type": "Warning", "message": message, "lastTimestamp": "1"}]}


def test_a_missing_key_says_what_to_write_into_the_store(
    cluster: Cluster, clock: list[float]
) -> None:
    path, listed = events("error processing spec.data[0] (key: gitlab-redis), err: no such secret")
    failed = made("False", synced=0, message="could not get secret data from provider")
    cluster.objects = {EXTERNAL: failed, path: listed}
    with pytest.raises(NotSynced) as refused:
        outs_of(OF_STORE)
    text = str(refused.value)
    assert "(key: gitlab-redis), err: no such secret" in text
    assert "the store must have gitlab-redis, property password" in text
    assert "pulumi up -s omantel tries again" in text
    assert sum(clock) < 20


def test_a_store_that_only_reads_is_named(cluster: Cluster, clock: list[float]) -> None:
    refused_push = made("False", synced=0, message="set secret failed: read-only")
    cluster.objects = {**pushed(), PUSH: refused_push, EXTERNAL: made("False", synced=0)}
    with pytest.raises(NotSynced, match="set secret failed: read-only") as refused:
        outs_of(PUSHED)
    assert "not read-only" in str(refused.value)
    assert sum(clock) < 20


def test_who_else_writes_the_key_is_asked(cluster: Cluster) -> None:
    cluster.objects = {**pushed(), SECRET: secret_of("TOPSECRET-theirs", "new")}
    with pytest.raises(NotSynced, match="who else writes that key"):
        outs_of(PUSHED)


def test_a_silent_operator_is_named(cluster: Cluster) -> None:
    cluster.objects = {EXTERNAL: made(None, synced=0)}
    with pytest.raises(NotSynced, match="is the External Secrets Operator running"):
        outs_of(OF_STORE)


def test_no_message_and_no_output_shows_a_secret(cluster: Cluster) -> None:
    cluster.objects = pushed()
    assert "TOPSECRET" not in str(outs_of(PUSHED))


# --- The revision, and what a later run notices -------------------------------------------------


def changes(olds: State, news: State) -> bool:
    return bool(SyncedProvider().diff("id", olds, news).changes)


@pytest.mark.parametrize(("inputs", "objects"), [(OF_STORE, of_store()), (PUSHED, pushed())])
def test_an_unchanged_secret_is_no_change(cluster: Cluster, inputs: State, objects: State) -> None:
    cluster.objects = objects
    outs = outs_of(inputs)
    assert not changes(outs, inputs)
    again = SyncedProvider().update("id", outs, inputs).outs
    assert again is not None
    assert again["revision"] == outs["revision"]


def test_the_revision_changes_exactly_with_the_content(cluster: Cluster) -> None:
    cluster.objects = of_store()
    outs = outs_of(OF_STORE)
    cluster.objects = of_store("TOPSECRET-rotated")
    assert changes(outs, OF_STORE)
    rotated = SyncedProvider().update("id", outs, OF_STORE).outs
    assert rotated is not None
    assert rotated["revision"] != outs["revision"]
    assert not changes(rotated, OF_STORE)
    applied_anew = {**OF_STORE, "applied": "uid/3"}
    assert changes(rotated, applied_anew)
    same = SyncedProvider().update("id", rotated, applied_anew).outs
    assert same is not None
    assert same["revision"] == rotated["revision"]


def test_the_same_password_has_another_digest_in_another_state(cluster: Cluster) -> None:
    cluster.objects = of_store("short")
    one, other = outs_of(OF_STORE), outs_of(OF_STORE)
    assert one["content"] != other["content"]
    assert one["revision"] != other["revision"]


@pytest.mark.parametrize(
    "path_and_now",
    [
        (SECRET, None),
        (SECRET, secret_of("TOPSECRET", "another")),
        (SECRET, secret_of("TOPSECRET-else", "new")),
        (EXTERNAL, made("False")),
    ],
)
def test_a_secret_that_is_another_one_is_a_change(
    cluster: Cluster, path_and_now: tuple[str, Any]
) -> None:
    cluster.objects = pushed()
    outs = outs_of(PUSHED)
    path, now = path_and_now
    cluster.objects = {**pushed(), path: now}
    assert changes(outs, PUSHED)
    assert SyncedProvider().read("id", outs).outs == {**outs, "content": ""}


def test_a_preview_without_a_cluster_shows_no_change(cluster: Cluster) -> None:
    cluster.objects = of_store()
    outs = outs_of(OF_STORE)
    cluster.is_up = False
    assert not changes(outs, OF_STORE)
    assert SyncedProvider().check(outs, OF_STORE).failures == []


def test_an_external_secret_that_somebody_deleted_is_refused_in_the_preview(
    cluster: Cluster,
) -> None:
    (failure,) = SyncedProvider().check(OF_STORE, OF_STORE).failures
    assert "pulumi refresh -s omantel" in failure.reason
