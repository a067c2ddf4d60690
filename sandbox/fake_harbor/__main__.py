"""`python -m sandbox.fake_harbor --port N`: the fake as a process of its own, on 127.0.0.1."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from sandbox.fake_harbor import deployed
from sandbox.fake_harbor.deployed import Deployed
from sandbox.fake_harbor.server import FakeHarbor, Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.fake_harbor", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, help="keeps what it is told over a restart")
    parser.add_argument("--version", default="2.14.3", help="Harbor's version to answer as")
    parser.add_argument("--external-url", default="http://harbor.test")
    parser.add_argument(
        "--reachable",
        action="append",
        metavar="URL",
        help="beginning of the address of a registry that Harbor reaches; without it, all",
    )
    parser.add_argument(
        "--issuer", action="append", default=[], metavar="URL", help="an OIDC issuer that answers"
    )
    parser.add_argument("--seconds-after-a-wrong-password", type=float, default=1.5)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--admin-password-file", type=Path)
    given.add_argument(
        "--namespace",
        help="where Harbor is deployed: kubectl reads there what core reads at its start, at the "
        "first login",
    )
    parser.add_argument("--kubectl", default="kubectl")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    FakeHarbor(
        deployed=_deployed(chosen.admin_password_file, chosen.kubectl, chosen.namespace),
        settings=Settings(
            version=chosen.version,
            external_url=chosen.external_url,
            reachable=chosen.reachable,
            issuers=chosen.issuer,
            seconds_after_a_wrong_password=chosen.seconds_after_a_wrong_password,
        ),
        file=chosen.file,
        port=chosen.port,
    ).serve()


def _deployed(file: Path | None, kubectl: str, namespace: str) -> Callable[[], Deployed | None]:
    if file is not None:
        return lambda: Deployed(file.read_text().strip())
    return lambda: deployed.read(kubectl, namespace)


if __name__ == "__main__":
    main()
