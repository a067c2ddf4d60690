"""Retention: the rules of a project by which tags are kept, and all others deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from components.registry.api import Harbor
from components.registry.errors import HarborError, Refused
from components.registry.kinds import checks, selectors
from components.registry.kinds.base import Field, Kind, Session, Tree, as_cron, rows

TEMPLATES: Final = (
    "latestPushedK",
    "latestPulledN",
    "nDaysSinceLastPush",
    "nDaysSinceLastPull",
    "always",
)

MOST_RULES: Final = 15

_OF_A_CACHE: Final = {
    "cron": "0 0 0 * * *",
    "rules": [
        {
            "template": "nDaysSinceLastPull",
            "number": 7,
            "repositories": "**",
            "tags": "**",
            "untagged": True,
        }
    ],
}
"""What Harbor gives a new proxy cache by itself."""


def _rule(rule: Tree) -> Tree:
    others = {key: value for key, value in rule.items() if key not in selectors.PATTERNS}
    always: Tree = {"number": 0} if rule.get("template") == "always" else {}
    return {"untagged": True, **others, **always, **selectors.normal(rule)}


def _rules(value: Any) -> Any:
    """Rules as a set: a tag that one of them keeps stays, whatever their order."""
    if not isinstance(value, list):
        return value
    return sorted(
        (_rule(rule) for rule in rows(value)), key=lambda rule: sorted(map(str, rule.items()))
    )


def _problem(rule: Tree) -> str | None:
    template = rule.get("template")
    number = None if template == "always" else checks.whole(1, 100_000)(rule.get("number"))
    for name, why in (
        ("template", checks.one_of(*TEMPLATES)(template)),
        ("number", number),
        ("untagged", checks.boolean(rule.get("untagged", True))),
    ):
        if why is not None:
            return f"{name} {why}"
    return selectors.problem(rule)


def _are_rules(value: Any) -> str | None:
    """Harbor stores nearly all nonsense without a word, and fails when the rules run."""
    if not isinstance(value, list) or not 1 <= len(rows(value)) <= MOST_RULES:
        return f"has to be a list of 1 to {MOST_RULES} rules"
    for rule in rows(value):
        if (why := selectors.unknown(rule, "template", "number", "untagged")) is not None:
            return why
        if (why := _problem(rule)) is not None:
            return f"has a rule whose {why}"
    distinct = [
        rule for index, rule in enumerate(_rules(value)) if rule not in _rules(value)[:index]
    ]
    return "has the same rule twice" if len(distinct) < len(rows(value)) else None


def stored_retention(harbor: Harbor, project: str) -> Tree | None:
    """The policy of a project as Harbor has it, with the project's number and whether it is a
    proxy cache; None if the project or its policy does not exist."""
    of = harbor.project(project)
    metadata: Tree = {} if of is None else of.get("metadata") or {}
    number = metadata.get("retention_id")
    if of is None or not number:
        return None
    try:
        policy = harbor.get(f"/retentions/{number}")
    except HarborError as error:
        # Harbor answers 500 to a policy that does not exist; without its database, to all.
        if error.status != 500:
            raise
        harbor.project(project)
        policy = None
    if policy is None:
        return None
    return {**policy, "project": project, "isCache": bool(of.get("registry_id"))}


def refuse_what_ends_core(stored: Tree | None) -> None:
    """Raises Refused for a policy whose trigger has no settings, as another tool made it.

    Harbor can neither change nor delete it, and its core ends when the project is deleted.
    """
    if stored is not None and "settings" not in (stored.get("trigger") or {}):
        raise Refused(
            f"retention of project {stored['project']}: another tool made it with a trigger that "
            "has no settings. Harbor can neither change nor delete such a policy, and its core "
            "ends when the project is deleted. Only its row in Harbor's database, table "
            "retention_policy, can be mended"
        )


class Retention(Kind):
    """One policy of a project. `rules`: [{template, number, repositories, repositoriesExcluded,
    tags, tagsExcluded, untagged}]. `cron`: "" for a policy that runs only when a person starts it.
    """

    name = "Retention"
    noun = "retention of project"
    fields: ClassVar = {
        "project": Field(required=True, replaces=True, check=checks.harbor_name),
        "cron": Field(default="", normal=as_cron, check=checks.cron),
        "rules": Field(required=True, normal=_rules, check=_are_rules),
    }

    def id_of(self, inputs: Tree) -> str:
        return str(inputs["project"])

    def inputs_of(self, id_: str) -> Tree:
        return {"project": id_}

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del known
        return stored_retention(session.harbor, str(inputs["project"]))

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del session, known
        # next_scheduled_time is beside the cron, and is no setting.
        trigger: Tree = stored.get("trigger") or {}
        settings: Tree = trigger.get("settings") or {}
        return {
            "project": stored["project"],
            "cron": settings.get("cron") or "",
            "rules": [_shown(rule) for rule in rows(stored.get("rules"))],
            "harborId": stored["id"],
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        project = session.harbor.project(str(inputs["project"]))
        if project is None:
            raise Refused(f"{self.noun} {inputs['project']}: Harbor has no such project")
        made = session.harbor.created(
            "/retentions",
            _body(inputs, project["project_id"]),
            lambda: self.find(session, inputs, {}),
        )
        return dict(made)

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        # A project has one policy, and a proxy cache has it from the beginning: PUT, never a second
        # POST. A PUT replaces everything, and without scope or trigger it is a 500.
        del changed
        refuse_what_ends_core(stored)
        body = _body(inputs, stored["scope"]["ref"])
        session.harbor.put(f"/retentions/{stored['id']}", {"id": stored["id"], **body})

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        refuse_what_ends_core(stored)
        try:
            session.harbor.delete(f"/retentions/{stored['id']}")
        except HarborError as error:
            # Harbor's word for gone, where other kinds have 404.
            if error.status != 400 or "no such Retention policy" not in error.message:
                raise

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        if stored["isCache"] and all(
            self.equal(name, shown[name], value) for name, value in _OF_A_CACHE.items()
        ):
            return ""
        return super().foreign(session, stored, shown, inputs)


def _body(inputs: Tree, project: int) -> Tree:
    return {
        "algorithm": "or",
        "rules": [_sent(rule) for rule in inputs["rules"]],
        # A trigger without settings makes a policy that nobody can change again.
        "trigger": {"kind": "Schedule", "references": {}, "settings": {"cron": inputs["cron"]}},
        "scope": {"level": "project", "ref": project},
    }


def _sent(rule: Tree) -> Tree:
    template = rule["template"]
    return {
        "action": "retain",
        "disabled": False,
        "template": template,
        # The parameter has the template's name. Harbor takes a text for it, and fails later.
        "params": {} if template == "always" else {template: rule["number"]},
        **selectors.sent(rule, untagged=rule.get("untagged", True)),
    }


def _shown(rule: Tree) -> Tree:
    template = str(rule.get("template") or "")
    parameters: Tree = rule.get("params") or {}
    shown = {
        "template": template,
        "number": 0 if template == "always" else parameters.get(template),
        **selectors.shown(rule),
        "untagged": selectors.untagged(rule),
    }
    # What no input says: a rule that somebody switched off.
    return {**shown, "disabled": True} if rule.get("disabled") else shown
