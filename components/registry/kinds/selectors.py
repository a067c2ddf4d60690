"""Selectors of repositories and tags, as Harbor writes them in retention and immutable rules. Pure.

Harbor checks nothing of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from components import parsed
from components.registry.kinds.base import Tree, rows

PATTERNS: Final = ("repositories", "repositoriesExcluded", "tags", "tagsExcluded")
"""Inputs of a rule: one pattern each, "" for none. Of matched and excluded one is given."""

_ALL: Final = "**"


def unknown(rule: Any, *others: str) -> str | None:
    """What a rule has besides its patterns and these others."""
    allowed = sorted((*PATTERNS, *others))
    given = cast("Tree", rule).keys() if isinstance(rule, dict) else {"?"}
    more = sorted(given - set(allowed))
    return f"has rules of {', '.join(allowed)}, and no {more[0]}" if more else None


def problem(rule: Tree) -> str | None:
    """What is wrong with the patterns of a rule: a sentence that begins with their names."""
    for name in PATTERNS:
        if not isinstance(rule.get(name, ""), str):
            return f"{name} has to be a text"
    for name in ("repositories", "tags"):
        if rule.get(name) and rule.get(f"{name}Excluded"):
            return f"{name} and {name}Excluded exclude each other"
    return None


def normal(rule: Mapping[str, Any]) -> Tree:
    """The patterns of a rule of the inputs, complete."""
    given = {name: rule.get(name) or "" for name in PATTERNS}
    for name in ("repositories", "tags"):
        if not given[name] and not given[f"{name}Excluded"]:
            given[name] = _ALL
    return given


def sent(rule: Mapping[str, Any], *, untagged: bool | None = None) -> Tree:
    """The patterns as Harbor takes them. `untagged`: whether images without a tag count; None for
    rules that know no such thing.

    Beside `excludes` Harbor means the opposite: whether images without a tag are excluded too
    (src/lib/selector/selectors/doublestar/selector.go, tagSelectExclude).
    """
    patterns = normal(rule)
    tag = _selector(patterns["tags"], patterns["tagsExcluded"], "matches", "excludes")
    if untagged is not None:
        said = not untagged if patterns["tagsExcluded"] else untagged
        tag["extras"] = json.dumps({"untagged": said}, separators=(",", ":"))
    repository = _selector(
        *(patterns["repositories"], patterns["repositoriesExcluded"]), "repoMatches", "repoExcludes"
    )
    return {"tag_selectors": [tag], "scope_selectors": {"repository": [repository]}}


def _selector(matched: str, excluded: str, matches: str, excludes: str) -> Tree:
    return {
        "kind": "doublestar",
        "decoration": excludes if excluded else matches,
        "pattern": excluded or matched,
    }


def shown(rule: Tree) -> Tree:
    """The patterns of a rule of Harbor's. What this program would not send differs from all that
    it does."""
    scopes: Tree = rule.get("scope_selectors") or {}
    return {
        **_patterns(rows(scopes.get("repository")), "repositories", "repoMatches", "repoExcludes"),
        **_patterns(rows(rule.get("tag_selectors")), "tags", "matches", "excludes"),
    }


def _patterns(selectors: list[Tree], name: str, matches: str, excludes: str) -> Tree:
    parts: dict[str, list[str]] = {name: [], f"{name}Excluded": []}
    for selector in selectors:
        decoration = selector.get("decoration")
        to = f"{name}Excluded" if decoration == excludes else name
        pattern = str(selector.get("pattern") or "")
        known = decoration in (matches, excludes) and selector.get("kind") == "doublestar"
        parts[to].append(pattern if known else f"{decoration} {pattern}")
    return {key: " and ".join(of) for key, of in parts.items()}


def untagged(rule: Tree) -> Any:
    """Whether a rule of Harbor's counts images without a tag. It does where nothing is said."""
    for selector in rows(rule.get("tag_selectors")):
        if not selector.get("extras"):
            return True
        try:
            said = bool(parsed.json_of(selector["extras"]).get("untagged"))
        except (ValueError, AttributeError):
            return selector["extras"]
        return not said if selector.get("decoration") == "excludes" else said
    return True
