"""States of tagged versions, kept to be tried with newer code.

    python -m tests.support.recording TAG

Run it with the sandbox up at the tag. It writes tests/sandbox/recorded/<TAG>/ with the state of the
sandbox's stack and its stack file. The state's secrets are the sandbox's, encrypted with its public
passphrase; what names this machine is taken out.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import scratch
from engine.project import ROOT
from engine.pulumi import EngineError
from engine.tools import tools_environment
from engine.workplace import DEBUG, Workplace
from review import plan
from review.plan import Plan
from sandbox.environment import environment
from sandbox.state import PASSPHRASE, STACK, State
from toolchain.build import ensure

RECORDED = ROOT / "tests" / "sandbox" / "recorded"
PLACE = "/sandbox"
"""Stands for the sandbox's folder."""

_STATE = "state.json.gz"
# Where a line of the program was at the time: of no use, and it names the machine.
_DROPPED = ("sourcePosition", "stackTrace")


def tags() -> list[str]:
    """The versions that are recorded."""
    return sorted(folder.name for folder in RECORDED.iterdir() if (folder / _STATE).exists())


def record(tag: str) -> Path:
    """Keeps the state of the running sandbox. Raises EngineError."""
    state = State.current()
    place = Workplace(
        folder=ROOT,
        environment=environment(state, ensure(report=lambda _: None)),
        is_scratch=False,
    )
    ran = place.run(["stack", "export", "-s", STACK])
    if ran.code != 0:
        raise EngineError(ran.errors.strip())
    folder = RECORDED / tag
    folder.mkdir(parents=True)
    kept = cleaned(json.loads(ran.output), str(state.folder))
    packed = gzip.compress(json.dumps(kept, separators=(",", ":")).encode(), mtime=0)
    (folder / _STATE).write_bytes(packed)
    shutil.copyfile(ROOT / f"Pulumi.{STACK}.yaml", folder / f"Pulumi.{STACK}.yaml")
    return folder


def cleaned(exported: Mapping[str, Any], sandbox: str) -> dict[str, Any]:
    """The export without what names the machine it was made on."""
    text = json.dumps(exported).replace(sandbox, PLACE).replace(str(ROOT), "/project")
    found = json.loads(text)
    deployment = found["deployment"]
    kept = ("time", "magic", "version")
    deployment["manifest"] = {key: deployment["manifest"][key] for key in kept}
    for resource in deployment["resources"]:
        for key in _DROPPED:
            resource.pop(key, None)
    return found


def state_of(tag: str) -> dict[str, Any]:
    """The recorded export."""
    return json.loads(gzip.decompress((RECORDED / tag / _STATE).read_bytes()))


def preview(tag: str, folder: Path, *, config: Mapping[str, str] | None = None) -> Plan:
    """What this code would do to a stack that that version brought up; no cluster is asked.

    `config`: paths of settings to change first. Raises EngineError.
    """
    project = scratch.project(folder / "project")
    shutil.copyfile(RECORDED / tag / f"Pulumi.{STACK}.yaml", project / f"Pulumi.{STACK}.yaml")
    recorded = state_of(tag)
    (folder / "state").mkdir()
    (folder / "state.json").write_text(json.dumps(recorded))
    place = Workplace(
        folder=project,
        environment={
            **tools_environment(),
            **DEBUG,
            **_values(recorded, folder),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "KUBECONFIG": str(folder / "no-kubeconfig"),
        },
        is_scratch=True,
    )
    commands = [
        ["stack", "init", STACK, "--no-select"],
        ["stack", "import", "-s", STACK, "--file", str(folder / "state.json")],
        *(
            ["config", "set", "--path", path, value, "-s", STACK]
            for path, value in (config or {}).items()
        ),
    ]
    for command in commands:
        ran = place.run(command)
        if ran.code != 0:
            raise EngineError(ran.errors.strip())
    ran = place.run(["preview", "-s", STACK, "--json", "--show-sames"])
    start = ran.output.find("{")
    if start < 0:
        raise EngineError(ran.errors.strip())
    return plan.read(STACK, json.loads(ran.output[start:]))


def _values(recorded: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """What the sandbox told the program then."""
    inputs = {
        resource["urn"].rpartition("::")[2]: resource.get("inputs", {})
        for resource in recorded["deployment"]["resources"]
    }
    certificate = folder / "sealing.crt"
    certificate.write_text(inputs["object-storage-seam-seal"]["certificate"])
    return {
        "SANDBOX_KUBE_CONTEXT": inputs["cluster"]["context"],
        "SANDBOX_S3_ENDPOINT": inputs["object-storage-bucket"]["endpoint"],
        # The recorded pair is a secret of the state; another one reads as a changed key.
        "SANDBOX_S3_ACCESS_KEY": "SANDBOXACCESSKEY",
        "SANDBOX_S3_SECRET_KEY": "another-secret-key-than-recorded",
        "SANDBOX_SEALING_CERTIFICATE": str(certificate),
        "HARBOR_CHART": inputs["harbor-release"]["chart"],
    }


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not re.fullmatch(r"v\d+\.\d+\.\d+", arguments[0]):
        print(
            "usage: python -m tests.support.recording v1.2.3   # with the sandbox up",
            file=sys.stderr,
        )
        return 2
    try:
        folder = record(arguments[0])
    except (EngineError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder.relative_to(ROOT)}: {(folder / _STATE).stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
