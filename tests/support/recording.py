"""States of stacks that earlier versions brought up, kept to be tried with newer code.

    python -m tests.support.recording VERSION

VERSION is a tag, or the abbreviated commit where nothing was tagged (d8ee5dc is the last commit
before the modules were moved). Run it with the sandbox up at that version. It writes
tests/sandbox/recorded/<VERSION>/ with the state of the sandbox's stack and its stack file. The
state's secrets are the sandbox's, encrypted with its public passphrase; paths and line numbers of
the recording machine are taken out.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import scratch
from engine.project import ROOT
from engine.pulumi import EngineError
from engine.tools import tools_environment
from engine.workplace import DEBUG, Workplace
from review import plan
from review.plan import Plan
from sandbox.chart import STAND_IN
from sandbox.environment import environment
from sandbox.state import PASSPHRASE, STACK, State
from toolchain.build import ensure

RECORDED = ROOT / "tests" / "sandbox" / "recorded"
FOLDER = "/sandbox"
"""Stands for the sandbox's folder in a recorded state."""

_STATE = "state.json.gz"
_VERSION = r"v\d+\.\d+\.\d+|[0-9a-f]{7,40}"
# Paths and lines of the program on the recording machine; the engine needs neither.
_DROPPED = ("sourcePosition", "stackTrace")


def versions() -> list[str]:
    """The names of the recorded versions."""
    return sorted(folder.name for folder in RECORDED.iterdir() if (folder / _STATE).exists())


def record(version: str) -> Path:
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
    folder = RECORDED / version
    folder.mkdir(parents=True)
    kept = cleaned(json.loads(ran.output), str(state.folder))
    packed = gzip.compress(json.dumps(kept, separators=(",", ":")).encode(), mtime=0)
    (folder / _STATE).write_bytes(packed)
    shutil.copyfile(ROOT / f"Pulumi.{STACK}.yaml", folder / f"Pulumi.{STACK}.yaml")
    return folder


def cleaned(export: Mapping[str, Any], sandbox: str) -> dict[str, Any]:
    """The export without the paths of the machine that it was made on."""
    text = json.dumps(export).replace(sandbox, FOLDER).replace(str(ROOT), "/project")
    exported = json.loads(text)
    deployment = exported["deployment"]
    kept = ("time", "magic", "version")
    deployment["manifest"] = {key: deployment["manifest"][key] for key in kept}
    for resource in deployment["resources"]:
        for key in _DROPPED:
            resource.pop(key, None)
    return exported


def state_of(version: str) -> dict[str, Any]:
    """The recorded export."""
    return json.loads(gzip.decompress((RECORDED / version / _STATE).read_bytes()))


def by_name(export: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The resources of an export by logical name."""
    resources = export["deployment"].get("resources", [])
    return {resource["urn"].rpartition("::")[2]: resource for resource in resources}


def imported(
    version: str,
    folder: Path,
    *,
    state: Mapping[str, Any] | None = None,
    config: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Workplace:
    """A stack with the recorded state in a backend of files in `folder`, and today's program.

    No cluster is reached. The program is told what the sandbox told it when the state was recorded,
    the key pair included. `state` replaces the recorded one; `config`: paths of settings to
    change; `variables` of the environment go on top. Raises EngineError.
    """
    project = scratch.project(folder / "project")
    shutil.copyfile(RECORDED / version / f"Pulumi.{STACK}.yaml", project / f"Pulumi.{STACK}.yaml")
    kubeconfig = str(folder / "no-kubeconfig")
    (folder / "state").mkdir()
    (folder / "state.json").write_text(json.dumps(state or state_of(version)))
    place = Workplace(
        folder=project,
        environment={
            **tools_environment(),
            **DEBUG,
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "KUBECONFIG": kubeconfig,
        },
        is_scratch=True,
    )
    done(place, "stack", "init", STACK, "--no-select")
    done(place, "stack", "import", "-s", STACK, "--file", str(folder / "state.json"))
    for path, value in (config or {}).items():
        done(place, "config", "set", "--path", path, value, "-s", STACK)
    values = _values(by_name(exported(place, "--show-secrets")), folder)
    _link_chart(project, values["HARBOR_CHART"])
    return replace(place, environment={**place.environment, **values, **(variables or {})})


def done(place: Workplace, *arguments: str) -> str:
    """The output of `pulumi <arguments>`. Raises EngineError."""
    ran = place.run(arguments)
    if ran.code != 0:
        raise EngineError(f"{ran.output}\n{ran.errors}".strip())
    return ran.output


def exported(place: Workplace, *options: str) -> dict[str, Any]:
    """The stack's state as it is now. Raises EngineError."""
    return json.loads(done(place, "stack", "export", "-s", STACK, *options))


def preview(version: str, folder: Path, *, config: Mapping[str, str] | None = None) -> Plan:
    """What this code would do to a stack that that version brought up; no cluster is reached.

    `config`: paths of settings to change first. Raises EngineError.
    """
    place = imported(version, folder, config=config)
    ran = place.run(["preview", "-s", STACK, "--json", "--show-sames"])
    start = ran.output.find("{")
    if start < 0:
        raise EngineError(ran.errors.strip())
    return plan.read(STACK, json.loads(ran.output[start:]))


def _values(resources: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """The sandbox's values when the state was recorded, read from its decrypted resources."""
    inputs = {name: resource.get("inputs", {}) for name, resource in resources.items()}
    certificate = folder / "sealing.crt"
    certificate.write_text(inputs["object-storage-seam-seal"]["certificate"])
    seam = json.loads(inputs["object-storage-seam-seal"]["data"]["plaintext"])
    return {
        "SANDBOX_KUBE_CONTEXT": inputs["cluster"]["context"],
        "SANDBOX_S3_ENDPOINT": inputs["object-storage-bucket"]["endpoint"],
        "SANDBOX_S3_ACCESS_KEY": seam["s3-access-key"],
        "SANDBOX_S3_SECRET_KEY": seam["s3-secret-key"],
        "SANDBOX_SEALING_CERTIFICATE": str(certificate),
        "HARBOR_CHART": inputs["harbor-release"]["chart"],
    }


def _link_chart(project: Path, chart: str) -> None:
    """Puts the stand-in chart where it lay when the state was recorded.

    The chart's path is an input of the release: today's path would be a change of the release.
    """
    path = project / chart
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(ROOT / STAND_IN)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not re.fullmatch(_VERSION, arguments[0]):
        print(
            "usage: python -m tests.support.recording v1.2.3   # or a commit; with the sandbox up",
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
