"""Which images run, and what is said where none does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sandbox.pods import control, images
from sandbox.pods.images import Runnable
from sandbox.processes import SandboxError
from sandbox.state import State
from toolchain.build import Toolbox

REGISTRY = Runnable("goharbor/registry-photon", {}, ())


@pytest.mark.parametrize(
    ("image", "runs"),
    [
        ("goharbor/registry-photon:v2.14.3", True),
        ("docker.io/goharbor/registry-photon", True),
        ("mirror.example:5000/hub/goharbor/registry-photon@sha256:00", True),
        ("goharbor/registry-photon:v1@sha256:00", True),
        ("goharbor/harbor-registryctl:v2.14.3", False),
        ("notgoharbor/registry-photon:v1", False),
        ("goharbor/registry-photon/other:v1", False),
    ],
)
def test_an_image_is_known_by_its_repository(image: str, runs: bool) -> None:
    assert REGISTRY.is_of(image) is runs
    assert (images.runnable_of(image, [REGISTRY]) is REGISTRY) is runs


def test_images_can_be_named_with_their_binaries(tmp_path: Path) -> None:
    binary = tmp_path / "harbor_core"
    binary.touch(mode=0o755)
    (own,) = images.named(f" goharbor/harbor-core = {binary} ,")
    assert own == Runnable(
        "goharbor/harbor-core", {"harbor_core": str(binary)}, ("harbor_core",)
    )  # fmt: skip
    assert Runnable.from_document(own.document()) == own


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("goharbor/harbor-core", "must be REPOSITORY=BINARY"),
        ("UPPER=/bin/true", "must be REPOSITORY=BINARY"),
        ("a/b:tag=/bin/true", "must be REPOSITORY=BINARY"),
        ("a/b=/nowhere/it", "/nowhere/it is no executable file"),
        ("a/b=/usr", "/usr is no executable file"),
    ],
)
def test_an_image_without_a_binary_is_refused(setting: str, words: str) -> None:
    with pytest.raises(SandboxError, match=f"{re.escape(images.VARIABLE)}=.*{words}"):
        images.named(setting)


def test_the_registry_runs_with_its_valkey_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(images.VARIABLE, raising=False)
    tools = Toolbox({"registry": Path("/tools/registry")})
    monkeypatch.setattr(images, "valkey_server", lambda: None)
    assert images.runnables(tools, tmp_path) == []
    monkeypatch.setattr(images, "valkey_server", lambda: Path("/bin/valkey-server"))
    known = images.runnables(tools, tmp_path)
    assert [each.repository for each in known] == [images.VALKEY, images.REGISTRY]
    monkeypatch.setenv(images.VARIABLE, f"{images.REGISTRY}=/bin/true")
    assert images.runnables(tools, tmp_path)[0].binaries == {"true": "/bin/true"}
    assert len(images.runnables(tools, tmp_path)) == 2


STAGE = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: it}
spec:
  resourceRef: {apiGroup: v1, kind: %s}
  selector: {matchExpressions: [{key: .metadata.deletionTimestamp, operator: Exists}]}
"""


def test_kwok_leaves_alone_the_pods_that_run(tmp_path: Path) -> None:
    files = [tmp_path / "pod.yaml", tmp_path / "node.yaml"]
    for file, kind in zip(files, ("Pod", "Node"), strict=True):
        file.write_text(STAGE % kind)
    pod, node = yaml.safe_load_all(control.stages(files, "harbor", [REGISTRY]))
    assert [each["operator"] for each in pod["spec"]["selector"]["matchExpressions"]] == [
        "Exists",
        "DoesNotExist",
    ]
    assert node == yaml.safe_load(STAGE % "Node")
    unchanged, _ = yaml.safe_load_all(control.stages(files, "harbor", []))
    assert unchanged == yaml.safe_load(STAGE % "Pod")


def test_who_wants_them_simulated_has_them_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(control.VARIABLE, "simulated")
    assert control.refusal() == "SANDBOX_PODS=simulated"


def test_a_machine_without_nft_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(control.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    refusal = control.refusal()
    assert refusal is not None and "nft not found" in refusal and "nftables" in refusal
    state = State(tmp_path)
    state.save(control.PLAN, {"images": [], "reason": refusal})
    assert control.told(state) == f"Pods: all simulated ({refusal})"


def test_a_machine_that_makes_no_namespaces_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(control.VARIABLE, raising=False)
    for name in ("unshare", "nsenter", "ip", "nft"):
        command = tmp_path / name
        command.write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert control.refusal() == (
        "this machine makes no namespaces for them: unshare failed: Operation not permitted"
    )
