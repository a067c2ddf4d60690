"""Waiting until the operator has made a Secret from the store.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

import pulumi
from pulumi.dynamic import DiffResult, Resource

from components.commands import run
from components.delivery.delivered import (
    Delivered,
    external_path,
    is_observed,
    is_ready,
    is_refused,
    push_path,
    reason,
)
from components.delivery.objects import source_name
from components.sealing.made_secret import MadeSecretProvider
from components.sealing.opened import secret_path

FORCE_SYNC: Final = "force-sync"
"""Annotation by whose change the operator looks at once (external-secrets docs/introduction/faq.md,
"Can I manually trigger a secret refresh?"). It belongs to nobody's manifest."""

AGAIN_SECONDS: Final = 3.0
"""How long the operator may take until it is made to look again."""

REFUSED_SECONDS: Final = 15.0
"""How long the operator may go on refusing. It tries again by itself, at growing intervals."""

HOWTO: Final = "docs/howto/external-secrets.md"


class NotSynced(Exception):
    """The Secret did not appear in time; the text quotes the operator."""


class SyncedProvider(MadeSecretProvider):
    """Holds `up` until the Secret has what the ExternalSecret says, as it was applied.

    Inputs: `namespace`, `name`, `applied` (names the ExternalSecret as it was applied), `revision`
    and `source` (name of the Secret that is pushed) where the program made the value, `remotes`
    (what is read, for messages).

    A value that only the store has is not known to the program. Then `revision` is an output: a
    random text, another one whenever the Secret's data are others than at the last wait, by a
    salted digest. The diff looks at the live Secret, so a password that changed in the store is an
    update of this resource, and of its readers, at the next run after the operator fetched it.
    """

    kind = "ExternalSecret"
    path = staticmethod(external_path)
    witness = "content"

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [k for k in ("namespace", "name") if _olds.get(k) != _news.get(k)]
        changed = any(_olds.get(key) != _news.get(key) for key in ("applied", "source"))
        named = _news.get("revision")
        changed = changed or (named is not None and named != _olds.get("revision"))
        return DiffResult(
            changes=bool(replaces) or changed or not self.is_as_meant(_olds), replaces=replaces
        )

    def is_meant(self, props: dict[str, Any], maker: Any, secret: Any) -> bool:
        there = Delivered(external=maker, secret=secret)
        named = props["revision"] if props.get("source") else None
        is_same = there.content(props["salt"]) == props["content"]
        return bool(secret) and there.has(named) and is_same and not is_refused(maker)

    def awaited(self, props: dict[str, Any], *, before: dict[str, Any]) -> dict[str, Any]:
        namespace, name, source = props["namespace"], props["name"], props.get("source")
        begun = nudged = time.monotonic()
        refused: float | None = None
        pause = 0.05
        while True:
            there = self._there(namespace, name, pushed=bool(source))
            if there.external is None:
                raise NotSynced(self.gone(props))
            is_made = there.is_synced and there.is_of_this_one
            is_right = there.has(props.get("revision")) and (not source or there.came_back)
            if is_made and is_right:
                return _outputs(props, there, before)
            now = time.monotonic()
            is_bad = is_refused(there.external) or (bool(source) and is_refused(there.push))
            refused = (refused or now) if is_bad else None
            is_given_up = refused is not None and now - refused >= REFUSED_SECONDS
            if is_given_up or now - begun > float(props["timeoutSeconds"]):
                raise NotSynced(self._why(props, there, now - begun))
            if now - nudged >= AGAIN_SECONDS:
                nudged = now
                self._look_again(there, namespace, name, is_pushed=bool(source))
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def _there(self, namespace: str, name: str, *, pushed: bool) -> Delivered:
        get = self.client().get
        return Delivered(
            external=get(external_path(namespace, name)),
            secret=get(secret_path(namespace, name)),
            push=get(push_path(namespace, name)) if pushed else None,
            source=get(secret_path(namespace, source_name(name))) if pushed else None,
        )

    def _look_again(self, there: Delivered, namespace: str, name: str, *, is_pushed: bool) -> None:
        """Makes the operator push, if the store has another value, and read at once."""
        paths = [external_path(namespace, name)]
        if is_pushed and not there.came_back:
            paths.insert(0, push_path(namespace, name))
        for path in paths:
            self.client().patch(
                f"{path}?fieldManager=sovereign-harbor-sync",
                {"metadata": {"annotations": {FORCE_SYNC: secrets.token_hex(4)}}},
            )

    def _why(self, props: Mapping[str, Any], there: Delivered, seconds: float) -> str:
        where = f"{props['namespace']}/{props['name']}"
        stack = props.get("stack")
        if props.get("source") and not is_ready(there.push):
            return (
                f"the value of Secret {where} did not reach the store within {seconds:.0f} s. The "
                f"operator says of PushSecret {where}: "
                f"{reason(self.events(there.push), there.push)}\n"
                "  fix: the store must be one that the operator may write to, and not read-only, "
                f"see {HOWTO}; then {run('up', stack)} tries again"
            )
        told = reason(self.events(there.external), there.external)
        is_read = is_ready(there.external) and is_observed(there.external)
        if not props.get("source") and not is_read:
            return (
                f"Secret {where} was not made from the store within {seconds:.0f} s. The operator "
                f"says of ExternalSecret {where}: {told}\n"
                f"  fix: the store must have {props['remotes']}, which this program only reads: "
                f"write the password there ({HOWTO}); then {run('up', stack)} tries again"
            )
        if there.is_synced and not there.is_of_this_one:
            told = "the Secret belongs to an ExternalSecret that is gone"
        elif there.is_synced and props.get("source"):
            told = "it is synced, but with another value than was pushed: who else writes that key?"
        return (
            f"Secret {where} was not made from the store within {seconds:.0f} s. The operator says "
            f"of ExternalSecret {where}: {told}\n"
            f"  fix: see {HOWTO}; {run('up', stack)} tries again"
        )


def _outputs(
    props: Mapping[str, Any], there: Delivered, before: Mapping[str, Any]
) -> dict[str, Any]:
    salt = os.urandom(16).hex()
    declared = {key: value for key, value in props.items() if not key.startswith("__")}
    named: str | None = props.get("revision")
    if named is None:
        # The digest before was made with the salt before.
        is_same = bool(before.get("content")) and (
            there.content(str(before["salt"])) == before["content"]
        )
        named = before["revision"] if is_same else secrets.token_hex(8)
    return {**declared, "revision": named, "content": there.content(salt), "salt": salt}


class Synced(Resource, module="delivery", name="Synced"):
    """A Secret that exists with what the store has. The output `name` is its name."""

    name: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        secret_name: pulumi.Input[str],
        applied: pulumi.Input[str | None],
        remotes: str,
        revision: pulumi.Input[str] | None = None,
        source: str | None = None,
        timeout_seconds: int,
        stack: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`applied`: names the ExternalSecret as it was applied, another after each change of it.
        `revision`, `source`: None where only the store has the value."""
        super().__init__(
            SyncedProvider(),
            name,
            {
                "namespace": namespace,
                "name": secret_name,
                "revision": revision,
                "applied": applied,
                "remotes": remotes,
                "source": source,
                "timeoutSeconds": timeout_seconds,
                "stack": stack,
                "content": None,
                "salt": None,
            },
            pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(additional_secret_outputs=["salt"]), opts
            ),
        )
