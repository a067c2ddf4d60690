"""What a stand-in knows about a kind of resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar


class CannotError(Exception):
    """The stand-in will not do what was asked; the message says why and what helps."""


class ResourceKind:
    """One resource type. Inputs and state arrive here without secret wrappers."""

    # Inputs with their defaults, as the official provider's schema has them.
    defaults: ClassVar[Mapping[str, Any]] = {}
    # Outputs that only `create` knows; unknown in a preview.
    computed: ClassVar[tuple[str, ...]] = ()
    # Properties that are secret whether or not the program says so.
    secret: ClassVar[frozenset[str]] = frozenset()

    def normalise(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs as the provider sees them: absent and null ones replaced by their defaults."""
        given = {
            key: value
            for key, value in inputs.items()
            if value is not None and not key.startswith("__")
        }
        return {**self.defaults, **given}

    def problems(self, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Property and reason of everything that is wrong with known, normalised inputs."""
        return []

    def replaces(self, key: str) -> bool:
        """Whether a change of this input makes a new resource."""
        return True

    def expired(self, state: Mapping[str, Any]) -> list[str]:
        """Outputs because of which an unchanged resource has to be made again."""
        return []

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """A new resource's id and computed outputs, from normalised inputs."""
        raise NotImplementedError

    def update(self, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The computed outputs after a change in place."""
        return {key: state[key] for key in self.computed if key in state}

    def adopt(self, identifier: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Id, inputs and computed outputs of what `pulumi import` names."""
        raise CannotError("cannot import this kind of resource")


def from_table(kinds: Mapping[str, ResourceKind]) -> Callable[[str], ResourceKind]:
    """Looks resource types up by their token."""

    def find(token: str) -> ResourceKind:
        if token not in kinds:
            raise CannotError(f"knows no resource type {token}, only {', '.join(sorted(kinds))}")
        return kinds[token]

    return find
