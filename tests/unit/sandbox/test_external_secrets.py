"""The stand-in for the External Secrets Operator, together with the providers that wait for it.

The API server is a dictionary that keeps what the objects' life needs: generations, finalizers, and
that a Secret goes with its owner.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from components.delivery import handover, synced
from components.delivery.handover import HandoverProvider, StoreHasAnother, StoreNotRead
from components.delivery.objects import (
    EXTERNAL_API,
    OWNER_KEY,
    PUSH_API,
    Remote,
    external_secret_spec,
    push_secret_spec,
)
from components.delivery.synced import NotSynced, SyncedProvider
from components.sealing.opened import REVISION_ANNOTATION
from components.settings.secrets import StoreSettings
from sandbox.stand_ins.external_secrets import Failed, StandIn, is_due, rendered, status
from tests.support.builders import Cluster

State = dict[str, Any]

STORE = StoreSettings(name="platform")
STORES = "/apis/external-secrets.io/v1/clustersecretstores"
KEY = "omantel-harbor-minted-csrf-key"
NAME = "harbor-minted-csrf-key"


class Api(Cluster):
    """An API server with the few habits that count."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.is_read_only = False

    def get(self, path: str) -> Any:
        found = self.objects.get(path.partition("?")[0])
        if found is not None:
            return json.loads(json.dumps(found))
        root, _, kind = path.partition("?")[0].rpartition("/")
        if path.startswith("/apis/external-secrets.io/") and root.count("/") == 3:
            items = [v for k, v in self.objects.items() if k.startswith(root) and f"/{kind}/" in k]
            return {"items": json.loads(json.dumps(items))}
        if kind == "events":
            items = [v for k, v in self.objects.items() if k.startswith(f"{root}/events/")]
            return {"items": json.loads(json.dumps(items))}
        return None

    def post(self, path: str, body: Any) -> Any:
        self.number += 1
        made = json.loads(json.dumps(body))
        metadata = made["metadata"]
        metadata.setdefault("name", f"generated-{self.number}")
        metadata |= {"uid": f"uid-{self.number}", "generation": 1}
        assert f"{path}/{metadata['name']}" not in self.objects
        self.objects[f"{path}/{metadata['name']}"] = made
        return made

    def patch(self, path: str, merge: dict[str, Any]) -> None:
        path = path.partition("?")[0]
        if path.endswith("/status"):
            self.objects[path.removesuffix("/status")]["status"] = merge["status"]
            return
        found = self.objects[path]
        merged = _merged(found, merge)
        if merged.get("spec") != found.get("spec"):
            merged["metadata"]["generation"] += 1
        self.objects[path] = merged
        if merged["metadata"].get("deletionTimestamp") and not merged["metadata"]["finalizers"]:
            self._gone(path)

    def delete(self, path: str) -> None:
        found = self.objects.get(path)
        if found is None:
            return
        if found["metadata"].get("finalizers"):
            found["metadata"]["deletionTimestamp"] = "now"
        else:
            self._gone(path)

    def _gone(self, path: str) -> None:
        uid = self.objects.pop(path)["metadata"]["uid"]
        for other, each in [*self.objects.items()]:
            owners = each["metadata"].get("ownerReferences") or []
            if any(owner["uid"] == uid for owner in owners):
                self._gone(other)


def _merged(found: Any, merge: Any) -> Any:
    if not isinstance(merge, dict) or not isinstance(found, dict):
        return merge
    kept = {key: value for key, value in found.items() if merge.get(key, "") is not None}
    changed = {k: _merged(found.get(k, {}), v) for k, v in merge.items() if v is not None}
    return json.loads(json.dumps({**kept, **changed}))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    api.stand_in(monkeypatch)
    for name in ("store", "registry"):
        api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    provider = {"kubernetes": {"remoteNamespace": "store"}}
    api.post(STORES, {"metadata": {"name": "platform"}, "spec": {"provider": provider}})
    stand_in = StandIn(api)  # pyright: ignore[reportArgumentType]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        stand_in.once()

    for module in (handover, synced):
        monkeypatch.setattr(module.time, "sleep", sleep)
        monkeypatch.setattr(module.time, "monotonic", lambda: sum(slept))
    sleep(0)
    return api


INPUTS: State = {
    "namespace": "registry",
    "name": NAME,
    "data": {"CSRF_KEY": "TOPSECRET"},
    "storeKind": "ClusterSecretStore",
    "storeName": "platform",
    "storeKey": KEY,
    "owner": "registry.omantel.omani.works",
    "timeoutSeconds": 60.0,
    "minted": None,
    "adopting": False,
    "stack": "omantel",
}


