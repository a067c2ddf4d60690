"""Patterns of repositories and tags. Pure.

Harbor matches by doublestar: `*` within a part of a path, `**` over parts, `{a,b}` alternatives. A
list that is joined by bare commas matches nothing (harbor #15700, #20610), so a list of the stack's
file becomes one pattern with braces.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Final

from components.settings.registry.names import one_line_problem
from components.settings.schema.rules import SettingRule, length_problem

_PART = re.compile(r"[A-Za-z0-9._/*?@+:\-]+|\{[^{}]*\}|\[[^\[\]]+\]")


def _problem_of_braces(text: str) -> str | None:
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth not in (0, 1):
            return "braces are closed, and not nested"
    return "a brace is not closed" if depth else None


_LONGEST: Final = 1024
"""Four names of repositories, of which each has at most 255 characters in Harbor."""


def _problem(text: str) -> str | None:
    if (reason := length_problem(text, _LONGEST)) is not None:
        return f"{reason}: a list has as many patterns as it needs"
    if (reason := _problem_of_braces(text)) is not None:
        return reason
    if "," in re.sub(r"\{[^{}]*\}", "", text):
        return "a comma outside braces matches nothing in Harbor: write a list, or {a,b}"
    if text.count("[") != text.count("]"):
        return "a bracket is not closed"
    if any(not part for part in _alternatives_of(text)):
        return "an alternative between the braces is empty"
    rest = _PART.sub("", text.replace(",", ""))
    if rest or not text or re.search(r"\*{3}", text):
        return ""
    if text.startswith("/") or text.endswith("/") or "//" in text:
        return "slashes stand between two parts: this matches nothing"
    return None


def _alternatives_of(text: str) -> list[str]:
    return [part for inner in re.findall(r"\{([^{}]*)\}", text) for part in inner.split(",")]


def _problem_of_repositories(text: str) -> str | None:
    if "://" in text:
        return "without scheme and host: they are those of the registry"
    reason = _problem(text)
    if reason is None and text != text.lower():
        return "no registry has a repository with upper-case letters"
    return reason


def _without_a_host(text: str) -> list[str]:
    return [re.sub(r"^[a-z]+://[^/]+/", "", text).strip("/").lower()]


GLOB: Final = SettingRule(
    allowed="a pattern of letters, digits and . _ - /, where * stands for a part of a name, ** for "
    "any path and {a,b} for alternatives",
    example="<pattern>",
    check=_problem,
    suggest=lambda text: [text.strip("/")],
    in_quotes=True,
)
REPOSITORIES: Final = replace(
    GLOB,
    allowed=GLOB.allowed.replace("letters", "lower-case letters"),
    check=_problem_of_repositories,
    suggest=_without_a_host,
)
Glob = Annotated[str, GLOB]
"""Of tags."""
RepositoryGlob = Annotated[str, REPOSITORIES]
ALL: Final = "**"


def _problem_of_groups(text: str) -> str | None:
    if (reason := _problem_of_braces(text)) is not None:
        return reason
    if re.search(r"[\\^$|\[\]]|\.[*+]", text) is not None or text.count("(") != text.count(")"):
        return "no regular expression: the program makes one of the pattern, with both ends fixed"
    if "," in re.sub(r"\{[^{}]*\}", "", text):
        return "a comma outside braces: write a list, or {a,b}"
    return one_line_problem(255, text) if text else "it is empty"


GROUPS: Final = SettingRule(
    allowed="the name of a group, where * stands for a part of a path, ** for any path and {a,b} "
    "for alternatives",
    example="<group>",
    check=_problem_of_groups,
    suggest=lambda text: [text.strip("^$").replace(".*", "*")],
    in_quotes=True,
)
GroupGlob = Annotated[str, GROUPS]


def joined(patterns: Sequence[str]) -> str:
    """One pattern that matches what any of the patterns matches; "" for none."""
    if len(patterns) < 2:
        return patterns[0] if patterns else ""
    return "{" + ",".join(itertools.chain.from_iterable(map(expanded, patterns))) + "}"


def expanded(pattern: str) -> list[str]:
    """The patterns without braces that stand for one with braces."""
    parts = re.split(r"(\{[^{}]*\})", pattern)
    choices = [part[1:-1].split(",") if part.startswith("{") else [part] for part in parts]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def is_literal(pattern: str) -> bool:
    """Whether a pattern without braces names one thing."""
    return not re.search(r"[*?\[]", pattern)


def regular_expression(patterns: Sequence[str]) -> str:
    """An anchored regular expression (RE2) of texts that match one of the patterns; "" for none.

    Harbor's group filter is unanchored, and a broken one is no filter at all.
    """
    if not patterns:
        return ""
    alternatives = ["".join(_regular(part)) for pattern in patterns for part in expanded(pattern)]
    return f"^(?:{'|'.join(alternatives)})$"


_WILDCARDS: Final = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


def _regular(pattern: str) -> Iterator[str]:
    for token in re.findall(r"\*\*|\*|\?|[^*?]", pattern):
        yield _WILDCARDS[token] if token in _WILDCARDS else re.escape(token)
