"""A stand-in for the External Secrets Operator: it carries out what this program asks of it.

Its store is a namespace: a key is a Secret there, a property one of its keys, as with the
operator's provider `kubernetes`. Conditions, reasons, messages, labels, the finalizer and the order
of things are the operator's (external-secrets v2.9, pkg/controllers/externalsecret and pushsecret;
providers/v1/kubernetes/client.go). Of the templates it knows what this program writes.

    python -m sandbox.stand_ins.external_secrets --context=<context>
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime as dt
import hashlib
import json
import re
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

from components.kubernetes.client import ClusterClient
from components.kubernetes.unreachable import ClusterUnreachable

API: Final = "/apis/external-secrets.io"
FINALIZER: Final = "externalsecrets.external-secrets.io/externalsecret-cleanup"
MANAGED: Final = {"reconcile.external-secrets.io/managed": "true"}
DATA_HASH: Final = "reconcile.external-secrets.io/data-hash"
OWNS: Final = "sovereign-harbor-stand-in.test/owns"
"""Annotation with the labels and annotations that the stand-in wrote; the operator knows its own by
the managed fields."""
PAUSE_SECONDS: Final = 0.3

Data = dict[str, str]
"""Of a Secret, in base64."""


class Failed(Exception):
    """What the operator would tell as an event."""


class NoSecret(Failed):
    """The store has no such key (esv1.NoSecretErr)."""

    def __init__(self) -> None:
        super().__init__("Secret does not exist")


# --- Pure --------------------------------------------------------------------------------------


def rendered(template: str, values: Mapping[str, str]) -> str:
    """A Go template of the operator's engine v2. Raises Failed for what it does not know."""

    def pipeline(match: re.Match[str]) -> str:
        first, *functions = (part.strip() for part in match[1].split("|"))
        if first.startswith('"'):
            text = json.loads(first)
        elif first.removeprefix(".") in values:
            text = values[first.removeprefix(".")]
        else:
            raise Failed(f"could not execute template: map has no entry for key {first}")
        for function in functions:
            text = _applied(function, text)
        return text

    return re.sub(r"\{\{(.*?[^{])\}\}", pipeline, template)


def _applied(function: str, text: str) -> str:
    if function == "urlquery":
        return quote_plus(text, safe="")  # as Go's url.QueryEscape
    if match := re.fullmatch(r'replace ("[^"]*") ("[^"]*")', function):
        return text.replace(json.loads(match[1]), json.loads(match[2]))
    raise Failed(f"could not execute template: function {function} is not of this stand-in")


def synced_version(metadata: Mapping[str, Any]) -> str:
    """Generation and a digest of labels and annotations (pkg/controllers/util/util.go)."""
    parts = [metadata.get("labels") or {}, metadata.get("annotations") or {}]
    digest = hashlib.sha3_224(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{metadata['generation']}-{digest}"


def seconds_of(interval: str) -> float:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(n) * units[u] for n, u in re.findall(r"([0-9.]+)([hms])", interval))


def is_due(found: Mapping[str, Any], now: dt.datetime) -> bool:
    """Whether an ExternalSecret or PushSecret is carried out again."""
    status: Mapping[str, Any] = found.get("status") or {}
    synced = status.get("syncedResourceVersion")
    interval = seconds_of(found["spec"].get("refreshInterval", "1h"))
    if interval <= 0 and synced:
        return False
    if synced != synced_version(found["metadata"]) or not status.get("refreshTime"):
        return True
    refreshed = dt.datetime.fromisoformat(status["refreshTime"])
    return refreshed + dt.timedelta(seconds=interval) < now


def status(
    found: Mapping[str, Any], *, ok: bool, reason: str, message: str, now: dt.datetime
) -> dict[str, Any]:
    """The status after a run. A failed one keeps what was synced before."""
    before: Mapping[str, Any] = found.get("status") or {}
    old = next(iter(before.get("conditions") or []), {})
    value = "True" if ok else "False"
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    is_same = old.get("status") == value
    condition = {
        "type": "Ready",
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": old.get("lastTransitionTime", moment) if is_same else moment,
    }
    done = {
        "refreshTime": now.strftime("%Y-%m-%dT%H:%M:%S+00:00").replace("+00:00", "Z"),
        "syncedResourceVersion": synced_version(found["metadata"]),
    }
    return {**before, **(done if ok else {}), "conditions": [condition]}


