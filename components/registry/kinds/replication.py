"""Replication policies: what is copied from or to a registry elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from components.commands import run
from components.registry.api import where
from components.registry.errors import HarborError, Refused
from components.registry.kinds import checks
from components.registry.kinds.base import (
    UNKNOWN,
    Field,
    Kind,
    Session,
    Tree,
    as_cron,
    as_set,
    rows,
)
from components.registry.kinds.endpoint import endpoint_id

_PATH: Final = "/replication/policies"

_TRIGGERS: Final = {"manual": "manual", "onPush": "event_based", "scheduled": "scheduled"}

_FLAGS: Final = {
    "overwrite": "override",
    "deletions": "deletion",
    "chunked": "copy_by_chunk",
    "oneAtATime": "single_active_replication",
    "enabled": "enabled",
}
"""Input → Harbor's field, of which it shows no false."""

_UNTIL_FINAL: Final = 40.0
"""Seconds: Harbor takes a run for unfinished for up to 30 s after its last task has ended."""

_NAMESPACE = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def _is_cron(value: Any) -> str | None:
    if (why := checks.cron(value)) is not None:
        return why
    if value and str(value).split()[1] == "*":
        return "must not have * as its minutes: Harbor refuses that of replications"
    return None


def _is_namespace(value: Any) -> str | None:
    ok = isinstance(value, str) and (not value or _NAMESPACE.fullmatch(value))
    return None if ok else f"has to be a path in lower case, not {value!r}"


