"""`python -m offline.plugins KIND [ARGUMENTS]`: one of the plugins; the engine starts it."""

from __future__ import annotations

import sys

KINDS = ("language", "dynamic", "random", "tls", "hcloud", "aws")


def main(kind: str, arguments: list[str]) -> None:
    # Imported one by one: a plugin starts on every command and must not load what others need.
    if kind == "language":
        from offline.plugins import language_host

        language_host.main(arguments)
    elif kind == "dynamic":
        from offline.plugins import dynamic

        dynamic.main(arguments)
    elif kind == "random":
        from offline.plugins import random_standin

        random_standin.main(arguments)
    elif kind == "tls":
        from offline.plugins import tls_standin

        tls_standin.main(arguments)
    elif kind in ("hcloud", "aws"):
        from offline.plugins import answering_standin

        answering_standin.main(kind, arguments)
    else:
        sys.exit(f"there is no stand-in plugin {kind!r}, only {', '.join(KINDS)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:])
