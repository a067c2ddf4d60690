"""Time and calls of the registry's configuration, for each of so many objects.

Declares that many objects of Harbor in a stack of their own, over the fake of Harbor's API, and
beside it as many resources of the same types whose plugin asks nobody: the engine's own cost. Each
pair runs one after the other on a file backend.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import page
from benchmarks.page import Section
from benchmarks.sandboxed import Session
from engine.project import ROOT
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ACCOUNT, ADMIN_PASSWORD
from tests.support.registry_trial import STACK, Trial, trial

PROGRAM = f"""
import json
from pathlib import Path

import pulumi
from components.registry import resources as registry

declared = json.loads(Path("declared.json").read_text())
provider = registry.Provider("registry", **declared["provider"])
account = registry.Account(
    "account", name={ACCOUNT!r}, revision="1", opts=pulumi.ResourceOptions(provider=provider)
)
projects = {{}}
for name, (kind, inputs) in declared["objects"].items():
    project = projects.get(inputs.get("project", ""), account)
    options = pulumi.ResourceOptions(provider=provider, depends_on=[account, project])
    made = getattr(registry, kind)(name, opts=options, **inputs)
    if kind == "Project":
        projects[name] = made
"""

EMPTY = ROOT / "benchmarks" / "empty_plugin"

Objects = dict[str, tuple[str, dict[str, Any]]]


def objects(count: int) -> Objects:
    """So many objects: projects of ten with what a team has in one."""
    return dict(item for _, item in zip(range(count), _endless(), strict=False))


def _endless() -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    number = 0
    while True:
        number += 1
        project = f"team-{number:04d}"
        rights = {"kind": "project", "namespace": project, "access": ["repository:pull"]}
        of = {"project": project}
        yield project, ("Project", {"name": project, "scan_on_push": True, "quota": 1024**3})
        for robot in ("ci", "cluster", "scanner"):
            inputs = {"name": robot, "permissions": [rights], "secret": "Robot-Secret-1", **of}
            yield f"{project}/{robot}", ("Robot", inputs)
        for label in ("approved", "base", "deprecated"):
            yield f"{project}/label/{label}", ("Label", {"name": label, "color": "#00aa55", **of})
        hook = {"name": "build", "url": "https://hooks.test/x", "events": ["PUSH_ARTIFACT"], **of}
        yield f"{project}/webhook", ("Webhook", hook)
        rule = {"template": "latestPushedK", "number": 10}
        yield f"{project}/retention", ("Retention", {"cron": "0 0 3 * * *", "rules": [rule], **of})
        yield f"{project}/immutable", ("ImmutableTags", {"rules": [{"tags": "v*"}], **of})


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Seconds of a first `up`, of one without changes and of a refresh; calls to Harbor."""

    first: float
    unchanged: float
    refresh: float
    calls: Mapping[str, int]


def measured(count: int, *, empty: bool) -> Measurement:
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor,
        trial(Path(folder), PROGRAM, url=harbor.url, admin_password=ADMIN_PASSWORD) as made,
    ):
        if empty:
            _use(EMPTY, made)
        made.declare(objects(count))
        seconds: dict[str, float] = {}
        calls: dict[str, int] = {}
        for act, arguments in (
            ("first", ("up", "--skip-preview")),
            ("unchanged", ("up", "--skip-preview", "--expect-no-changes")),
            ("refresh", ("refresh", "--skip-preview", "--expect-no-changes")),
        ):
            if empty and act == "refresh":
                seconds[act] = 0
                continue
            begun = time.monotonic()
            made.stack.run(*arguments, "-s", STACK, "--yes", "--suppress-outputs")
            seconds[act] = time.monotonic() - begun
            calls[act] = len(harbor.calls(forget=True))
        return Measurement(calls=calls, **seconds)


def _use(plugin: Path, made: Trial) -> None:
    file = made.stack.folder / "Pulumi.yaml"
    project = json.loads(file.read_text())
    project["plugins"]["providers"] = [
        {**provider, "path": str(plugin)} if provider["name"] == "sovereign-registry" else provider
        for provider in project["plugins"]["providers"]
    ]
    file.write_text(json.dumps(project))


def measure(session: Session) -> Section:
    """A row for each number of objects."""
    rows: list[list[str]] = []
    for count in (10, 100) if session.quick else (10, 100, 1000):
        empty, full = measured(count, empty=True), measured(count, empty=False)
        rows.append(
            [
                *(str(count), f"{full.first:.1f} s", f"{empty.first:.1f} s"),
                *(f"{full.first / empty.first:.2f}", f"{full.unchanged:.1f} s"),
                *(f"{empty.unchanged:.1f} s", f"{full.unchanged / empty.unchanged:.2f}"),
                *(f"{full.calls['first']}", f"{full.calls['first'] / count:.1f}"),
                *(f"{full.calls['unchanged']}", f"{full.refresh:.1f} s"),
                f"{full.calls['refresh']}",
            ]
        )
    heads = (
        *("objects", "first up", "as many empty", "ratio", "no-op", "as many empty", "ratio"),
        *("calls of the first up", "each", "of the no-op", "refresh", "calls"),
    )
    return Section(command="make bench ONLY=registry", body=page.table(heads, rows))