def encoded(**texts: str) -> dict[str, str]:
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}


def put(api: Api, path: str, body: State) -> None:
    """As the engine applies an object."""
    name = body["metadata"]["name"]
    if f"{path}/{name}" in api.objects:
        api.patch(f"{path}/{name}", body)
    else:
        api.post(path, body)


def applied(api: Api, value: str, revision: str) -> State:
    """Source, PushSecret and ExternalSecret, as the program applies them; inputs of the wait."""
    named = {REVISION_ANNOTATION: revision}
    place = "/api/v1/namespaces/registry/secrets"
    data = encoded(**{"CSRF_KEY": value, OWNER_KEY: "registry.omantel.omani.works"})
    put(api, place, {"metadata": {"name": f"{NAME}-pushed", "annotations": named}, "data": data})
    pushes = "/apis/external-secrets.io/v1alpha1/namespaces/registry/pushsecrets"
    push = push_secret_spec(
        STORE, source=f"{NAME}-pushed", key=KEY, keys=["CSRF_KEY"], refresh_interval="1h"
    )
    metadata = {"name": NAME, "namespace": "registry"}
    put(
        api,
        pushes,
        {
            "apiVersion": PUSH_API,
            "kind": "PushSecret",
            "metadata": {**metadata, "annotations": named},
            "spec": push,
        },
    )
    spec = external_secret_spec(
        STORE,
        remotes={"CSRF_KEY": Remote(key=KEY, part="CSRF_KEY")},
        refresh_interval="1h",
        kind="Opaque",
        labels={"team": "registry"},
        revision=revision,
    )
    return external(api, spec) | {"revision": revision, "source": f"{NAME}-pushed"}


def external(api: Api, spec: State) -> State:
    path = "/apis/external-secrets.io/v1/namespaces/registry/externalsecrets"
    metadata = {"name": NAME, "namespace": "registry"}
    made = {"apiVersion": EXTERNAL_API, "kind": "ExternalSecret", "metadata": metadata}
    put(api, path, {**made, "spec": spec})
    meta = api.objects[f"{path}/{NAME}"]["metadata"]
    return {
        "namespace": "registry",
        "name": NAME,
        "applied": f"{meta['uid']}/{meta['generation']}",
        "remotes": "estate, property password",
        "timeoutSeconds": 60.0,
        "stack": "omantel",
    }


def in_store(api: Api, key: str = KEY) -> dict[str, str]:
    data = api.objects[f"/api/v1/namespaces/store/secrets/{key}"]["data"]
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def in_cluster(api: Api) -> dict[str, str]:
    data = api.objects[f"/api/v1/namespaces/registry/secrets/{NAME}"]["data"]
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def test_a_value_goes_to_the_store_and_back_and_is_rotated(api: Api) -> None:
    HandoverProvider().create({**INPUTS, "revision": "one"})
    outs = SyncedProvider().create(applied(api, "TOPSECRET", "one")).outs
    assert outs is not None
    assert in_cluster(api) == {"CSRF_KEY": "TOPSECRET"}
    assert in_store(api) == {
        "CSRF_KEY": "TOPSECRET",
        OWNER_KEY: "registry.omantel.omani.works",
    }
    rotated = applied(api, "TOPSECRET-2", "two")
    assert SyncedProvider().diff("id", outs, rotated).changes
    outs = SyncedProvider().update("id", outs, rotated).outs
    assert outs is not None
    assert in_cluster(api) == {"CSRF_KEY": "TOPSECRET-2"}
    assert not SyncedProvider().diff("id", outs, rotated).changes


def test_what_somebody_changed_in_the_store_is_put_back_by_the_wait(api: Api) -> None:
    inputs = applied(api, "TOPSECRET", "one")
    outs = SyncedProvider().create(inputs).outs
    assert outs is not None
    path = f"/api/v1/namespaces/store/secrets/{KEY}"
    api.patch(path, {"data": encoded(CSRF_KEY="of-somebody")})
    api.patch(
        f"/apis/external-secrets.io/v1/namespaces/registry/externalsecrets/{NAME}",
        {"metadata": {"annotations": {"force-sync": "1"}}},
    )
    synced.time.sleep(0.1)
    assert in_cluster(api) == {"CSRF_KEY": "of-somebody"}
    assert SyncedProvider().diff("id", outs, inputs).changes
    again = SyncedProvider().update("id", outs, inputs).outs
    assert again is not None
    assert again["revision"] == "one"
    assert in_cluster(api) == {"CSRF_KEY": "TOPSECRET"}
    assert in_store(api)["CSRF_KEY"] == "TOPSECRET"


