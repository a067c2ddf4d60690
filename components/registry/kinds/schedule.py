"""Schedules: garbage collection, the purge of the audit log, the scan of all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from components import parsed
from components.registry.errors import HarborDown, HarborError, Refused
from components.registry.kinds import checks
from components.registry.kinds.base import (
    UNKNOWN,
    Difference,
    Field,
    Kind,
    Session,
    Tree,
    as_cron,
    as_set,
    rows,
)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """`unset`: parameters that Harbor demands even of a schedule that it removes."""

    path: str
    checks: dict[str, checks.Check]
    unset: Tree


_EVENTS: Final = "include_event_types"

_JOBS: Final = {
    "garbageCollection": _Job(
        path="/system/gc/schedule",
        # Harbor takes a text or a missing value for 0 or false without a word.
        checks={
            "delete_untagged": checks.boolean,
            "workers": checks.whole(1, 10),
            "delete_tag": checks.boolean,
        },
        unset={"delete_untagged": False, "workers": 1},
    ),
    "auditPurge": _Job(
        path="/system/purgeaudit/schedule",
        checks={
            "audit_retention_hour": checks.whole(1, 239_999),
            _EVENTS: checks.nonempty,
            "dry_run": checks.boolean,
        },
        unset={"audit_retention_hour": 24, _EVENTS: "create_artifact", "dry_run": True},
    ),
    "scanAll": _Job(path="/system/scanAll/schedule", checks={}, unset={}),
}

_REQUIRED: Final = {
    "garbageCollection": ("delete_untagged", "workers"),
    "auditPurge": ("audit_retention_hour", _EVENTS),
    "scanAll": (),
}

_SECONDS: Final = 30.0
"""For a write that collides with somebody else's: Harbor answers 404 to one of both."""


def _parameters(value: Any) -> Any:
    """Without what is false or 0, which Harbor shows of some jobs; events as a set."""
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in cast("Tree", value).items() if item}
    if isinstance(kept.get(_EVENTS), str):
        kept[_EVENTS] = sorted(part.strip() for part in kept[_EVENTS].split(","))
    return kept


class Schedule(Kind):
    """When a job of Harbor's runs. A schedule always exists: `cron` is "" while it is unset, and
    Harbor's type of it (Daily, Custom) says nothing, since the cron is what runs.

    `unstated`: "cron" and names of parameters that are mere defaults. They are set where Harbor has
    no schedule; one that a person set keeps them, also when this resource goes.
    """

    name = "Schedule"
    noun = "schedule"
    computed = ()
    fields: ClassVar = {
        "what": Field(required=True, replaces=True, check=checks.one_of(*_JOBS)),
        "cron": Field(default="", of_harbor="", normal=as_cron, check=checks.cron),
        "parameters": Field(default={}, of_harbor={}, normal=_parameters),
        "unstated": Field(
            default=[], of_harbor=[], normal=as_set, local=True, check=checks.distinct
        ),
    }

    def id_of(self, inputs: Tree) -> str:
        return str(inputs["what"])

    def inputs_of(self, id_: str) -> Tree:
        if id_ not in _JOBS:
            raise Refused(f"schedule {id_}: the id is one of {', '.join(_JOBS)}")
        return {"what": id_}

    def problems(self, inputs: Tree) -> list[tuple[str, str]]:
        what, cron, parameters = inputs["what"], inputs["cron"], inputs["parameters"]
        if UNKNOWN in (what, parameters) or not cron:
            return []
        job = _JOBS[what]
        # A dry run is an action of a person, and Harbor does not show that of a garbage collection.
        refused = [
            ("parameters", f"schedule {what}: {key} is no parameter of it")
            for key in sorted(parameters.keys() - job.checks.keys())
        ]
        refused += [
            ("parameters", f"schedule {what}: {key} is missing")
            for key in _REQUIRED[what]
            if key not in parameters
        ]
        return refused + [
            ("parameters", f"schedule {what}: {key} {why}")
            for key, check in job.checks.items()
            if key in parameters and (why := check(parameters[key])) is not None
        ]

    def differing(self, outputs: Tree, inputs: Tree, *, local: bool = False) -> list[str]:
        differing = super().differing(outputs, inputs, local=local)
        # Parameters of a schedule that is unset are nowhere.
        if self.value("cron", inputs) != "" or inputs.get("parameters") is UNKNOWN:
            return differing
        return [name for name in differing if name != "parameters"]

    def diff(self, outputs: Tree, inputs: Tree) -> Difference:
        if inputs.get("unstated") is UNKNOWN:
            return super().diff(outputs, inputs)
        return super().diff(outputs, _with_what_is_left(outputs, inputs))

    def preview(self, session: Session, inputs: Tree) -> Tree:
        if UNKNOWN not in inputs.values():
            inputs = self._taken(session, inputs)
        return super().preview(session, inputs)

    def create(self, session: Session, inputs: Tree) -> tuple[str, Tree]:
        return super().create(session, self._taken(session, inputs))

    def update(self, session: Session, outputs: Tree, inputs: Tree) -> Tree:
        inputs = self.complete(inputs)
        if inputs["unstated"]:
            has = self._now(session, inputs, outputs)
            # Of a creation that failed the state does not know the cron: nothing was set yet.
            is_new = "cron" not in outputs and not has["cron"]
            inputs = inputs if is_new else _with_what_is_left(has, inputs)
        return super().update(session, outputs, inputs)

    def _now(self, session: Session, inputs: Tree, known: Tree) -> Tree:
        """The schedule as Harbor shows it; one that is unset is shown too."""
        return self.shown(session, self.find(session, inputs, known) or inputs, known)

    def _taken(self, session: Session, inputs: Tree) -> Tree:
        """The inputs with what a person set and the stack's file does not state. It is told."""
        inputs = self.complete(inputs)
        if not inputs["unstated"]:
            return inputs
        has = self._now(session, inputs, {})
        if not has["cron"]:
            return inputs
        left = _with_what_is_left(has, inputs)
        names = [n for n in ("cron", "parameters") if not self.equal(n, left[n], inputs[n])]
        if left["cron"] and names:
            told = ", ".join(f"{name} is {left[name]!r}" for name in names)
            session.inform(
                f"schedule {inputs['what']} stays as somebody set it in Harbor where the stack's "
                f"file states nothing: {told}. `registry.schedules.{inputs['what']}` changes it"
            )
        return left

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del known
        what = str(inputs["what"])
        try:
            # The body is empty while the schedule is unset.
            stored: Tree = session.harbor.get(_JOBS[what].path) or {}
        except HarborError as error:
            if error.status != 412:
                raise
            # Without a scanner Harbor cannot even tell whether there is a schedule.
            stored = {}
        return {"what": what, **stored}

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del session
        what = stored["what"]
        schedule: Tree = stored.get("schedule") or {}
        parameters: Any = parsed.json_of(stored.get("job_parameters") or "{}")
        # Harbor shows no parameters of a scan of everything; it knows none.
        if not schedule or what == "scanAll":
            parameters = known.get("parameters", {})
        return {"what": what, "cron": schedule.get("cron") or "", "parameters": parameters}

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        del stored
        if set(changed) - {"unstated"}:
            _put(session, str(inputs["what"]), str(inputs["cron"]), inputs["parameters"])

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        if stored.get("schedule") and "cron" not in rows(known.get("unstated")):
            _put(session, stored["what"], "", {})


