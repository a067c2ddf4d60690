"""What is asked of the store before a value is first written there."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from components.delivery import handover
from components.delivery.handover import (
    HandoverProvider,
    StoreHasAnother,
    StoreNotRead,
    another_value,
)
from components.sealing.opened import REVISION_ANNOTATION
from tests.support.builders import Cluster

State = dict[str, Any]

NAME = "harbor-minted-secret-key"
PROOF = f"/apis/external-secrets.io/v1/namespaces/registry/externalsecrets/{NAME}-in-store"
SHOWN = f"/api/v1/namespaces/registry/secrets/{NAME}-in-store"
SECRET = f"/api/v1/namespaces/registry/secrets/{NAME}"
EXTERNAL = f"/apis/external-secrets.io/v1/namespaces/registry/externalsecrets/{NAME}"
INPUTS: State = {
    "namespace": "registry",
    "name": NAME,
    "data": {"secretKey": "TOPSECRET-of-us"},
    "storeKind": "ClusterSecretStore",
    "storeName": "platform",
    "storeKey": f"omantel-{NAME}",
    "owner": "registry.omantel.omani.works",
    "timeoutSeconds": 5.0,
    "minted": {
        "what": "secret-key",
        "epoch": 1.0,
        "keys": ["secretKey"],
        "rotation": None,
        "given_by": "harborSecretKey",
    },
    "adopting": False,
    "stack": "omantel",
}


def encoded(**texts: str) -> dict[str, str]:
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}


def owned(owner: str = "registry.omantel.omani.works", **texts: str) -> dict[str, str]:
    return encoded(**{**texts, "sovereign-harbor-owner": owner})


class Store(Cluster):
    """An API server whose operator has one answer about the store."""

    def __init__(self, data: dict[str, str] | None, ready: str = "True", says: str = "") -> None:
        super().__init__()
        self.data, self.ready, self.says = data, ready, says
        self.posted: list[tuple[str, Any]] = []

    def post(self, path: str, body: Any) -> Any:
        self.posted.append((path, body))
        reason = "SecretDeleted" if self.data is None else "SecretSynced"
        condition = {"type": "Ready", "status": self.ready, "reason": reason}
        condition |= {"message": "could not get secret data from provider"} if self.says else {}
        metadata = {**body["metadata"], "uid": "uid"}
        self.objects[PROOF] = {"metadata": metadata, "status": {"conditions": [condition]}}
        if self.data is not None and self.ready == "True":
            self.objects[SHOWN] = {"data": self.data}
        selector = "fieldSelector=involvedObject.uid%3Duid"
        self.objects[f"/api/v1/namespaces/registry/events?{selector}"] = {
            "items": [{"type": "Warning", "message": self.says, "lastTimestamp": "2"}]
        }
        return body

    def delete(self, path: str) -> None:
        self.objects.pop(path, None)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(handover.time, "sleep", slept.append)
    monkeypatch.setattr(handover.time, "monotonic", lambda: sum(slept))
    return slept


def created(store: Store, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> State:
    store.stand_in(monkeypatch)
    provider = HandoverProvider()
    checked = provider.check({}, {**INPUTS, **changes})
    assert checked.failures == []
    return provider.create(checked.inputs).outs or {}


def test_an_empty_store_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(None)
    outs = created(store, monkeypatch)
    ((path, proof),) = store.posted
    assert path.endswith("/namespaces/registry/externalsecrets")
    assert proof["spec"]["dataFrom"] == [{"extract": {"key": f"omantel-{NAME}"}}]
    assert not {PROOF, SHOWN} & set(store.objects), "nothing of the proof is left"
    assert outs["revision"]
    assert "minted" not in outs


def test_the_same_value_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    created(Store(owned(secretKey="TOPSECRET-of-us")), monkeypatch)
    created(Store(encoded(secretKey="TOPSECRET-of-us")), monkeypatch)


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (owned(secretKey="TOPSECRET-kept"), "bring the state back"),
        (encoded(secretKey="TOPSECRET-theirs"), "a value that this program did not write"),
        (encoded(other="TOPSECRET-theirs"), "a value that this program did not write"),
        (owned("registry.otech.omani.works", secretKey="TOPSECRET"), "registry.otech.omani.works"),
    ],
)
def test_another_value_in_the_store_is_not_written_over(
    there: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(there)
    with pytest.raises(StoreHasAnother, match=reason) as refused:
        created(store, monkeypatch)
    assert "not touched" in str(refused.value)
    assert "TOPSECRET" not in str(refused.value)
    assert not {PROOF, SHOWN} & set(store.objects)


@pytest.mark.parametrize(
    ("name", "minted", "is_refused"),
    [
        ("harbor-minted-csrf-key", {"what": "csrf-key"}, False),
        ("harbor-minted-admin-password", {"what": "admin-password"}, True),
        ("harbor-minted-admin-password", None, False),  # given by a person
        ("harbor-given-secret-key", None, True),  # no other will do
        ("harbor-pg-credentials", {"what": "database-password"}, True),
        ("harbor-shared-valkey", None, False),
    ],
)
def test_only_what_a_kept_database_may_need_is_kept_in_the_store(
    name: str, minted: State | None, is_refused: bool
) -> None:
    there = owned(secretKey="TOPSECRET-kept", password="TOPSECRET-kept")
    props = {**INPUTS, "name": name, "minted": minted}
    assert (another_value(there, props) is not None) == is_refused


def test_what_the_operator_says_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store({}, ready="False", says="permission denied on omantel/")
    with pytest.raises(StoreNotRead, match="permission denied on omantel/") as refused:
        created(store, monkeypatch)
    assert "nothing was written" in str(refused.value)
    assert PROOF not in store.objects


def test_a_store_is_looked_at_again_only_where_the_place_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(None)
    outs = created(store, monkeypatch)
    provider = HandoverProvider()
    rotated = {**INPUTS, "data": {"secretKey": "TOPSECRET-new"}, "revision": "new"}
    provider.update("id", outs, rotated)
    assert len(store.posted) == 1
    provider.update("id", outs, {**rotated, "storeKey": "another"})
    assert len(store.posted) == 2


def test_a_lost_state_is_refused_by_the_cluster_before_the_store_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(None)
    owner = {"kind": "ExternalSecret", "name": NAME, "uid": "uid"}
    store.objects[SECRET] = {
        "metadata": {"annotations": {REVISION_ANNOTATION: "lost"}, "ownerReferences": [owner]},
        "data": encoded(secretKey="TOPSECRET-kept"),
    }
    store.objects[EXTERNAL] = {"metadata": {"uid": "uid"}}
    store.stand_in(monkeypatch)
    (failure,) = HandoverProvider().check({}, INPUTS).failures
    assert "this stack's state does not know it" in failure.reason
    assert store.posted == []
    # After `pulumi destroy` it goes with its ExternalSecret.
    del store.objects[EXTERNAL]
    assert HandoverProvider().check({}, INPUTS).failures == []


def test_an_older_state_is_told_what_to_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(None)
    store.objects[SECRET] = {"metadata": {"annotations": {REVISION_ANNOTATION: "newer"}}}
    store.stand_in(monkeypatch)
    (failure,) = HandoverProvider().check({**INPUTS, "revision": "older"}, INPUTS).failures
    assert f"kubectl delete externalsecret {NAME} -n registry" in failure.reason
