"""The plugin as the engine starts it: python -m benchmarks.empty_plugin <address of the engine>"""

from __future__ import annotations

import sys
from typing import Any

from components.registry.kinds import KINDS
from components.registry.kinds.base import UNKNOWN
from components.registry.plugin.provider import RegistryProvider
from components.registry.plugin.sdk import serve

Tree = dict[str, Any]


class Empty(RegistryProvider):
    """Checks and compares as the real one; makes nothing."""

    def create(self, urn: str, kind: str, inputs: Tree, *, preview: bool) -> tuple[str, Tree]:
        of = KINDS[kind]
        inputs = of.complete(inputs)
        known = {name: inputs[name] for name in of.fields if name not in of.secrets}
        outputs: Tree = {**dict.fromkeys(of.computed, UNKNOWN if preview else 1), **known}
        return ("" if preview else urn), {
            **outputs,
            **of.mended,
            **of.digested(of.complete(inputs)),
        }

    def delete(self, urn: str, kind: str, outputs: Tree) -> None:
        """Nothing."""


if __name__ == "__main__":
    serve(lambda warn, inform: Empty(warn, inform=inform), sys.argv[1:])
