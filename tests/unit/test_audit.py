"""`make audit` is silent only if every package was looked up in a source that knows something."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.audit import CONTROL, Dependencies, main, verdict

FLAW = {"id": "PYSEC-2019-217", "aliases": ["CVE-2019-10906"], "fix_versions": ["2.10.1"]}
KNOWN: Dependencies = [{"name": "jinja2", "version": "2.10", "vulns": [FLAW]}]
CLEAN = {"name": "boto3", "version": "1.40.0", "vulns": []}
FLAWED = {"name": "urllib3", "version": "2.2.0", "vulns": [{**FLAW, "fix_versions": []}]}
REASON = "Dependency not found on PyPI and could not be audited: boto3 (1.40.0)"
SKIPPED = {"name": "boto3", "skip_reason": REASON}


@pytest.mark.parametrize(
    ("control", "dependencies", "code", "words"),
    [
        (KNOWN, [CLEAN, CLEAN], 0, "2 packages, of none is a vulnerability known"),
        (KNOWN, [CLEAN, FLAWED], 1, "urllib3 2.2.0: PYSEC-2019-217, CVE-2019-10906; fixed in no"),
        # What pip-audit calls "No known vulnerabilities found":
        (KNOWN, [CLEAN, SKIPPED], 2, "NOT CHECKED: 1 of 2 packages were not looked up"),
        (KNOWN, [SKIPPED, FLAWED], 2, "urllib3 2.2.0: PYSEC-2019-217"),
        ([{"name": "jinja2", "skip_reason": REASON}], [SKIPPED], 2, REASON),
        # A mirror of the index that serves no vulnerabilities:
        ([{**CLEAN, "name": "jinja2"}], [CLEAN], 2, f"the source does not tell of {CONTROL}"),
        ([], [CLEAN], 2, "NOT CHECKED"),
        (None, [CLEAN], 2, "NOT CHECKED"),
        (KNOWN, None, 2, "NOT CHECKED: pip-audit gave no answer"),
        (KNOWN, [], 2, "NOT CHECKED"),
    ],
)
def test_silence_of_a_source_is_no_success(
    control: Dependencies | None, dependencies: Dependencies | None, code: int, words: str
) -> None:
    said = verdict(control, dependencies)
    assert said.code == code
    assert words in "\n".join(said.lines)


def test_five_packages_are_named_and_the_others_counted() -> None:
    said = verdict(KNOWN, [SKIPPED] * 57)
    assert said.lines.count(REASON) == 5
    assert said.lines[-1] == "and 52 more"


def test_the_control_is_asked_for_by_itself_and_each_file_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """pip-audit refuses a package that stands in two files."""
    asked: list[str] = []

    def ask(file: Path) -> Dependencies:
        asked.append(file.read_text() if file.name == "control.txt" else file.name)
        return {"control.txt": KNOWN, "a.lock": [CLEAN], "b.lock": [SKIPPED]}[file.name]

    assert main(["a.lock", "b.lock"], ask) == 2
    assert asked == [f"{CONTROL}\n", "a.lock", "b.lock"]
    said = capsys.readouterr()
    assert "a.lock: 1 packages" in said.out
    assert "b.lock: NOT CHECKED" in said.err
