"""`python -m sandbox.fake_harbor --port N`: the fake as a process of its own, on 127.0.0.1."""

from __future__ import annotations

import argparse
import base64
import subprocess
from pathlib import Path

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
    password = parser.add_mutually_exclusive_group(required=True)
    password.add_argument("--admin-password-file", type=Path)
    password.add_argument(
        "--admin-password-secret",
        metavar="NAMESPACE/NAME/KEY",
        help="the Secret that Harbor reads at its first start; kubectl reads it at the first login",
    )
    parser.add_argument("--kubectl", default="kubectl", help="for what is read from the cluster")
    chosen = parser.parse_args()
    file, secret = chosen.admin_password_file, chosen.admin_password_secret
    harbor = FakeHarbor(
        admin_password=(
            (lambda: file.read_text().strip())
            if file is not None
            else (lambda: _from_secret(chosen.kubectl, secret))
        ),
        settings=Settings(
            version=chosen.version,
            external_url=chosen.external_url,
            reachable=chosen.reachable,
            issuers=chosen.issuer,
            seconds_after_a_wrong_password=chosen.seconds_after_a_wrong_password,
        ),
        file=chosen.file,
        port=chosen.port,
    )
    harbor.serve()


def _from_secret(kubectl: str, place: str) -> str | None:
    """The value of a key of a Secret; None while there is none."""
    namespace, name, key = place.split("/")
    done = subprocess.run(
        [
            kubectl,
            "get",
            "secret",
            name,
            f"--namespace={namespace}",
            f"--output=jsonpath={{.data.{key}}}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return base64.b64decode(done.stdout).decode() if done.stdout else None


if __name__ == "__main__":
    main()
