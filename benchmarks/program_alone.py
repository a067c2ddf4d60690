"""The program without an engine: python -m benchmarks.program_alone, in its folder.

It imports, reads the settings of stack `local` and registers every resource with a monitor in this
process that knows no output yet, as in a preview. benchmarks/program.py measures it.
"""

import asyncio
import json
import runpy
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import wait_for_rpcs

PROJECT = "sovereign-harbor"
STACK = "local"


class Asked(mocks.Mocks):
    """Answers nothing: the monitor below does."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise AssertionError(f"{args.name}: the monitor answers")

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"{args.token}: a preview of stack {STACK} calls no function")


class Monitor(mocks.MockMonitor):
    """Takes registrations, and knows no output."""

    count = 0

    def RegisterResource(self, request: Any) -> resource_pb2.RegisterResourceResponse:  # noqa: N802
        self.count += 1
        urn = self.make_urn(request.parent, request.type, request.name)
        return resource_pb2.RegisterResourceResponse(urn=urn)


class Hooks:
    """Stands for the server over which the engine calls a program's hooks."""

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        """Nothing."""


def config() -> dict[str, str]:
    """Defaults of Pulumi.yaml, and above them the stack's file, as the engine hands them on."""
    declared = yaml.safe_load(Path("Pulumi.yaml").read_text())["config"]
    values = {f"{PROJECT}:{key}": of["default"] for key, of in declared.items()}
    values |= yaml.safe_load(Path(f"Pulumi.{STACK}.yaml").read_text())["config"]
    # Only a running sandbox has this certificate.
    del values[f"{PROJECT}:sealing"]
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


async def run(monitor: Monitor) -> None:
    """The program, until all that it registers has landed."""
    mocks.set_mocks(Asked(), project=PROJECT, stack=STACK, preview=True, monitor=monitor)
    settings: Any = pulumi.runtime.settings.SETTINGS
    settings.callbacks = Hooks()
    pulumi.runtime.set_all_config(config(), [f"{PROJECT}:s3AccessKey", f"{PROJECT}:s3SecretKey"])
    runpy.run_path("__main__.py", run_name="__main__")
    await wait_for_rpcs()


if __name__ == "__main__":
    monitor = Monitor(Asked())
    asyncio.run(run(monitor))
    print(monitor.count)