def fetched(spec: Mapping[str, Any], store: Mapping[str, Data]) -> tuple[Data, bool]:
    """The data of an ExternalSecret, by its names, and whether the store had nothing. Raises
    Failed."""
    data: Data = {}
    keeps = spec["target"].get("deletionPolicy", "Retain") == "Retain"
    for each in spec.get("dataFrom") or []:
        try:
            data.update(_of_key(store, each["extract"]["key"]))
        except NoSecret:
            if keeps:
                raise
    for index, each in enumerate(spec.get("data") or []):
        ref = each["remoteRef"]
        try:
            data[each["secretKey"]] = _value(store, ref["key"], ref.get("property"))
        except NoSecret as error:
            if keeps:
                raise Failed(
                    f"error processing spec.data[{index}] (key: {ref['key']}), err: {error}"
                ) from None
        except Failed as error:
            raise Failed(
                f"error processing spec.data[{index}] (key: {ref['key']}), err: {error}"
            ) from None
    return data, not data


def _of_key(store: Mapping[str, Data], key: str) -> Data:
    if key not in store:
        raise NoSecret
    return store[key]


def _value(store: Mapping[str, Data], key: str, part: str | None) -> str:
    whole = _of_key(store, key)
    if part is None:
        texts = {name: _decoded(value) for name, value in whole.items()}
        return _encoded(json.dumps(texts))
    if part not in whole:
        raise Failed(f"property {part} does not exist in key {key}")
    return whole[part]