def _with_what_is_left(has: Tree, inputs: Tree) -> Tree:
    """The inputs with what is `unstated` as Harbor has it. Pure.

    `has`: the schedule as Harbor has it, or the outputs of the state. One that a person removed
    stays so, unless the file states anything of it.
    """
    unstated, cron = set(rows(inputs.get("unstated"))), has.get("cron")
    declared: Any = inputs.get("parameters") or {}
    stored: Tree = has.get("parameters") or {}
    if not unstated or cron is None or declared is UNKNOWN:
        return inputs
    parameters = cast("Tree", declared)
    is_all_unstated = unstated >= {"cron", *parameters}
    if not cron:
        return {**inputs, "cron": ""} if is_all_unstated else inputs
    kept = {
        name: stored.get(name, value) if name in unstated else value
        for name, value in parameters.items()
    }
    return {
        **inputs,
        "cron": cron if "cron" in unstated else inputs.get("cron"),
        "parameters": stored if is_all_unstated else kept,
    }


def _put(session: Session, what: str, cron: str, parameters: Tree) -> None:
    """Sets a schedule, or removes it for "". Raises Refused where a person has to help."""
    harbor, job = session.harbor, _JOBS[what]
    # PUT sets what is unset too. A POST of a scan of everything is refused the second time.
    body = {
        "schedule": {"type": "Custom", "cron": cron} if cron else {"type": "None", "cron": ""},
        "parameters": parameters if cron else job.unset,
    }

    def attempt() -> bool:
        try:
            harbor.put(job.path, body)
        except HarborError as error:
            if error.status == 404 and "execution" in error.message:
                return False
            if error.status == 412 and what == "scanAll":
                raise Refused(
                    "schedule scanAll: Harbor has no scanner, so it cannot scan. `trivy.enabled: "
                    "true` deploys one, or `registry.schedules.scanAll.schedule: none`"
                ) from None
            if isinstance(error, HarborDown) and harbor.is_healthy():
                raise Refused(
                    f"schedule {what}: Harbor works, and did not answer to the schedule. Its "
                    "jobservice may be caught in a loop over a date that never comes: restart "
                    "Deployment harbor-jobservice, and run this again"
                ) from None
            raise
        return True

    # Of 20 writes at once 14 fail.
    with harbor.one_at_a_time("schedules"):
        harbor.until(_SECONDS, attempt, f"PUT {job.path}")
