"""Immutable tags: the rules of a project by which nobody moves or deletes a tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from components.registry.errors import Refused
from components.registry.kinds import checks, in_project, selectors
from components.registry.kinds.base import Field, Kind, Session, Tree, rows

_PLACE: Final = "immutabletagrules"

Patterns = tuple[str, ...]


def _patterns(rule: Mapping[str, Any]) -> Patterns:
    return tuple(selectors.normal(rule)[name] for name in selectors.PATTERNS)


def _rules(value: Any) -> Any:
    """Rules as a set: their order means nothing."""
    if not isinstance(value, list):
        return value
    return sorted((_patterns(rule), rule.get("enabled", True)) for rule in rows(value))


def _are_rules(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return "has to be a list of one rule at least"
    for rule in rows(value):
        if (why := selectors.unknown(rule, "enabled")) is not None:
            return why
        is_enabled = checks.boolean(rule.get("enabled", True))
        why = selectors.problem(rule) or (is_enabled and f"enabled {is_enabled}")
        if why is not None:
            return f"has a rule whose {why}"
    chosen = [_patterns(rule) for rule in rows(value)]
    return "has two rules of the same patterns" if len(set(chosen)) < len(chosen) else None


class ImmutableTags(Kind):
    """All rules of a project as one. `rules`: [{repositories, repositoriesExcluded, tags,
    tagsExcluded, enabled}]; a pattern is left out where its counterpart is given."""

    name = "ImmutableTags"
    noun = "immutable tags of project"
    computed = ()
    fields: ClassVar = {
        "project": Field(required=True, replaces=True, check=checks.harbor_name),
        "rules": Field(required=True, normal=_rules, check=_are_rules),
    }

    def id_of(self, inputs: Tree) -> str:
        return str(inputs["project"])

    def inputs_of(self, id_: str) -> Tree:
        return {"project": id_}

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        """The rules; None while there are none. Harbor has no GET of a single one."""
        del known
        project = str(inputs["project"])
        stored = in_project.listed(session, project, _PLACE)
        return {"project": project, "rules": stored} if stored else None

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del session, known
        rules = [
            {**selectors.shown(rule), "enabled": not rule.get("disabled", False)}
            for rule in stored["rules"]
        ]
        return {
            "project": stored["project"],
            "rules": sorted(rules, key=lambda r: str(_rules([r]))),
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        self.write(session, {"project": inputs["project"], "rules": []}, inputs, ("rules",))
        stored = self.find(session, inputs, {})
        if stored is None:
            raise Refused(f"{self.noun} {inputs['project']}: Harbor shows none of its new rules")
        return stored

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        del changed
        project = str(inputs["project"])
        by_patterns = {_patterns(selectors.shown(rule)): rule for rule in stored["rules"]}
        declared = {_patterns(rule): rule for rule in inputs["rules"]}
        kept = {patterns: by_patterns[patterns] for patterns in declared.keys() & by_patterns}
        spare = [rule for rule in stored["rules"] if rule not in kept.values()]
        for patterns, rule in declared.items():
            row = kept.get(patterns)
            if row is None and spare:
                # A PUT that changes `disabled` as well would change nothing else: two PUTs.
                row = spare.pop(0)
                _put(session, project, row, rule, disabled=bool(row.get("disabled")))
            elif row is None:
                row = self._posted(session, project, rule)
            if bool(row.get("disabled")) == rule.get("enabled", True):
                _put(session, project, row, rule, disabled=not rule.get("enabled", True))
        for row in spare:
            session.harbor.delete(in_project.path_of(project, f"{_PLACE}/{row['id']}"))

    def _posted(self, session: Session, project: str, rule: Tree) -> Tree:
        """A new rule, which is in force whatever `disabled` says."""

        def look() -> Tree | None:
            for row in in_project.listed(session, project, _PLACE):
                if _patterns(selectors.shown(row)) == _patterns(rule):
                    return row
            return None

        path = in_project.path_of(project, _PLACE)
        return dict(session.harbor.created(path, _body(rule, disabled=False), look))

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        for row in stored["rules"]:
            path = in_project.path_of(stored["project"], f"{_PLACE}/{row['id']}")
            session.harbor.delete(path)

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        """Rules are taken if each is declared: a run that was interrupted made some of them."""
        del session, stored
        declared = {_patterns(rule): rule.get("enabled", True) for rule in inputs["rules"]}
        others: list[str] = []
        for rule in shown["rules"]:
            patterns = _patterns(rule)
            if patterns not in declared or (declared[patterns] and not rule["enabled"]):
                others.append(f"a rule is {rule!r}")
        return ", ".join(others)


def _body(rule: Tree, *, disabled: bool) -> Tree:
    return {
        "action": "immutable",
        "template": "immutable_template",
        "disabled": disabled,
        **selectors.sent(rule),
    }


def _put(session: Session, project: str, row: Tree, rule: Tree, *, disabled: bool) -> None:
    body = {"id": row["id"], **_body(rule, disabled=disabled)}
    session.harbor.put(in_project.path_of(project, f"{_PLACE}/{row['id']}"), body)
