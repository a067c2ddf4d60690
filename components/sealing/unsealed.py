"""Waiting until the controller has turned a SealedSecret into its Secret.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Any, Final

import pulumi
from pulumi.dynamic import DiffResult, Resource

from components.sealing.made_secret import MadeSecretProvider
from components.sealing.opened import REVISION_ANNOTATION, Opened, sealed_path, secret_path

__all__ = ["REVISION_ANNOTATION", "NotUnsealed", "Unsealed", "UnsealedProvider"]

LOOK_AGAIN: Final = "sovereign-harbor/look-again"
"""Annotation of the template that is set and removed at once. The controller gives up after five
tries, and looks again only when the spec changes (sealed-secrets 0.27.1, pkg/controller,
sealedSecretChanged)."""

STATUS_SECONDS: Final = 10.0
"""How long the controller may take from the Secret to its status. One that runs with
--update-status=false never writes a status."""

REFUSED_SECONDS: Final = 15.0
"""How long the controller may go on refusing after it was made to look again."""


class NotUnsealed(Exception):
    """The Secret did not appear in time; the text quotes the controller."""


class UnsealedProvider(MadeSecretProvider):
    """Holds `up` until the controller has opened the SealedSecret as it was applied.

    Neither the condition Synced nor the Secret's revision is enough. After an update the old
    Synced=True stands until the controller gets to it, and Harbor would restart on old keys. A
    Secret with the right revision can stand beside a SealedSecret that was sealed with a key that
    the controller does not have: once deleted, that Secret would not come back.
    """

    kind = "SealedSecret"
    path = staticmethod(sealed_path)
    witness = "revision"

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [k for k in ("namespace", "name") if _olds.get(k) != _news.get(k)]
        # States of earlier versions have no `applied`.
        changed = _olds.get("revision") != _news.get("revision") or (
            _olds.get("applied") is not None and _olds["applied"] != _news.get("applied")
        )
        return DiffResult(
            changes=bool(replaces) or changed or not self.is_as_meant(_olds), replaces=replaces
        )

    def is_meant(self, props: dict[str, Any], maker: Any, secret: Any) -> bool:
        opened = Opened(sealed=maker, secret=secret)
        is_refused = opened.has_status and not opened.is_synced
        return opened.has(props["revision"]) and _is_untouched(opened, props) and not is_refused

    def awaited(self, props: dict[str, Any], *, before: dict[str, Any]) -> dict[str, Any]:
        client = self.client()
        namespace, name = props["namespace"], props["name"]
        begun = time.monotonic()
        deadline = begun + float(props["timeoutSeconds"])
        looked_again: float | None = None
        pause = 0.05
        while True:
            opened = Opened(
                sealed=client.get(sealed_path(namespace, name)),
                secret=client.get(secret_path(namespace, name)),
            )
            if opened.sealed is None:
                raise NotUnsealed(self.gone(props))
            now = time.monotonic()
            is_right = (
                opened.is_of_this_one
                and opened.has(props["revision"])
                and _is_untouched(opened, before)
            )
            says_nothing = not opened.has_status and now - begun >= STATUS_SECONDS
            if is_right and (opened.is_synced or says_nothing):
                return _outputs(props, opened)
            is_refused = False
            if opened.is_observed:
                if looked_again is None:
                    self._look_again(sealed_path(namespace, name))
                    looked_again = now
                else:
                    is_refused = not opened.is_synced and now - looked_again >= REFUSED_SECONDS
            if is_refused or now > deadline:
                raise NotUnsealed(
                    f"Secret {namespace}/{name} was not unsealed within {now - begun:.0f} s. "
                    f"The controller says: {opened.message}. A certificate of another cluster, or "
                    "of a key that the controller lost, shows as «no key could decrypt secret»: "
                    "see docs/runbooks/sealing-key.md. The next `up` tries again"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def _look_again(self, path: str) -> None:
        for value in (secrets.token_hex(4), None):
            annotations = {"annotations": {LOOK_AGAIN: value}}
            self.client().patch(
                f"{path}?fieldManager=sovereign-harbor",
                {"spec": {"template": {"metadata": annotations}}},
            )


def _is_untouched(opened: Opened, props: dict[str, Any]) -> bool:
    """Whether the Secret's data is what the controller wrote when it was last awaited.

    The data of another revision, or of a state of an earlier version, is not known.
    """
    content: str | None = props.get("content")
    if content is None or not opened.has(content.partition("/")[0]):
        return True
    return opened.content(props["salt"]) == content


def _outputs(props: dict[str, Any], opened: Opened) -> dict[str, Any]:
    salt = os.urandom(16).hex()
    declared = {key: value for key, value in props.items() if not key.startswith("__")}
    return {**declared, "content": opened.content(salt), "salt": salt}


class Unsealed(Resource, module="sealing", name="Unsealed"):
    """A Secret that exists with the declared content. The output `name` is its name."""

    name: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        secret_name: pulumi.Input[str],
        revision: pulumi.Input[str],
        applied: pulumi.Input[str | None],
        timeout_seconds: int,
        stack: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`applied`: names the SealedSecret as it was applied, another after each change of it."""
        super().__init__(
            UnsealedProvider(),
            name,
            {
                "namespace": namespace,
                "name": secret_name,
                "revision": revision,
                "applied": applied,
                "timeoutSeconds": timeout_seconds,
                "stack": stack,
                "salt": None,
            },
            pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(additional_secret_outputs=["salt"]), opts
            ),
        )
