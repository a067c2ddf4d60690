"""`python -m components.registry.plugin ADDRESS`: the engine starts it and gives its address."""

from __future__ import annotations

import gc
import sys

from components.registry.plugin import sdk
from components.registry.plugin.provider import RegistryProvider


def main() -> None:
    gc.freeze()  # Imported modules stay.
    sdk.serve(lambda warn, inform: RegistryProvider(warn, inform=inform), sys.argv[1:])


if __name__ == "__main__":
    main()
