"""Looks known vulnerabilities of the locked Python packages up, and fails where it cannot.

    .venv-audit/bin/python -m checks.audit LOCK …

pip-audit ends with "No known vulnerabilities found" and 0 where it could look nothing up
(2.10.1; https://github.com/pypa/pip-audit/blob/main/README.md, --strict). So this counts what it
skipped, and asks first for a version that is known to be vulnerable: a source that does not tell of
that one, as a mirror of the index may, says nothing by its silence of others.

Exit codes: 0 no vulnerability is known; 1 at least one is; 2 nothing, or not all, was looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from toolchain import closed_pipe

CONTROL: Final = "jinja2==2.10"
"""CVE-2019-10906, a way out of the template engine's sandbox; nothing installs it."""
_MOST_NAMED: Final = 5

Dependencies = Sequence[dict[str, Any]]
"""pip-audit's answer: `name`, and `version` with `vulns`, or `skip_reason`."""


class Verdict(NamedTuple):
    """What is said, and the exit code."""

    code: int
    lines: list[str]


def verdict(control: Dependencies | None, dependencies: Dependencies | None) -> Verdict:
    """None: pip-audit gave no answer, and said itself why. Pure."""
    if not control or not any(each.get("vulns") for each in control):
        return _not_checked(f"the source does not tell of {CONTROL}, which is vulnerable", control)
    if not dependencies:
        return _not_checked("pip-audit gave no answer", dependencies)
    vulnerable = [each for each in dependencies if each.get("vulns")]
    lines = [*_vulnerabilities(vulnerable)]
    skipped = [each for each in dependencies if "skip_reason" in each]
    if skipped:
        what = f"{len(skipped)} of {len(dependencies)} packages were not looked up"
        return Verdict(2, [*lines, *_not_checked(what, skipped).lines])
    if vulnerable:
        return Verdict(1, [*lines, f"{len(vulnerable)} of {len(dependencies)} are vulnerable"])
    return Verdict(0, [f"{len(dependencies)} packages, of none is a vulnerability known"])


def _not_checked(why: str, dependencies: Dependencies | None) -> Verdict:
    reasons = [each["skip_reason"] for each in dependencies or [] if "skip_reason" in each]
    more = [f"and {len(reasons) - _MOST_NAMED} more"] if len(reasons) > _MOST_NAMED else []
    return Verdict(2, [f"NOT CHECKED: {why}", *reasons[:_MOST_NAMED], *more])


def _vulnerabilities(vulnerable: Dependencies) -> Iterator[str]:
    for each in vulnerable:
        for vulnerability in each["vulns"]:
            names = ", ".join([vulnerability["id"], *vulnerability.get("aliases", [])])
            fixed = " or ".join(vulnerability.get("fix_versions", [])) or "no version yet"
            yield f"{each['name']} {each['version']}: {names}; fixed in {fixed}"


def asked(file: Path) -> Dependencies | None:
    """What pip-audit knows of the pins in a file, without installing any of them."""
    options = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")
    ran = subprocess.run(
        [sys.executable, "-m", "pip_audit", *options, "--requirement", str(file)],
        capture_output=True,
        text=True,
    )
    try:
        return json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(ran.stderr.strip().rpartition("\n")[2], file=sys.stderr)
        return None


def main(arguments: Sequence[str], ask: Callable[[Path], Dependencies | None] = asked) -> int:
    """The exit code: the worst of all files."""
    with TemporaryDirectory() as folder:
        control = Path(folder, "control.txt")
        control.write_text(f"{CONTROL}\n")
        known = ask(control)
    code = 0
    for argument in arguments:
        said = verdict(known, ask(Path(argument)))
        code = max(code, said.code)
        for line in said.lines:
            print(f"{argument}: {line}", file=sys.stderr if said.code else sys.stdout)
    return code


if __name__ == "__main__":
    closed_pipe.run(main)
