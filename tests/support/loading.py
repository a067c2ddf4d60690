"""The config of a stack as the program reads it, under Pulumi's mocks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components import stack_config
from components.stack_config import StackConfig
from tests.support.raw_settings import SANDBOX_ENVIRONMENT

PROJECT = "sovereign-harbor"


class NoResources(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise AssertionError(f"{args.name} was registered")

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"{args.token} was called")


class Stack:
    """A stack under Pulumi's mocks, with the warnings it logged; what a preview says about
    backups is apart."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._monkeypatch = monkeypatch
        self.warnings: list[str] = []
        self.backup_hints: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", self._warn)
        for name in ("HARBOR_CHART", *SANDBOX_ENVIRONMENT):
            monkeypatch.delenv(name, raising=False)

    def _warn(self, text: str) -> None:
        (self.backup_hints if "docs/howto/backup.md" in text else self.warnings).append(text)

    def load(
        self,
        config: dict[str, Any],
        *,
        secrets: dict[str, str] | None = None,
        preview: bool = False,
        stack: str = "omantel",
        environ: dict[str, str] | None = None,
    ) -> StackConfig:
        for name, value in (environ or {}).items():
            self._monkeypatch.setenv(name, value)
        mocks.set_mocks(NoResources(), project=PROJECT, stack=stack, preview=preview)
        texts = {
            f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in {**config, **(secrets or {})}.items()
        }
        encrypted = [f"{PROJECT}:{key}" for key in secrets or {}]
        pulumi.runtime.set_all_config({**texts, "other:key": "x"}, encrypted)
        return stack_config.load()

    def resolve(self, output: pulumi.Output[str] | None) -> tuple[str | None, bool, bool]:
        """Value (None if unknown), whether it is known, whether it is secret."""
        assert output is not None

        async def parts() -> tuple[str | None, bool, bool]:
            known = await output.is_known()
            return await output.future(), known, await output.is_secret()

        return self._loop.run_until_complete(parts())
