"""What OCI's conformance tests say, compared with what is known to fail."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sandbox import conformance
from sandbox.conformance import Report

JUNIT = """\
<testsuites><testsuite name="OCI Conformance Test">
<testcase name="OCI Conformance Test/ping" status="passed"/>
<testcase name="OCI Conformance Test/tags/delete" status="skipped"/>
<testcase name="OCI Conformance Test/push/blob" status="failure"/>
<testcase name="OCI Conformance Test/push/blob" status="failure"/>
<testcase name="OCI Conformance Test/referrers" status="failure"/>
</testsuite></testsuites>
"""


def report(known: str) -> Report:
    tests, skipped, failed = conformance.counted(JUNIT)
    return Report(
        "a registry",
        tests,
        skipped,
        failed,
        conformance.known(known),
        conformance.sometimes(known),
        Path("/results"),
    )


def test_a_report_is_counted_by_the_names_of_its_tests() -> None:
    assert conformance.counted(JUNIT) == (5, 1, Counter({"push/blob": 2, "referrers": 1}))


def test_what_is_known_to_fail_is_no_difference() -> None:
    same = report("# a cause\n2 push/blob\n\n1 referrers\n")
    assert not same.differs
    assert same.lines == [
        "registry: a registry",
        "tests: 5, skipped: 1, failed: 3, of which known: 3",
        "report: /results/report.html",
    ]


def test_new_failures_and_those_that_are_gone_are_shown() -> None:
    other = report("1 push/blob\n1 sha512/push\n")
    assert other.differs
    assert [line for line in other.lines if "report" not in line][1:] == [
        "tests: 5, skipped: 1, failed: 3, of which known: 1",
        "NEW failure: 1 push/blob",
        "NEW failure: 1 referrers",
        "fails no more, remove it from known-2.8.3.txt: 1 sha512/push",
    ]


def test_what_fails_by_chance_is_neither_new_nor_gone() -> None:
    assert not report("2 push/blob\n~ refer*\n~ tags/*\n").differs
    assert report("2 push/blob\n~ tags/*\n").new == Counter({"referrers": 1})


def test_the_known_failures_have_causes_and_read_as_they_are_written() -> None:
    text = conformance.KNOWN.read_text()
    failures = conformance.known(text)
    assert len(failures) > 50
    listed = [line for line in text.splitlines() if line and line[0] not in "#~"]
    assert sorted(listed) == sorted(conformance.as_lines(failures))
    blocks = text.split("\n\n")[1:]
    assert all(block.startswith("# ") for block in blocks)
