"""Images that the fake is told of, and which of them a retention keeps. No blob is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.fake_harbor.world import Row


def matches(pattern: str, text: str) -> bool:
    """Doublestar: `*` within a part of a path, `**` over parts, `{a,b}` either."""
    expression = ""
    for token in re.findall(r"\*\*/?|\*|\?|\{[^}]*\}|[^*?{]+|\{", pattern):
        if token.startswith("**"):
            expression += ".*"
        elif token == "*":
            expression += "[^/]*"
        elif token == "?":
            expression += "[^/]"
        elif token.startswith("{") and token.endswith("}"):
            options = (matches_expression(part) for part in token[1:-1].split(","))
            expression += f"(?:{'|'.join(options)})"
        else:
            expression += re.escape(token)
    return re.fullmatch(expression, text) is not None


def matches_expression(part: str) -> str:
    """One option of braces as a regular expression."""
    return "[^/]*".join(re.escape(piece) for piece in part.split("*"))


def kept(rules: list[Row], repository: Row) -> list[Row]:
    """The artifacts of a repository that at least one enabled rule keeps."""
    artifacts: list[Row] = repository["artifacts"]
    keep: list[str] = []
    short = repository["name"].partition("/")[2]
    applied = False
    for rule in rules:
        repositories = rule.get("scope_selectors", {}).get("repository", [])
        if rule.get("disabled") or not all(selects(s, short) for s in repositories):
            continue
        applied = True
        chosen = [a for a in artifacts if _is_selected(rule.get("tag_selectors", []), a)]
        keep += [artifact["digest"] for artifact in _by_template(rule, chosen)]
    if not applied:
        return artifacts  # a repository that no rule names is left alone
    return [artifact for artifact in artifacts if artifact["digest"] in keep]


def selects(selector: Row, text: str) -> bool:
    excludes = selector.get("decoration", "").lower().endswith("excludes")
    return matches(selector.get("pattern", ""), text) != excludes


def _selects_untagged(selector: Row) -> bool:
    """Whether a selector of tags chooses an image that has none.

    It does unless `extras` say otherwise, by "untagged": false; beside `excludes` by "untagged":
    true, as these are excluded then (selector.go of Harbor's doublestar selectors).
    """
    try:
        extras: Any = json.loads(selector.get("extras") or "")
    except ValueError:
        return True
    untagged = bool(extras.get("untagged"))
    return untagged != (selector.get("decoration") == "excludes")


def _is_selected(selectors: list[Row], artifact: Row) -> bool:
    for selector in selectors:
        if not artifact["tags"]:
            if not _selects_untagged(selector):
                return False
        elif not any(selects(selector, tag) for tag in artifact["tags"]):
            return False
    return True


def _by_template(rule: Row, artifacts: list[Row]) -> list[Row]:
    template = rule.get("template", "")
    parameters: Any = rule.get("params") or {}
    number = parameters.get(template, 0)
    number = number if isinstance(number, int) else 0
    by_time: dict[str, str] = {
        "latestPushedK": "pushed",
        "latestPulledN": "pulled",
        "nDaysSinceLastPush": "pushed",
        "nDaysSinceLastPull": "pulled",
    }
    if template == "always":
        return artifacts
    if template not in by_time:
        return []
    key = by_time[template]
    time: Callable[[Row], datetime] = lambda a: datetime.fromisoformat(a[key])  # noqa: E731
    if template.startswith("latest"):
        return sorted(artifacts, key=time, reverse=True)[:number]
    begin = datetime.now(UTC) - timedelta(days=number)
    return [artifact for artifact in artifacts if time(artifact) >= begin]


def table(repository: Row, keep: list[Row]) -> str:
    """The log of a retention's task, with a line for each artifact."""
    digests = [artifact["digest"] for artifact in keep]
    lines = ["| Digest | Tag | Kind | Labels | PushedTime | PulledTime | CreatedTime | Retention |"]
    for artifact in repository["artifacts"]:
        word = "RETAIN" if artifact["digest"] in digests else "DEL"
        tags = ",".join(artifact["tags"])
        lines.append(
            f"| {artifact['digest']} | {tags} | IMAGE |  | {artifact['pushed']} "
            f"| {artifact['pulled']} | {artifact['pushed']} | {word} |"
        )
    return "\n".join(lines) + "\n"
