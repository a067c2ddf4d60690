"""Pulumi's generated gRPC modules, without `import pulumi`.

A plugin starts on every `pulumi` command; the SDK around these modules costs it 0.2 s each time.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_OFFICIAL = "pulumi.runtime.proto"
_ALIAS = "offline.plugins._pulumi_proto"


def load(name: str) -> ModuleType:
    """The generated module of that name, e.g. `provider_pb2`."""
    # With the SDK loaded anyway (tests, the dynamic provider) its own modules are the ones to use.
    package = _OFFICIAL if _OFFICIAL in sys.modules else _ALIAS
    if package not in sys.modules:
        spec = importlib.util.find_spec("pulumi")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(f"pulumi's Python SDK is not installed for {sys.executable}")
        alias = ModuleType(_ALIAS)
        folder = Path(next(iter(spec.submodule_search_locations)), "runtime", "proto")
        alias.__path__ = [str(folder)]
        sys.modules[_ALIAS] = alias
    return importlib.import_module(f"{package}.{name}")
