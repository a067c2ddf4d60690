"""Handover: a value that the program has, before it is given into the estate's store.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Final

import pulumi
from pulumi.dynamic import CreateResult, Resource, UpdateResult

from components.commands import run, set_secret, set_value
from components.delivery.delivered import external_path, is_ready, is_refused, ready, reason
from components.delivery.objects import OWNER_KEY, proof_manifest, proof_name
from components.kubernetes.naming import PART_OF
from components.sealing.kept import KEPT, NAMES, may_be_another
from components.sealing.opened import secret_path
from components.sealing.revisions import Minted, RevisionProvider, where

REFUSED_SECONDS: Final = 10.0
"""How long the operator may go on failing to read the store."""

PLACE: Final = ("storeKind", "storeName", "storeKey")
"""Inputs that say where in which store."""


class StoreHasAnother(Exception):
    """The store has a value that must not be written over; the text says what to do."""


class StoreNotRead(Exception):
    """The operator did not say what the store has; the text quotes it."""


class HandoverProvider(RevisionProvider):
    """Names the value, and looks what the store has under its key before it is first written.

    A PushSecret writes over whatever is there. So `create` has the operator read the key, by an
    ExternalSecret for moments, and refuses what somebody else wrote, and what a kept database may
    need (components/sealing/kept.py). So does an update that goes to another place.
    """

    contents: ClassVar[tuple[str, ...]] = ("data", "owner", *PLACE)
    maker: ClassVar[str] = "externalsecret"

    def create(self, props: dict[str, Any]) -> CreateResult:
        self._prove(props)
        return CreateResult(id_=where(props), outs=_outputs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        if any(_olds.get(key) != _news.get(key) for key in PLACE):
            self._prove(_news)
        return UpdateResult(outs=_outputs(_news))

    def _prove(self, props: Mapping[str, Any]) -> None:
        there = self._in_store(props)
        if there is not None:
            refusal = another_value(there, props)
            if refusal is not None:
                raise StoreHasAnother(refusal)

    def _in_store(self, props: Mapping[str, Any]) -> Mapping[str, str] | None:
        """What the store has under the key, in base64; None where it has nothing."""
        from components.kubernetes.client import dig

        client, namespace = self.client(), props["namespace"]
        name = proof_name(props["name"])
        path = external_path(namespace, name)
        self._remove(path)
        manifest = proof_manifest(
            namespace,
            name,
            store={"kind": props["storeKind"], "name": props["storeName"]},
            key=props["storeKey"],
            labels={PART_OF[0]: PART_OF[1]},
        )
        try:
            client.post(path.rpartition("/")[0], manifest)
            proof = self._answer(path, props)
            if ready(proof).get("reason") == "SecretDeleted":
                return None
            return dig(client.get(secret_path(namespace, name)), "data") or {}
        finally:
            self._remove(path)
            with contextlib.suppress(Exception):
                # With its ExternalSecret it goes, but a moment later.
                client.delete(secret_path(namespace, name))

    def _answer(self, path: str, props: Mapping[str, Any]) -> Any:
        client, begun = self.client(), time.monotonic()
        refused: float | None = None
        while True:
            proof, now = client.get(path), time.monotonic()
            if is_ready(proof):
                return proof
            refused = (refused or now) if is_refused(proof) else None
            is_given_up = refused is not None and now - refused >= REFUSED_SECONDS
            if is_given_up or now - begun > float(props["timeoutSeconds"]):
                raise StoreNotRead(
                    f"the operator did not read key {props['storeKey']} of "
                    f"{props['storeKind']} {props['storeName']} within {now - begun:.0f} s, so "
                    "nothing was written there. It says: "
                    f"{reason(self.events(proof), proof)}\n"
                    f"  fix: kubectl describe {props['storeKind'].lower()} {props['storeName']} "
                    "says whether the store works; the operator must be allowed to read and to "
                    f"write the keys of this stack (docs/howto/external-secrets.md). Then "
                    f"{run('up', props.get('stack'))} tries again"
                )
            time.sleep(0.2)

    def _remove(self, path: str) -> None:
        """Deletes an ExternalSecret, and waits until the operator lets go of it."""
        client, begun = self.client(), time.monotonic()
        client.delete(path)
        while client.get(path) is not None and time.monotonic() - begun < REFUSED_SECONDS:
            time.sleep(0.1)


def another_value(there: Mapping[str, str], props: Mapping[str, Any]) -> str | None:
    """Why the value in the store must not be written over; None where it may. Pure.

    `there`: the key's properties, in base64. What is not kept with a database and is this
    Sovereign's own may be written over: nothing is lost with it, and where a Harbor lives that
    reads it, its Secret in the cluster was looked at before.
    """
    data: Mapping[str, str] = props["data"]
    if all(_is(there.get(key), value) for key, value in data.items()):
        return None
    place = f"key {props['storeKey']} of {props['storeKind']} {props['storeName']}"
    stack = props.get("stack")
    prefix = f"  fix: choose other keys: {set_value('secrets.prefix', '<prefix>', stack)}"
    if OWNER_KEY not in there:
        return (
            f"{place} has a value that this program did not write; it was not touched\n{prefix}\n"
            "  or, only if nobody needs it: delete that key in the store"
        )
    if not _is(there[OWNER_KEY], props["owner"]):
        owner = base64.b64decode(there[OWNER_KEY]).decode(errors="replace")
        return (
            f"{place} belongs to the Sovereign whose registry is {owner}; it was not touched. Two "
            f"Sovereigns on one store need prefixes of their own\n{prefix}\n"
            f"  or, only if that Sovereign is gone for good: delete that key in the store"
        )
    name = props["name"]
    if name not in NAMES or (props.get("minted") is None and may_be_another(name)):
        return None
    kept = next(each for each in KEPT if name in each.names)
    return (
        f"{place} has another value of Secret {where(props)} than this stack's state; it was not "
        "touched. The value is missing from the state, or was made anew there, and what Harbor "
        "encrypted in its database would be lost with it\n"
        f"  fix: bring the state back: {run('stack import', stack)} --file <backup>\n"
        f"  or give the value that the store has (property {kept.key}): "
        f"{set_secret(kept.given_by, stack)}\n"
        "  or, only if that Harbor's database is gone, or may be lost: delete that key in the "
        "store (docs/howto/external-secrets.md)"
    )


def _is(encoded: str | None, value: str) -> bool:
    return hmac.compare_digest(encoded or "", base64.b64encode(value.encode()).decode())


def _outputs(props: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("namespace", "name", "data", "owner", *PLACE, "revision")
    return {key: props[key] for key in kept}


class Handover(Resource, module="delivery", name="Handover"):
    """The value of one Secret, which may be given into the store.

    Inputs: namespace, name, data (key → plaintext, secret), the place in the store, and what
    `check` needs: minted (see Minted), adopting, stack.
    Output: `revision`, another for each plaintext.
    """

    revision: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        secret_name: str,
        data: dict[str, pulumi.Input[str]],
        store_kind: str,
        store_name: str,
        store_key: pulumi.Input[str],
        owner: str,
        timeout_seconds: int,
        minted: Minted | None = None,
        adopting: bool = False,
        stack: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`owner`: the registry's host. `minted`: None for values that somebody gave. `adopting`:
        whether Secrets that another state wrote may be written over."""
        super().__init__(
            HandoverProvider(),
            name,
            {
                "namespace": namespace,
                "name": secret_name,
                "data": pulumi.Output.secret(data),
                "storeKind": store_kind,
                "storeName": store_name,
                "storeKey": store_key,
                "owner": owner,
                "timeoutSeconds": timeout_seconds,
                "minted": None if minted is None else asdict(minted),
                "adopting": adopting,
                "stack": stack,
                "revision": None,
            },
            pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(additional_secret_outputs=["data"]), opts
            ),
        )