def target(external: Mapping[str, Any], data: Data, before: Mapping[str, Any]) -> dict[str, Any]:
    """The Secret of an ExternalSecret. `before`: the Secret so far; empty when there is none."""
    template: Mapping[str, Any] = external["spec"]["target"].get("template") or {}
    meta: Mapping[str, Any] = template.get("metadata") or external["metadata"]
    values = {name: _decoded(value) for name, value in data.items()}
    texts = template.get("data")
    whole = data if not texts else {k: _encoded(rendered(t, values)) for k, t in texts.items()}
    named = {
        part: {k: rendered(v, values) for k, v in (meta.get(part) or {}).items()}
        for part in ("labels", "annotations")
    }
    old = before.get("metadata") or {}
    owned = json.loads((old.get("annotations") or {}).get(OWNS, "{}"))
    kept = {
        part: {k: v for k, v in (old.get(part) or {}).items() if k not in owned.get(part, [])}
        for part in ("labels", "annotations")
    }
    digest = hashlib.sha3_224(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    owns = {part: sorted(each) for part, each in named.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": template.get("type") or before.get("type") or "Opaque",
        "metadata": {
            "name": external["metadata"]["name"],
            "namespace": external["metadata"]["namespace"],
            "labels": {**kept["labels"], **named["labels"], **MANAGED},
            "annotations": {
                **kept["annotations"],
                **named["annotations"],
                DATA_HASH: digest,
                OWNS: json.dumps(owns),
            },
            "ownerReferences": [
                {
                    "apiVersion": external["apiVersion"],
                    "kind": "ExternalSecret",
                    "name": external["metadata"]["name"],
                    "uid": external["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "data": whole,
    }


def foreign_controller(secret: Mapping[str, Any], external: Mapping[str, Any]) -> str | None:
    """Why the operator may not become the owner of a Secret; None where it may."""
    owners = (secret.get("metadata") or {}).get("ownerReferences") or []
    for owner in owners:
        is_other = owner.get("kind") != "ExternalSecret"
        if owner.get("controller") and is_other:
            return (
                "could not set controller reference on secret: Object "
                f"{external['metadata']['namespace']}/{external['metadata']['name']} is already "
                f"owned by another {owner.get('kind')} controller {owner.get('name')}"
            )
    return None


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


# --- The cluster -------------------------------------------------------------------------------


class StandIn:
    """Looks at all objects again and again; no watch, since there are few of them."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._failed: dict[str, tuple[float, float]] = {}
        """Object → when it is tried again, and the pause before."""

    def once(self) -> None:
        for kind, version in (
            ("clustersecretstores", "v1"),
            ("secretstores", "v1"),
            ("pushsecrets", "v1alpha1"),
            ("externalsecrets", "v1"),
        ):
            listed = self._client.get(f"{API}/{version}/{kind}") or {}
            for found in listed.get("items") or []:
                found.setdefault("kind", "ExternalSecret")
                found["apiVersion"] = f"external-secrets.io/{version}"
                self._carry_out(kind, version, found)

    def _carry_out(self, kind: str, version: str, found: dict[str, Any]) -> None:
        now = dt.datetime.now(dt.UTC)
        meta = found["metadata"]
        if "store" in kind:
            self._store(kind, found, now)
            return
        path = f"{API}/{version}/namespaces/{meta['namespace']}/{kind}/{meta['name']}"
        if kind == "externalsecrets" and self._finalized(path, found):
            return
        secret_path = f"/api/v1/namespaces/{meta['namespace']}/secrets/{meta['name']}"
        is_external = kind == "externalsecrets"
        is_invalid = is_external and self._is_invalid(found, secret_path)
        if not is_due(found, now) and not is_invalid:
            return
        key = f"{path} {synced_version(meta)}"
        again, pause = self._failed.get(key, (0.0, 0.25))
        if time.monotonic() < again:
            return
        try:
            if is_external:
                reason, message = self._external(found, secret_path)
            else:
                reason, message = self._push(found)
            new = status(found, ok=True, reason=reason, message=message, now=now)
            self._failed.pop(key, None)
        except Failed as error:
            self._failed[key] = (time.monotonic() + pause, min(pause * 2, 60))
            told = "could not get secret data from provider" if is_external else str(error)
            if is_external and "controller reference" in str(error):
                told = "failed to take ownership of target secret"
            failed = "SecretSyncedError" if is_external else "Errored"
            new = status(found, ok=False, reason=failed, message=told, now=now)
            self._event(found, "UpdateFailed" if is_external else "Errored", str(error), now)
        self._client.patch(f"{path}/status", {"status": new})

    def _finalized(self, path: str, found: Mapping[str, Any]) -> bool:
        """Puts the finalizer on, or lets go of an object that is deleted; whether that was it."""
        meta = found["metadata"]
        finalizers: list[str] = meta.get("finalizers") or []
        if meta.get("deletionTimestamp"):
            if found["spec"]["target"].get("deletionPolicy") == "Delete":
                self._client.delete(
                    f"/api/v1/namespaces/{meta['namespace']}/secrets/{meta['name']}"
                )
            left = [each for each in finalizers if each != FINALIZER]
            self._client.patch(path, {"metadata": {"finalizers": left}})
            return True
        if FINALIZER not in finalizers:
            self._client.patch(path, {"metadata": {"finalizers": [*finalizers, FINALIZER]}})
            return True
        return False

    def _is_invalid(self, found: Mapping[str, Any], path: str) -> bool:
        """Whether somebody removed or changed the Secret, which the operator mends at once."""
        if not (found.get("status") or {}).get("syncedResourceVersion"):
            return False
        if found["spec"]["target"].get("deletionPolicy") == "Delete":
            return False
        secret = self._client.get(path)
        if secret is None:
            return True
        data = secret.get("data") or {}
        digest = hashlib.sha3_224(json.dumps(data, sort_keys=True).encode()).hexdigest()
        annotations = secret["metadata"].get("annotations") or {}
        return annotations.get(DATA_HASH) != digest

    def _external(self, found: dict[str, Any], path: str) -> tuple[str, str]:
        spec = found["spec"]
        namespace = self._namespace(spec["secretStoreRef"], found["metadata"]["namespace"])
        data, is_nothing = fetched(spec, _Store(self._client, namespace))
        if is_nothing:
            self._client.delete(path)
            return "SecretDeleted", "secret deleted due to DeletionPolicy=Delete"
        before = self._client.get(path) or {}
        if (reason := foreign_controller(before, found)) is not None:
            raise Failed(reason)
        made = target(found, data, before)
        collection = path.rpartition("/")[0]
        if not before:
            self._client.post(collection, made)
        else:
            # A merge patch removes what is named null.
            old = before.get("data") or {}
            gone: dict[str, None] = {k: None for k in old if k not in made["data"]}
            labels = before["metadata"].get("labels") or {}
            lost: dict[str, None] = {k: None for k in labels if k not in made["metadata"]["labels"]}
            metadata = {**made["metadata"], "labels": {**lost, **made["metadata"]["labels"]}}
            merge = {**made, "metadata": metadata, "data": {**gone, **made["data"]}}
            self._client.patch(path, merge)
        return "SecretSynced", "secret synced"

    def _push(self, found: dict[str, Any]) -> tuple[str, str]:
        spec, own = found["spec"], found["metadata"]["namespace"]
        name = spec["selector"]["secret"]["name"]
        source = self._client.get(f"/api/v1/namespaces/{own}/secrets/{name}")
        if source is None:
            raise Failed("could not get source secret")
        given: Data = source.get("data") or {}
        for ref in spec["secretStoreRefs"]:
            namespace = self._namespace(ref, own)
            for each in spec["data"]:
                self._write(namespace, each["match"], given, ref)
        return "Synced", "PushSecret synced successfully"

    def _write(
        self, namespace: str, match: Mapping[str, Any], given: Data, ref: Mapping[str, Any]
    ) -> None:
        remote = match["remoteRef"]
        if match["secretKey"] not in given:
            raise Failed(f"set secret failed: secret key {match['secretKey']} does not exist")
        data = {remote["property"]: given[match["secretKey"]]}
        collection = f"/api/v1/namespaces/{namespace}/secrets"
        metadata = {"name": remote["remoteKey"], "namespace": namespace}
        try:
            there = self._client.get(f"{collection}/{remote['remoteKey']}")
            if there is None:
                body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
                self._client.post(collection, body)
            elif (there.get("data") or {}).get(remote["property"]) != data[remote["property"]]:
                self._client.patch(f"{collection}/{remote['remoteKey']}", {"data": data})
        except ClusterUnreachable as error:
            raise Failed(
                f"set secret failed: could not write remote ref {match['secretKey']} to target "
                f"secretstore {ref['name']}: {error}"
            ) from None

    def _namespace(self, ref: Mapping[str, Any], own: str) -> str:
        """The namespace that holds a store. Raises Failed where the store is not Ready."""
        kind, name = ref.get("kind", "SecretStore"), ref["name"]
        where = "" if kind == "ClusterSecretStore" else f"namespaces/{own}/"
        store = self._client.get(f"{API}/v1/{where}{kind.lower()}s/{name}")
        if store is None:
            raise Failed(f'could not get {kind} "{name}", {kind.lower()} "{name}" not found')
        conditions = (store.get("status") or {}).get("conditions") or []
        if not any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            raise Failed(f"{kind} {name} is not ready")
        return store["spec"]["provider"]["kubernetes"].get("remoteNamespace", "default")

    def _store(self, kind: str, found: dict[str, Any], now: dt.datetime) -> None:
        meta = found["metadata"]
        namespace = found["spec"]["provider"]["kubernetes"].get("remoteNamespace", "default")
        is_there = self._client.get(f"/api/v1/namespaces/{namespace}") is not None
        before = found.get("status") or {}
        old = next(iter(before.get("conditions") or []), {})
        if old.get("status") == ("True" if is_there else "False"):
            return
        reason = "Valid" if is_there else "InvalidProviderConfig"
        message = "store validated" if is_there else f'namespaces "{namespace}" not found'
        new = status(found, ok=False, reason=reason, message=message, now=now)
        new["conditions"][0]["status"] = "True" if is_there else "False"
        where = "" if kind == "clustersecretstores" else f"namespaces/{meta['namespace']}/"
        said = {"conditions": new["conditions"], "capabilities": "ReadWrite"}
        self._client.patch(f"{API}/v1/{where}{kind}/{meta['name']}/status", {"status": said})

    def _event(self, found: Mapping[str, Any], reason: str, message: str, now: dt.datetime) -> None:
        meta = found["metadata"]
        moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
            "involvedObject": {
                "kind": found["kind"],
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "source": {"component": "external-secrets-stand-in"},
        }
        with contextlib.suppress(ClusterUnreachable):
            self._client.post(f"/api/v1/namespaces/{meta['namespace']}/events", body)


class _Store(dict[str, Data]):
    """The keys of a store, read when they are asked for."""

    def __init__(self, client: ClusterClient, namespace: str) -> None:
        super().__init__()
        self._client, self._namespace = client, namespace

    def __contains__(self, key: object) -> bool:
        if not super().__contains__(key):
            secret = self._client.get(f"/api/v1/namespaces/{self._namespace}/secrets/{key}")
            if secret is None:
                return False
            self[str(key)] = secret.get("data") or {}
        return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.stand_ins.external_secrets")
    parser.add_argument("--context", help="of the kubeconfig; the current one unless given")
    stand_in = StandIn(ClusterClient(parser.parse_args().context))
    print("a stand-in for the External Secrets Operator: its stores are namespaces", flush=True)
    while True:
        try:
            stand_in.once()
        except ClusterUnreachable as error:
            print(error, file=sys.stderr, flush=True)
        except Exception:  # one object that is wrong must not end the others
            traceback.print_exc()
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
