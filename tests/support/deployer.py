"""The account of a stack's deployer in a sandbox, with the rights that are shipped or printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from engine.project import ROOT
from operations.deployer.rights import NAME
from sandbox import cluster
from tests.support.sandbox import Sandbox

SHIPPED = ROOT / "docs/howto/deployer.yaml"
_VERB = """
import sys
from pathlib import Path
from engine import stacks
from operations.__main__ import main
stacks.file_of = lambda name: Path(sys.argv[1])
sys.exit(main(sys.argv[2:]))
"""
"""A verb of operations, on the scratch copy of the stack's file."""


def operated(
    sandbox: Sandbox, verb: str, *options: str, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`make VERB` for the sandbox's stack, as somebody else if a kubeconfig is given."""
    own = {} if kubeconfig is None else {"KUBECONFIG": str(kubeconfig)}
    return subprocess.run(
        [sys.executable, "-c", _VERB, str(sandbox.file()), verb, sandbox.name, *options],
        cwd=ROOT,
        env={**sandbox.variables, **own, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def only_the_printed_rights(sandbox: Sandbox) -> None:
    """The deployer has what `make deployer-role` prints for the stack's file as it is now."""
    printed = operated(sandbox, "deployer-role")
    assert printed.returncode == 0, printed.stderr
    for kinds in ("clusterroles,clusterrolebindings", "roles,rolebindings"):
        of_the_deployer = (kinds, "-A", f"--field-selector=metadata.name={NAME}")
        cluster.kubectl(sandbox.state, sandbox.tools, "delete", *of_the_deployer)
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    cluster.kubectl(sandbox.state, sandbox.tools, *apply, stdin=printed.stdout)


def kubeconfig_of_deployer(sandbox: Sandbox) -> Path:
    """The sandbox's kubeconfig with a token of the deployer, whose account is there already."""
    state, tools = sandbox.state, sandbox.tools
    token = cluster.kubectl(state, tools, "create", "token", NAME, "-n", NAME).strip()
    document = yaml.safe_load(state.kubeconfig.read_text())
    for user in document["users"]:
        user["user"] = {"token": token}
    file = state.path("deployer-kubeconfig")
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(document))
    return file
