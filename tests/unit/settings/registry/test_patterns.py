"""Patterns of repositories, tags and groups."""

from __future__ import annotations

import re

import pytest

from components.settings.registry import patterns


@pytest.mark.parametrize(
    "pattern",
    [
        *("**", "*", "v*", "org/**", "sha256-*", "release-{1,2}.x", "a/{b,c}/d", "v[0-9]*", "?"),
        "kestrel-org/lab/golden/{base-java,base-go,base-node}",
        "a" * 1024,
    ],
)
def test_patterns_that_are_taken(pattern: str) -> None:
    assert patterns.GLOB.check is not None
    assert patterns.GLOB.check(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a,b", "a comma outside braces"),
        ("a/**, b/**", "a comma outside braces"),
        ("{a,b", "not closed"),
        ("a}", "closed, and not nested"),
        ("{a,{b,c}}", "closed, and not nested"),
        ("{a,}", "is empty"),
        ("org/[a", "a bracket is not closed"),
        ("/org", "slashes stand between two parts"),
        ("***", ""),
        ("", ""),
        ("a b", ""),
        ("<repository>", ""),
        ("a" * 1025, "at most 1024 characters"),
    ],
)
def test_patterns_that_match_nothing_are_refused(pattern: str, words: str) -> None:
    assert patterns.GLOB.check is not None
    reason = patterns.GLOB.check(pattern)
    assert reason is not None
    assert words in reason


@pytest.mark.parametrize(
    ("given", "one"),
    [
        ([], ""),
        (["v*"], "v*"),
        (["v*", "prod"], "{v*,prod}"),
        (["a/{b,c}", "d/**"], "{a/b,a/c,d/**}"),
    ],
)
def test_a_list_becomes_one_pattern(given: list[str], one: str) -> None:
    assert patterns.joined(given) == one


def test_a_group_filter_is_anchored_and_quoted() -> None:
    expression = patterns.regular_expression(["harbor-*", "clinic/**", "{a.b,c}"])
    matches = [
        name
        for name in ("harbor-dev", "x-harbor-dev", "harbor-a/b", "clinic/a/b", "a.b", "aXb", "c")
        if re.search(expression, name)
    ]
    assert matches == ["harbor-dev", "clinic/a/b", "a.b", "c"]
    assert patterns.regular_expression([]) == ""