def test_another_sovereign_s_key_is_refused(api: Api) -> None:
    theirs = encoded(**{"CSRF_KEY": "TOPSECRET-3", OWNER_KEY: "registry.otech.omani.works"})
    api.post("/api/v1/namespaces/store/secrets", {"metadata": {"name": KEY}, "data": theirs})
    with pytest.raises(StoreHasAnother, match=r"registry\.otech\.omani\.works"):
        HandoverProvider().create({**INPUTS, "revision": "one"})
    assert [path for path in api.objects if "in-store" in path] == []


def test_a_store_that_is_gone_is_told(api: Api) -> None:
    with pytest.raises(StoreNotRead, match='"nowhere" not found'):
        HandoverProvider().create({**INPUTS, "storeName": "nowhere", "revision": "one"})


def of_store(api: Api) -> State:
    spec = external_secret_spec(
        STORE,
        remotes={"password": Remote(key="estate", part="password")},
        refresh_interval="1h",
        kind="Opaque",
        labels={},
        template={"url": 'redis://:{{ .password | urlquery | replace "+" "%20" }}@valkey'},
    )
    return external(api, spec)


def test_a_missing_key_is_told_and_found_once_it_is_written(api: Api) -> None:
    inputs = of_store(api)
    with pytest.raises(NotSynced, match=r"\(key: estate\), err: Secret does not exist"):
        SyncedProvider().create(inputs)
    body: State = {"metadata": {"name": "estate"}, "data": encoded(password="a b")}
    api.post("/api/v1/namespaces/store/secrets", body)
    outs = SyncedProvider().create(inputs).outs
    assert outs is not None
    assert in_cluster(api) == {"url": "redis://:a%20b@valkey"}
    assert outs["revision"]


def test_a_secret_goes_with_its_external_secret(api: Api) -> None:
    SyncedProvider().create(applied(api, "TOPSECRET", "one"))
    path = f"/apis/external-secrets.io/v1/namespaces/registry/externalsecrets/{NAME}"
    api.delete(path)
    assert path in api.objects, "the operator's finalizer"
    synced.time.sleep(0.1)
    assert [each for each in api.objects if each.endswith(f"/{NAME}") and "secrets" in each] == [
        f"/apis/external-secrets.io/v1alpha1/namespaces/registry/pushsecrets/{NAME}"
    ]
    assert in_store(api)


def test_a_secret_of_another_controller_is_not_taken(api: Api) -> None:
    owner = {"kind": "SealedSecret", "name": NAME, "uid": "other", "controller": True}
    metadata = {"name": NAME, "ownerReferences": [owner]}
    api.post("/api/v1/namespaces/registry/secrets", {"metadata": metadata, "data": {}})
    with pytest.raises(NotSynced, match="already owned by another SealedSecret"):
        SyncedProvider().create(applied(api, "TOPSECRET", "one"))


@pytest.mark.parametrize(
    "template", ["{{ .password | upper }}", "{{ .other }}", '{{ .password | replace "a" }}']
)
def test_a_template_that_the_stand_in_does_not_know_fails(template: str) -> None:
    with pytest.raises(Failed):
        rendered(template, {"password": "TOPSECRET"})


def test_an_object_is_due_when_it_changed_or_its_interval_is_over() -> None:
    import datetime as dt

    now = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
    found: State = {"metadata": {"generation": 1}, "spec": {"refreshInterval": "1h30m"}}
    assert is_due(found, now)
    done = {**found, "status": status(found, ok=True, reason="r", message="m", now=now)}
    assert not is_due(done, now + dt.timedelta(minutes=89))
    assert is_due(done, now + dt.timedelta(minutes=91))
    assert is_due({**done, "metadata": {"generation": 2}}, now)
    assert is_due({**done, "metadata": {"generation": 1, "annotations": {"force-sync": "1"}}}, now)
    failed = status(done, ok=False, reason="r", message="m", now=now)
    assert failed["syncedResourceVersion"] == done["status"]["syncedResourceVersion"]
    once = {**done, "spec": {"refreshInterval": "0s"}, "metadata": {"generation": 9}}
    assert not is_due(once, now)
