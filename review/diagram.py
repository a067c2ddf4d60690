"""A stack as a Mermaid diagram, collapsed to its components. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from review.plan import ACTS, CHANGING, Act, Change, Plan, is_shown

_MARK: Final[Mapping[Act, str]] = {
    "delete": "-",
    "replace": "±",
    "update": "~",
    "create": "+",
    "same": "",
}
# Readable on GitHub's and GitLab's light and dark pages.
_COLOURS: Final = """\
  classDef delete fill:#ffdce0,stroke:#b31d28,color:#3d0a10
  classDef replace fill:#ffe8cc,stroke:#b35900,color:#3d1f00
  classDef update fill:#fff8c5,stroke:#9a6700,color:#3b2900
  classDef create fill:#dafbe1,stroke:#1a7f37,color:#04260f
  classDef same fill:#f6f8fa,stroke:#8c959f,color:#24292f"""


def mermaid(plan: Plan) -> str:
    """The flowchart. `a --> b`: b needs a. Rounded boxes hold data.

    Edges that are implied by a longer path are left out.
    """
    by_urn = {change.urn: change for change in plan.changes}
    groups: dict[str, list[Change]] = defaultdict(list)
    for change in plan.changes:
        if is_shown(change):
            groups[_top(change, by_urn)].append(change)
    # By name, not by number nor by the order of the engine, which does many things at once: so a
    # comment that is edited in place changes only where the stack does.
    ordered = sorted(groups, key=lambda urn: (by_urn[urn].name, urn))
    names = _node_names({urn: by_urn[urn].name for urn in ordered})
    lines = ["flowchart LR"]
    for urn in ordered:
        members = groups[urn]
        act = gravest(member.act for member in members)
        label = f"{by_urn[urn].name}<br/><small>{_label(by_urn[urn], members)}</small>"
        holds = any(member.data for member in members)
        open_, close = ("([", "])") if holds else ("[", "]")
        lines.append(f'  {names[urn]}{open_}"{label}"{close}:::{act}')
    drawn = [(names[a], names[b]) for a, b in _reduced(_edges(groups, by_urn))]
    lines += [f"  {a} --> {b}" for a, b in sorted(drawn)]
    return "\n".join([*lines, _COLOURS])


def gravest(acts: Iterable[Act]) -> Act:
    """The gravest of `acts`; "same" without any."""
    given = set(acts)
    for act in ACTS:
        if act in given:
            return act
    return "same"


def _label(top: Change, members: list[Change]) -> str:
    counts = [
        f"{_MARK[act]}{count}"
        for act in CHANGING
        if (count := sum(member.act == act for member in members))
    ]
    return f"{top.kind} {' '.join(counts) or 'unchanged'}"


def _top(change: Change, by_urn: Mapping[str, Change]) -> str:
    """The component (or the resource itself) right below the stack."""
    while (parent := by_urn.get(change.parent)) and parent.type != "pulumi:pulumi:Stack":
        change = parent
    return change.urn


def _edges(groups: Mapping[str, list[Change]], by_urn: Mapping[str, Change]) -> dict[str, set[str]]:
    """Group → the groups on whose members one of its members depends."""
    needs: dict[str, set[str]] = {urn: set() for urn in groups}
    for urn, members in groups.items():
        for member in members:
            for dependency in member.depends_on:
                source = by_urn.get(dependency)
                if source is not None and (top := _top(source, by_urn)) in groups and top != urn:
                    needs[urn].add(top)
    return needs


def _node_names(components: Mapping[str, str]) -> dict[str, str]:
    """URN → the node's name, from the component's. Those of like names are told by their URNs."""
    # Begun with a word of its own: Mermaid reads `end`, `style` and others as commands.
    bare = {
        urn: "of_" + re.sub(r"\W", "_", name, flags=re.ASCII) for urn, name in components.items()
    }
    times = Counter(bare.values())
    return {
        urn: name if times[name] == 1 else f"{name}_{hashlib.sha256(urn.encode()).hexdigest()[:6]}"
        for urn, name in bare.items()
    }


def _reduced(needs: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """The edges (source, target), without those that a longer path implies."""

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        for source in needs[start] - seen:
            seen.add(source)
            if source == goal or reaches(source, goal, seen):
                return True
        return False

    return {
        (source, target)
        for target, sources in needs.items()
        for source in sources
        if not any(reaches(other, source, {target}) for other in sources - {source})
    }
