"""The verb: reads a stack's Sovereign and prints what is ill."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from components.kubernetes.unreachable import ClusterUnreachable
from components.monitoring import own_metrics
from components.settings.reading import stack_file
from components.settings.reading.refusals import SettingsRefused
from components.settings.reading.stack_file import StackFileRefused
from components.settings.schema.environment import UnsetVariable
from engine import stacks, tools
from operations.bundle import settings_of
from operations.doctor import record
from operations.doctor.aside import side_by_side
from operations.doctor.checks.table import findings
from operations.doctor.findings import Finding, NotRead, Reading
from operations.doctor.page import Report
from operations.doctor.sources import Sovereign, sources
from toolchain.go import ToolchainError

SECONDS: Final = 8.0
"""Until all answers have to be there: with what is before and after it, below ten."""
NOT_RUN: Final = 2
"""Exit code: nothing was looked at."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked. `as_json`: for machines; `records`: write the figures for Prometheus."""

    stack: str
    as_json: bool = False
    records: bool = False


def run(request: Request) -> int:
    """The command; its exit code: 0 where nothing is ill, 1 where something is, 2 where nothing
    was looked at."""
    try:
        sovereign = of_stack(request.stack)
    except FileNotFoundError:
        return _not_run(f"there is no Pulumi.{request.stack}.yaml: {', '.join(stacks.names())}")
    except (StackFileRefused, SettingsRefused, UnsetVariable) as error:
        return _not_run(str(error))
    try:
        report, read = examined(sovereign)
        found = report.findings
        if request.records:
            found = [*found, *_recorded(sovereign, read, [*found])]
            report = Report(**{**vars(report), "findings": found})
        sys.stdout.write(report.as_json() if request.as_json else report.page())
        return int(report.state == "ill")
    finally:
        sovereign.close()


def of_stack(stack: str) -> Sovereign:
    """How a stack's Sovereign is reached.

    Raises FileNotFoundError, StackFileRefused, SettingsRefused and UnsetVariable.
    """
    settings = settings_of(stack)
    sealing = stack_file.read(stacks.file_of(stack)).settings.get("sealing")
    pinned = str(sealing.get("certificate") or "") if isinstance(sealing, dict) else ""
    return Sovereign(stack=stack, settings=settings, environment=_environment(), certificate=pinned)


def _environment() -> Mapping[str, str]:
    try:
        return tools.tools_environment()
    except ToolchainError:
        # Then the engine is not asked; the rest is.
        return dict(os.environ)


def examined(sovereign: Sovereign, seconds: float = SECONDS) -> tuple[Report, Reading]:
    """The report on a Sovereign, and what it rests on. Raises nothing of what it reads."""
    begun, now = time.monotonic(), dt.datetime.now(dt.UTC)
    read = Reading(
        stack=sovereign.stack,
        settings=sovereign.settings,
        now=now,
        answers=side_by_side(sources(sovereign), seconds),
    )
    report = Report(
        stack=sovereign.stack,
        host=sovereign.settings.registry_address.host,
        at=now,
        seconds=time.monotonic() - begun,
        findings=findings(read),
    )
    return report, read


def _recorded(sovereign: Sovereign, read: Reading, found: list[Finding]) -> list[Finding]:
    """Writes the figures; a finding where that failed."""
    text = own_metrics.exposition(record.figures(read, found))
    try:
        record.write(sovereign.cluster(), sovereign.namespace, "doctor", {"doctor": text})
    except (ClusterUnreachable, NotRead) as error:
        what = f"the figures were not recorded: {error}"
        command = "docs/runbooks/recorded-metrics-old.md"
        return [Finding(check="record", state="ill", what=what, command=command)]
    return []


def _not_run(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return NOT_RUN
