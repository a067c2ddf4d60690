"""A preview as Markdown that a reviewer reads in a minute. Pure.

The most dangerous comes first: guards that are off, broken rules, consequences, changes to what
holds data, deletions, replacements and their reasons, updates, creations. It cannot contain a
secret: the engine's digest has none, and values of properties that are named like secrets are left
out besides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from policy.plaintext import names_a_secret
from policy.resource import UNKNOWN
from review.consequences import consequences
from review.diagram import gravest, mermaid
from review.plan import CHANGING, SECRET, Act, Change, Difference, Plan, Violation, is_shown

_VERBS: Final[Mapping[Act, str]] = {
    "delete": "Deleted",
    "replace": "Replaced",
    "update": "Changed",
    "create": "Created",
}
_TO: Final[Mapping[Act, str]] = {
    "delete": "delete",
    "replace": "replace",
    "update": "change",
    "create": "create",
}
_FOLDED: Final = frozenset(
    {"sovereign-harbor:index:SealedSecret", "sovereign-harbor:index:ExternalSecret"}
)
"""Shown as one resource in place of their children (seal, manifest, wait)."""

_MOST_DIFFERENCES = 6
_LONGEST_VALUE = 60
_LONGEST_OPEN_LIST = 12


def markdown(
    plan: Plan,
    violations: tuple[Violation, ...] = (),
    *,
    note: str = "",
    guards: Sequence[str] = (),
    settings: Sequence[Difference] = (),
) -> str:
    """The summary. `violations` come on top of those that the engine found.

    `guards`: a sentence for each guard of data that is off; `settings`: those that differ from the
    base's, where a base is compared with.
    """
    broken = [v for v in (*plan.violations, *violations) if v.mandatory]
    blocks = [f"## {plan.stack}: {_headline(plan, broken)}"]
    if guards:
        blocks.append("### Guards that are off\n\n" + "\n".join(f"- {guard}" for guard in guards))
    if note:
        blocks.append(f"> {note}")
    blocks += [
        *_problems(plan, broken),
        *_consequences(plan),
        *_settings(settings),
        *_sections(plan),
        *_told("warning", plan.warnings),
        *_told("hint", plan.infos),
        _diagram(plan),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _headline(plan: Plan, broken: list[Violation]) -> str:
    if plan.errors:
        return "the preview failed"
    counts = [f"{plan.count(act)} to {_TO[act]}" for act in CHANGING if plan.count(act)]
    said = ", ".join(counts) or "no changes"
    rules = len({violation.rule for violation in broken})
    return f"{said}; {rules} rule{'s' * (rules > 1)} broken" if broken else said


def _problems(plan: Plan, broken: list[Violation]) -> Iterator[str]:
    if broken:
        lines = [f"- **{v.rule}** — `{v.resource}`: {v.message}" for v in broken]
        yield "### Not allowed\n\n" + "\n".join(dict.fromkeys(lines))
    for error in plan.errors:
        if not broken or "policy" not in error:
            yield f"### Error\n\n```text\n{error}\n```"


def _sections(plan: Plan) -> Iterator[str]:
    shown = fold(plan)
    touched = [change for change in shown if change.touches_data]
    if touched:
        lines = [f"- **{_VERBS[c.act].lower()}: {_name(c)}** — holds {c.data}" for c in touched]
        yield "### Touches data\n\n" + "\n".join(lines)
    for act in CHANGING:
        changes = [change for change in shown if change.act == act]
        lines = list(_created(changes) if act == "create" else _lines(changes))
        if not lines:
            continue
        title = f"{_VERBS[act]} ({plan.count(act)})"
        if len(lines) > _LONGEST_OPEN_LIST and act in ("create", "update"):
            body = "\n".join(lines)
            yield f"<details><summary><b>{title}</b></summary>\n\n{body}\n\n</details>"
        else:
            yield f"### {title}\n\n" + "\n".join(lines)


def fold(plan: Plan) -> list[Change]:
    """The resources as people count them: a SealedSecret or an
    ExternalSecret is one, its children are none."""
    by_urn = {change.urn: change for change in plan.changes}
    folded: dict[str, list[Change]] = defaultdict(list)
    shown: list[Change] = []
    for change in plan.changes:
        parent = by_urn.get(change.parent)
        if not is_shown(change):
            continue
        if parent is not None and parent.type in _FOLDED:
            folded[parent.urn].append(change)
        else:
            shown.append(change)
    shown += [_one(by_urn[urn], members) for urn, members in folded.items()]
    # The engine does many things at once, in another order each time.
    return sorted(shown, key=lambda change: (change.name, change.urn))


def _one(component: Change, members: list[Change]) -> Change:
    act = gravest(member.act for member in members)
    first = next(member for member in members if member.act == act)
    return replace(
        component,
        act=act,
        differences=first.differences,
        replaced_by=first.replaced_by,
        stays=all(member.stays for member in members),
    )


def _name(change: Change) -> str:
    return f"{change.kind} `{change.name}`"


def _lines(changes: list[Change]) -> Iterator[str]:
    """A line for all resources that change alike."""
    alike: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        # A change of data has a line of its own.
        key = change.urn if change.touches_data else _details(change)
        alike[f"{change.kind} {key}"].append(change)
    for members in alike.values():
        name = f"{members[0].kind} " + ", ".join(f"`{member.name}`" for member in members)
        yield f"- {f'**{name}**' if members[0].touches_data else name}{_details(members[0])}"


def _details(change: Change) -> str:
    """What follows the names: the reasons, and below them a line for each difference."""
    parts: list[str] = []
    if change.replaced_by:
        keys = ", ".join(f"`{key}`" for key in change.replaced_by)
        parts.append(f"because {keys} change{'s' * (len(change.replaced_by) == 1)}")
    if change.stays and change.act in ("delete", "replace"):
        parts.append("the old one itself stays in place, only forgotten")
    told = sorted(change.differences, key=lambda d: d.path not in change.replaced_by)
    lines = [f"  - {_difference(difference)}" for difference in told[:_MOST_DIFFERENCES]]
    if len(told) > _MOST_DIFFERENCES:
        lines.append(f"  - and {len(told) - _MOST_DIFFERENCES} more")
    return "\n".join([f": {'; '.join(parts)}" if parts else "", *lines])


def _created(changes: list[Change]) -> Iterator[str]:
    """A line for each resource that holds data, then one for each kind of the others."""
    for change in changes:
        if change.data:
            yield f"- **{_name(change)}**"
    kinds: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        if not change.data:
            kinds[change.kind].append(change.name)
    for kind, names in sorted(kinds.items()):
        yield f"- {kind}: " + ", ".join(f"`{name}`" for name in sorted(names))


def _difference(difference: Difference) -> str:
    path = f"`{difference.path}`"
    before = _value(difference.path, difference.before)
    after = _value(difference.path, difference.after)
    if difference.after is UNKNOWN and difference.before is None:
        return f"{path}: {after}"
    if difference.before is None:
        return f"{path}: set" + (f" to {after}" if after else "")
    if difference.after is None:
        return f"{path}: removed"
    if before is None or after is None or before == after:
        return f"{path}: another value"
    return f"{path}: {before} → {after}"


def _value(path: str, value: Any) -> str | None:
    """The value as it is shown; None for one that may be a secret or tells a reader nothing."""
    last = path.rpartition(".")[2]
    if value is None or value == SECRET or names_a_secret(last) or "encryptedData" in path:
        return None
    if value is UNKNOWN:
        return "*known after the run*"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "\n" in text or "-----BEGIN" in text:
        return None
    text = text.replace("`", "'").replace("|", "\\|") or '""'
    return f"`{text[: _LONGEST_VALUE - 1]}…`" if len(text) > _LONGEST_VALUE else f"`{text}`"


def _consequences(plan: Plan) -> Iterator[str]:
    if lines := [f"- {sentence}" for sentence in consequences(plan)]:
        yield "### What this means\n\n" + "\n".join(lines)


def _settings(differences: Sequence[Difference]) -> Iterator[str]:
    if lines := [f"- {_difference(difference)}" for difference in differences]:
        yield "### Settings\n\n" + "\n".join(lines)


def _told(kind: str, texts: Sequence[str]) -> Iterator[str]:
    if texts:
        body = "\n".join(map(_warning, texts))
        count = len(texts)
        title = f"{count} {kind}{'s' * (count > 1)}"
        yield f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _warning(text: str) -> str:
    """A list item; the indented lines of a warning are commands to copy."""
    first, *more = text.splitlines()
    lines = [f"`{line.strip()}`" if line.startswith("  ") else line for line in more]
    return "- " + "<br>".join([first, *lines])


def _diagram(plan: Plan) -> str:
    if not any(is_shown(change) for change in plan.changes):
        return ""
    return (
        "<details><summary>Dependencies</summary>\n\n"
        f"```mermaid\n{mermaid(plan)}\n```\n\nRounded boxes hold data.\n\n</details>"
    )