class ReplicationPolicy(Kind):
    """`endpoint`: its name. `repositories`, `tags`, `tagsExcluded`: one pattern each, "" for all.
    `into`: project or path, "" for the same as in the source. `replaceCount`: parts of the path
    that are dropped, -1 for all but the last. `speed`: KB/s, 0 for no limit. `runNow`: starts it
    after it was made or changed, not again because the state was lost. `otherFilters`: those that
    no input says."""

    name = "ReplicationPolicy"
    noun = "replication"
    fields: ClassVar = {
        "name": Field(required=True, replaces=True, check=checks.nonempty),
        "direction": Field(required=True, check=checks.one_of("pull", "push")),
        "endpoint": Field(required=True, check=checks.nonempty),
        "repositories": Field(default="", of_harbor="", check=checks.text),
        "tags": Field(default="", of_harbor="", check=checks.text),
        "tagsExcluded": Field(default="", of_harbor="", check=checks.text),
        "labels": Field(default=[], of_harbor=[], normal=as_set, check=checks.distinct),
        "into": Field(default="", of_harbor="", check=_is_namespace),
        "replaceCount": Field(default=0, of_harbor=-1, check=checks.whole(-1, 127)),
        "trigger": Field(default="manual", of_harbor="manual", check=checks.one_of(*_TRIGGERS)),
        "cron": Field(default="", of_harbor="", normal=as_cron, check=_is_cron),
        "overwrite": Field(default=True, of_harbor=False, check=checks.boolean),
        "deletions": Field(default=False, of_harbor=False, check=checks.boolean),
        "speed": Field(default=0, of_harbor=0, check=checks.whole(0, 2**31 - 1)),
        "chunked": Field(default=False, of_harbor=False, check=checks.boolean),
        "oneAtATime": Field(default=False, of_harbor=False, check=checks.boolean),
        "enabled": Field(default=True, of_harbor=False, check=checks.boolean),
        "description": Field(of_harbor="", check=checks.text),
        "runNow": Field(default=False, local=True, check=checks.boolean),
    }
    mended: ClassVar = {"otherFilters": []}

    def problems(self, inputs: Tree) -> list[tuple[str, str]]:
        if UNKNOWN in inputs.values():
            return []
        name, trigger, cron = inputs["name"], inputs["trigger"], inputs["cron"]
        if (trigger == "scheduled") != bool(cron):
            return [("cron", f"replication {name}: cron goes with trigger scheduled, and only it")]
        if trigger == "onPush" and inputs["direction"] == "pull":
            # Harbor takes it, and it never starts.
            return [
                ("trigger", f"replication {name}: nothing is pushed here that onPush could see")
            ]
        if trigger == "onPush" and inputs["oneAtATime"]:
            return [("oneAtATime", f"replication {name}: Harbor answers 500 to it beside onPush")]
        return []

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        name = str(inputs["name"])
        for row in session.harbor.listed(_PATH, where({"name": name})):
            if row["name"] == name:
                return {**row, "isKnown": "runNow" in known}
        return None

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del session, known
        source: Tree = stored.get("src_registry") or {}
        target: Tree = stored.get("dest_registry") or {}
        # The side that is this Harbor has the number 0.
        is_pull = bool(source.get("id"))
        trigger: Tree = stored.get("trigger") or {}
        settings: Tree = trigger.get("trigger_settings") or {}
        kinds = {theirs: ours for ours, theirs in _TRIGGERS.items()}
        kind = trigger.get("type") or "manual"
        return {
            "name": stored["name"],
            "direction": "pull" if is_pull else "push",
            "endpoint": (source if is_pull else target).get("name") or "",
            **_filters(rows(stored.get("filters"))),
            "into": stored.get("dest_namespace") or "",
            "replaceCount": stored.get("dest_namespace_replace_count", -1),
            "trigger": kinds.get(kind, kind),
            "cron": settings.get("cron") or "",
            "speed": stored.get("speed") or 0,
            "description": stored.get("description") or "",
            **{ours: bool(stored.get(theirs)) for ours, theirs in _FLAGS.items()},
            "harborId": stored["id"],
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        body = _body(session, inputs, "")
        return dict(session.harbor.created(_PATH, body, lambda: self.find(session, inputs, {})))

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        if set(changed) - {"runNow"}:
            # PUT replaces everything: what is left out becomes Harbor's default.
            body = _body(session, inputs, stored.get("description") or "")
            session.harbor.put(f"{_PATH}/{stored['id']}", body)
        # Of a policy that the state does not know, `changed` has runNow although it may have run.
        is_asked_for = bool(set(changed) - {"runNow"}) or stored["isKnown"]
        if inputs["runNow"]:
            _start(session, inputs, stored["id"], again=is_asked_for)

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        path = f"{_PATH}/{stored['id']}"

        def attempt() -> bool:
            try:
                session.harbor.delete(path)
            except HarborError as error:
                if error.status == 412 and "final status" in error.message:
                    return False
                raise
            return True

        try:
            session.harbor.until(_UNTIL_FINAL, attempt, f"DELETE {path}")
        except HarborError as error:
            if error.status != 412:
                raise
            raise Refused(
                f"replication {stored['name']}: Harbor does not delete it while a run of it is "
                "not over. Stop that run in Harbor (Administration, Replications), or wait for "
                f"its end; then run `{run('up')}` again"
            ) from None

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        others = super().foreign(session, stored, shown, inputs)
        more = f"its filters are {shown['otherFilters']!r} besides" if shown["otherFilters"] else ""
        return ", ".join(text for text in (others, more) if text)


def _filters(filters: list[Tree]) -> Tree:
    """The filters as inputs; those that this program does not send as `otherFilters`."""
    shown: Tree = {"repositories": "", "tags": "", "tagsExcluded": "", "labels": []}
    others: list[str] = []
    for item in filters:
        decoration = item.get("decoration") or "matches"
        name = {
            ("name", "matches"): "repositories",
            ("tag", "matches"): "tags",
            ("tag", "excludes"): "tagsExcluded",
            ("label", "matches"): "labels",
        }.get((item["type"], decoration))
        if name is None or shown[name]:
            others.append(f"{item['type']} {decoration} {item['value']}")
        else:
            shown[name] = sorted(item["value"]) if name == "labels" else item["value"]
    return {**shown, "otherFilters": others}


def _body(session: Session, inputs: Tree, description: str) -> Tree:
    """The whole policy: Harbor's own default of `enabled` and `override` is false, and its replace
    count of -1 drops the whole path. `description`: where none is declared. Raises Refused."""
    number = endpoint_id(session.harbor, inputs["endpoint"])
    if number is None:
        raise Refused(f"replication {inputs['name']}: Harbor has no endpoint {inputs['endpoint']}")
    filters: list[Tree] = []
    if inputs["repositories"]:
        filters.append({"type": "name", "value": inputs["repositories"]})
    for name, decoration in (("tags", "matches"), ("tagsExcluded", "excludes")):
        if inputs[name]:
            filters.append({"type": "tag", "decoration": decoration, "value": inputs[name]})
    if inputs["labels"]:
        filters.append({"type": "label", "decoration": "matches", "value": inputs["labels"]})
    trigger: Tree = {"type": _TRIGGERS[inputs["trigger"]]}
    if inputs["cron"]:
        trigger["trigger_settings"] = {"cron": inputs["cron"]}
    return {
        "name": inputs["name"],
        "description": description if inputs["description"] is None else inputs["description"],
        # One side only: Harbor is the other.
        "src_registry" if inputs["direction"] == "pull" else "dest_registry": {"id": number},
        "dest_namespace": inputs["into"],
        "dest_namespace_replace_count": inputs["replaceCount"],
        "filters": filters,
        "trigger": trigger,
        "speed": inputs["speed"],
        **{theirs: inputs[ours] for ours, theirs in _FLAGS.items()},
    }


def _has_run(session: Session, number: int) -> bool:
    asked = {"policy_id": number, "page_size": 1}
    return bool(session.harbor.get("/replication/executions", asked))


def _start(session: Session, inputs: Tree, number: int, *, again: bool) -> None:
    """Starts a run; unless `again`, only the first one of the policy. One that does not start is
    told, and the policy is as declared all the same."""
    name = inputs["name"]
    if not inputs["enabled"]:
        session.warn(f"replication {name} is not enabled, so runNow starts nothing")
        return
    try:
        if again or not _has_run(session, number):
            session.harbor.post("/replication/executions", {"policy_id": number})
    except HarborError as error:
        session.warn(f"replication {name} is as declared, and its run did not start: {error}")
