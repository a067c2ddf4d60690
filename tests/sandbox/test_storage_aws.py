"""A rotation of the access key of storage kind aws, by the real engine and the stand-in plugin."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import workplace
from engine.project import ROOT
from engine.stack import Stack
from engine.tools import tools_environment

PROGRAM = """
import os

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.object_storage.aws.access import key_pair
from components.settings.storage.aws import AccessKey, AwsStorage

access = AccessKey(epoch=int(os.environ["EPOCH"]))
storage = AwsStorage(region="eu-central-1", bucket="local-harbor", access=access)
provider = aws.Provider("aws", region=storage.region)
access_key, secret_key = key_pair(
    "it", storage, access, pulumi.ResourceOptions(provider=provider)
)
# Stands for Harbor's release, the last that is given the new key.
random.RandomString("release", length=8, keepers={"key": access_key})
pulumi.export("secretKey", secret_key)
"""

Up = Callable[[int], list[str]]


@pytest.fixture
def up(tmp_path: Path) -> Up:
    """`pulumi up` with that epoch: what was done, in order. (Stand-ins serve stack local alone.)"""
    project, backend = tmp_path / "project", tmp_path / "backend"
    for folder in (project, backend):
        folder.mkdir()
    for name in ("components", ".venv"):
        (project / name).symlink_to(ROOT / name)
    shutil.copyfile(ROOT / "Pulumi.yaml", project / "Pulumi.yaml")
    (project / "__main__.py").write_text(PROGRAM)
    environment = {
        **tools_environment(),
        **workplace.DEBUG,
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
    }

    def run(epoch: int) -> list[str]:
        stack = Stack("local", {**environment, "EPOCH": str(epoch)}, project)
        stack.ensure()
        log = tmp_path / f"{epoch}.log"
        stack.run("up", "-s", "local", "--yes", "--skip-preview", "--event-log", str(log))
        assert stack.outputs()["secretKey"] == "[secret]"
        for file in backend.rglob("*.json*"):
            assert "secret-of-standin" not in file.read_text(), file
        events = [json.loads(line) for line in log.read_text().splitlines()]
        done = [e["resOutputsEvent"]["metadata"] for e in events if "resOutputsEvent" in e]
        return [f"{one['op']} {one['urn'].rpartition('::')[2]}" for one in done]

    return run


def test_the_key_before_goes_when_everything_has_the_new_one(up: Up) -> None:
    assert "create it-access-key-1" in up(1)
    done = [step for step in up(2) if not step.startswith("same")]
    assert done.index("create it-access-key-2") < done.index("create-replacement release")
    assert done.index("create-replacement release") < done.index("delete it-access-key-1")
    assert not [step for step in done if "user" in step]
