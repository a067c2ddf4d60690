"""OCI's conformance tests of the distribution specification, on Harbor's registry as deployed.

Distribution 2.8.3 is older than the specification 1.1 and cannot pass. So what fails is compared
with what is known to fail: `known-2.8.3.txt`, with its causes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from sandbox import smoke
from sandbox.processes import SandboxError
from sandbox.state import State
from toolchain.build import Toolbox

KNOWN: Final = Path(__file__).with_name("known-2.8.3.txt")
SUITE: Final = "OCI Conformance Test/"

Failures = Counter[str]
"""Name of a test, without the suite's → how many times it failed: some names are there twice."""


@dataclass(frozen=True)
class Report:
    """`sometimes`: patterns of tests that fail or pass by chance. `results`: the folder with the
    suite's own report."""

    registry: str
    tests: int
    skipped: int
    failed: Failures
    known: Failures
    sometimes: tuple[str, ...]
    results: Path

    @property
    def new(self) -> Failures:
        """What fails and is not known to."""
        return self._settled(self.failed - self.known)

    @property
    def gone(self) -> Failures:
        """What is known to fail and does not."""
        return self._settled(self.known - self.failed)

    def _settled(self, failures: Failures) -> Failures:
        return Counter(
            {
                name: count
                for name, count in failures.items()
                if not any(fnmatchcase(name, pattern) for pattern in self.sometimes)
            }
        )

    @property
    def differs(self) -> bool:
        return bool(self.new or self.gone)

    @property
    def lines(self) -> list[str]:
        """For a person: the counts, then each difference."""
        return [
            f"registry: {self.registry}",
            f"tests: {self.tests}, skipped: {self.skipped}, failed: {self.failed.total()}, "
            f"of which known: {self.failed.total() - self.new.total()}",
            *(f"NEW failure: {line}" for line in as_lines(self.new)),
            *(
                f"fails no more, remove it from {KNOWN.name}: {line}"
                for line in as_lines(self.gone)
            ),
            f"report: {self.results / 'report.html'}",
        ]


def run(state: State, tools: Toolbox, suite: Toolbox, namespace: str) -> Report:
    """Runs the suite on the registry of the sandbox that is up. Raises SandboxError."""
    results = state.directory("conformance")
    for file in results.iterdir():
        file.unlink()
    with (
        tempfile.TemporaryDirectory(dir=state.directory("smoke")) as folder,
        smoke.registry(state, tools, namespace, Path(folder)) as serving,
    ):
        done = subprocess.run(
            [str(suite.path("conformance"))],
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("OCI_")},
                "OCI_RESULTS_DIR": str(results),
                "OCI_VERSION": "1.1",
                "OCI_REGISTRY": serving.host,
                "OCI_TLS": "disabled",
                "OCI_USERNAME": serving.username,
                "OCI_PASSWORD": serving.password,
            },
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        junit = results / "junit.xml"
        if not junit.exists():
            raise SandboxError(f"the conformance tests left no report:\n{done.stdout}{done.stderr}")
        tests, skipped, failed = counted(junit.read_text())
        text = KNOWN.read_text()
        return Report(serving.told, tests, skipped, failed, known(text), sometimes(text), results)


def counted(junit: str) -> tuple[int, int, Failures]:
    """Tests, skipped ones, failures of a report. Pure."""
    cases = [*ElementTree.fromstring(junit).iter("testcase")]
    statuses = Counter(case.get("status") for case in cases)
    failed = (case.get("name", "") for case in cases if case.get("status") == "failure")
    return len(cases), statuses["skipped"], Counter(name.removeprefix(SUITE) for name in failed)


def known(text: str) -> Failures:
    """The failures in the words of `as_lines`; lines that begin with # or ~ are left out. Pure."""
    lines = (line for line in text.splitlines() if line and line[0] not in "#~")
    counts = (line.partition(" ") for line in lines)
    return Counter({name: int(count) for count, _, name in counts})


def sometimes(text: str) -> tuple[str, ...]:
    """The patterns in lines that begin with ~. Pure."""
    return tuple(line[1:].strip() for line in text.splitlines() if line.startswith("~"))


def as_lines(failures: Failures) -> list[str]:
    """One line a test: how many times it failed, and its name. Pure."""
    return [f"{count} {name}" for name, count in sorted(failures.items())]
