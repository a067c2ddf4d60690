"""The place of the blobs, kept in the state, so that a changed setting is not taken for a move.

Harbor's database knows blobs by digest, and the registry looks for them in one place: a bucket,
container or volume, and a directory in it. To name another place in the config moves no blob:
images would still be listed, and every pull would fail. So a preview compares the place in the
config with the one in the state and refuses a change, unless the config says that the blobs were
moved (`storage.movedTo`).

The provider reads and writes nothing outside the state.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components import commands
from components.settings.provider_config import stack_name

if TYPE_CHECKING:
    # Only the program needs the settings' classes: to import them is a fifth of the start of the
    # process that runs dynamic providers.
    from components.settings.storage.base import BlobLocation, StorageKind


class BlobPlaceProvider(ResourceProvider):
    """Keeps `place` (see settings.storage.base.Place).

    Inputs: `place`, its `name`, and `movedTo`, the name of the place to which the blobs were moved.
    `check` gets the inputs of the last run, in previews too.
    """

    serialize_as_secret_always = False
    _stack: str | None = None

    def configure(self, req: ConfigureRequest) -> None:
        self._stack = stack_name(req.config.get)

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        before: BlobLocation | None = _olds.get("place")
        if before is None or before == news["place"]:
            return CheckResult(news, [])
        if news.get("movedTo") == news["name"]:
            return CheckResult(news, [])
        reason = refusal(before, news["place"], news["name"], stack=self._stack)
        return CheckResult(news, [CheckFailure("", reason)])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_olds["place"] != _news["place"], replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=props["name"], outs={"place": props["place"]})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs={"place": _news["place"]})


def refusal(
    before: BlobLocation, after: BlobLocation, name: str, *, stack: str | None = None
) -> str:
    """Why the change is refused: each key, its value before and now, and what to do.

    `name`: that of the place `after`.
    """
    changed = sorted(key for key in {**before, **after} if before.get(key) != after.get(key))
    values = "\n".join(
        f"sovereign-harbor:storage.{key} = {_shown(after, key)}\n"
        f"  allowed: {_shown(before, key)}, as before: the images are there"
        for key in changed
    )
    quoted = f"'{name}'"
    back = "\n           ".join(
        commands.set_value(f"storage.{key}", f"'{before[key]}'", stack)
        if before.get(key)
        else commands.unset(f"storage.{key}", stack)
        for key in changed
    )
    return (
        f"nothing was touched; Harbor would look for its images where none are\n{values}\n"
        f"  fix:     {back}\n"
        "  or:      move the images first (docs/runbooks/move-blobs.md), and say so:\n"
        f"           {commands.set_value('storage.movedTo', quoted, stack)}"
    )


def _shown(place: BlobLocation, key: str) -> str:
    return f'"{place[key]}"' if place.get(key) else "(not set)"


class BlobPlace(Resource, module="storage", name="BlobPlace"):
    """The place as a resource. All of the storage depends on it, so a refusal stops that too."""

    def __init__(
        self,
        name: str,
        *,
        settings: StorageKind,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`settings`: their place, and the place to which the blobs were moved, if they were."""
        from components.settings.storage.base import location_name

        props = {
            "place": settings.blob_location,
            "name": location_name(settings.blob_location),
            "movedTo": settings.moved_to,
        }
        super().__init__(BlobPlaceProvider(), name, props, opts)
