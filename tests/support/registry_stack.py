"""A stack's section `registry`, applied to a fake of Harbor as the engine would do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from components.registry.api import ACCOUNT_PASSWORD_KEY, ADMIN_PASSWORD_KEY
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.mocks import REGISTRY_PROVIDER, Engine, Registered, fresh_engine, minted, plain
from tests.support.program import NumberLike
from tests.support.registry import ADMIN_PASSWORD, Registry

KIND = "sovereign-registry:index:"


def of_harbor(engine: Engine) -> dict[str, Registered]:
    """Everything in Harbor that a run registered, by logical name."""
    return {each.name: each for each in engine.resources if each.typ.startswith(KIND)}


def inputs_of(resource: Registered) -> dict[str, Any]:
    """Its inputs as the plugin is given them."""
    given = plain(resource.inputs)
    return {key: _whole(value) for key, value in given.items() if value is not None}


def _whole(value: Any) -> Any:
    """Numbers as the plugin makes them of the engine's, which are all floats."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_whole(item) for item in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def in_order(engine: Engine) -> list[Registered]:
    """Everything in Harbor, each after what it waits for."""
    by_urn = {each.urn: each for each in engine.resources}
    done: dict[str, Registered] = {}

    def visit(each: Registered) -> None:
        for urn in sorted(each.dependencies & by_urn.keys()):
            if urn not in done:
                visit(by_urn[urn])
        done[each.urn] = each

    for each in engine.resources:
        if each.urn not in done:
            visit(each)
    return [each for each in done.values() if each.typ.startswith(KIND)]


def ran(build: Callable[[], Any]) -> Engine:
    """A run of a program."""
    with fresh_engine() as engine:
        engine.provider = NumberLike()  # the revision of a Secret stays the same
        engine.run(build)
    return engine


@dataclass
class Kept:
    """A resource in the state. `deleted_with`: logical name of the resource that takes it along."""

    kind: str
    outputs: dict[str, Any]
    deleted_with: str


@dataclass
class Stack:
    """One stack's resources in a fake Harbor. `did`: act and logical name, of the last `up`.

    `mints_admin`: whether Harbor was started with the password that the program made. `patience`:
    seconds that the plugin waits for a Harbor that does not work.
    """

    harbor: FakeHarbor
    mints_admin: bool = False
    patience: float = 20
    state: dict[str, Kept] = field(default_factory=dict[str, Kept])
    did: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    warnings: list[str] = field(default_factory=list[str])
    told: list[str] = field(default_factory=list[str])

    def up(self, engine: Engine) -> Engine:
        """Makes Harbor as a run of a program says, and returns that run. Raises what the plugin
        refuses."""
        given = inputs_of(engine.one(REGISTRY_PROVIDER))
        registry = Registry(
            self.harbor,
            patience=self.patience,
            **{k: v for k, v in given.items() if k != "version"},
        )
        admin = engine.sealed(given["adminSecret"]) if self.mints_admin else {}
        registry.connection.secrets = {
            (given["adminSecret"], ADMIN_PASSWORD_KEY): ADMIN_PASSWORD,
            **{(given["adminSecret"], key): value for key, value in admin.items()},
            (given["accountSecret"], ACCOUNT_PASSWORD_KEY): minted("credentials-registry-account"),
        }
        self.did = []
        declared = in_order(engine)
        for resource in declared:
            self._bring(registry, resource)
        # The engine deletes last, and what depends on others before these.
        names = {each.name for each in declared}
        gone = [name for name in reversed(self.state) if name not in names]
        for name in gone:
            kept = self.state.pop(name)
            if kept.deleted_with not in gone:
                registry.delete(kept.kind, kept.outputs)
            self.did.append(("delete", name))
        self.warnings, self.told = registry.warnings, registry.told
        return engine

    def _bring(self, registry: Registry, resource: Registered) -> None:
        kind, given = resource.typ.removeprefix(KIND), inputs_of(resource)
        kept = self.state.get(resource.name)
        if kept is None:
            assert registry.provider.check(kind, given) == [], f"{resource}"
            outputs = registry.provider.create("urn", kind, given, preview=False)[1]
            self.did.append(("create", resource.name))
        elif changed := registry.provider.diff(kind, kept.outputs, given).changed:
            outputs = registry.provider.update("urn", kind, kept.outputs, given, preview=False)
            self.did.append((f"update {', '.join(changed)}", resource.name))
        else:
            return
        self.state[resource.name] = Kept(kind, outputs, resource.deleted_with.rpartition("::")[2])
