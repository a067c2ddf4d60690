"""Schedules: garbage collection, the purge of the audit log, scans of everything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.fake_harbor import access, answers, cron, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import Struct, body
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import NEVER, Row, now

_BODY = body(
    "schedule",
    "Schedule",
    schedule=Struct("ScheduleObj", {"type": "string", "cron": "string"}),
    parameters="any",
)
_TYPES = ("Hourly", "Daily", "Weekly", "Custom", "Manual", "None", "Schedule")


@dataclass(frozen=True)
class _Kind:
    """A schedule: its key here, its right, and how its messages name it."""

    key: str
    right: str
    words: str


_GC = _Kind("gc", "garbage-collection", "gc")
_PURGE = _Kind("purge", "purge-audit", "log rotation purge")
_SCAN = _Kind("scan", "scan-all", "scan all")


def _schedule(call: Call, kind: _Kind) -> tuple[str, str]:
    """Type and cron of the body. Raises Refused."""
    given = call.body.get("schedule")
    if given is None:
        if kind is _PURGE:
            raise answers.bad_request("bad request: schedule cann't be empty")
        raise answers.panic()
    name = given.get("type", "")
    if name and name not in _TYPES:
        raise answers.invalid(
            f"schedule.type in body should be one of [{' '.join(_TYPES)}]",
            levels=2 if call.settings.is_2_15 else 3,
        )
    return name, given.get("cron", "")


def _check_cron(kind: _Kind, text: str) -> None:
    problem = cron.problem(text) or cron.seconds_problem(text)
    if problem is not None:
        raise answers.bad_request(
            f"invalid cron string for scheduled {kind.words}: {text}, error: {problem}"
        )


def _refuse_unless_jobs_run(call: Call, kind: _Kind, text: str) -> None:
    """Raises Refused or Hangs, as a Harbor whose jobservice is down or caught in a loop."""
    if kind.key in call.settings.looping:
        raise answers.Hangs(call.settings.seconds_of_a_hang)
    if text and cron.next_time(text) is None:
        call.settings.looping.add(kind.key)
        raise answers.Hangs(call.settings.seconds_of_a_hang)
    if "jobservice" in call.settings.down:
        raise answers.internal_error()


def _write(call: Call, kind: _Kind, name: str, text: str, parameters: Row) -> None:
    """Sets or removes a schedule by deleting the old and inserting a new, as Harbor does.

    A write during another one of the same schedule is a 404 of the execution it wanted to delete.
    """
    world = call.world
    kept = world["schedules"].get(kind.key)
    if kind.key in call.settings.writing:
        number = kept["id"] if kept else 0
        raise answers.not_found(f"execution {number} not found")
    call.settings.writing.add(kind.key)
    world.lock.release()
    try:
        time.sleep(call.settings.seconds_of_a_schedule_write)
    finally:
        world.lock.acquire()
        call.settings.writing.discard(kind.key)
    world["schedules"].pop(kind.key, None)
    if name != "None":
        moment = now()
        world["schedules"][kind.key] = {
            "id": world.next_id("schedules"),
            "type": name,
            "cron": text,
            "parameters": parameters,
            "creation_time": moment,
            "update_time": moment,
        }


def _shown(call: Call, kind: _Kind) -> Answer:
    kept = call.world["schedules"].get(kind.key)
    if kept is None:
        return OK
    return Answer(
        200,
        {
            "creation_time": kept["creation_time"],
            "id": kept["id"],
            "job_kind": kept["cron"],
            "job_parameters": _as_text(kept["parameters"]),
            "job_status": "Running",
            "schedule": {
                "cron": kept["cron"],
                "next_scheduled_time": cron.next_time(kept["cron"]),
                "type": kept["type"],
            },
            "update_time": kept["update_time"],
        },
    )


def _as_text(parameters: Row) -> str:
    return json.dumps(parameters, separators=(",", ":"), sort_keys=True)


def _set(call: Call, kind: _Kind, action: str, parameters: Callable[[Call], Row]) -> Answer:
    """PUT and POST of the two schedules that behave alike."""
    access.need_system(call.who, kind.right, action)
    name, text = _schedule(call, kind)
    chosen = parameters(call)
    place = f"/system/{'gc' if kind is _GC else 'purgeaudit'}"
    done = answers.created(f"{place}/0") if call.method == "POST" else OK
    if name in ("", "Schedule"):
        return done  # nothing happens, the old schedule stays
    if name == "Manual":
        number = call.world.insert("cleanings", {"kind": kind.key, "parameters": chosen})["id"]
        return answers.created(f"{place}/{number}") if call.method == "POST" else OK
    if name != "None":
        _check_cron(kind, text)
    _refuse_unless_jobs_run(call, kind, "" if name == "None" else text)
    _write(call, kind, name, text, chosen)
    return done


# Garbage collection ----------------------------------------------------------------------------


def _gc_parameters(call: Call) -> Row:
    given: Any = call.body.get("parameters") or {}
    workers = given.get("workers", 0)
    if isinstance(workers, float):
        raise answers.bad_request("bad request: workers should be integer format")
    if not isinstance(workers, int) or isinstance(workers, bool):
        workers = 0  # a text is no error, and no number
    elif "workers" in given and not 1 <= workers <= 10:
        raise answers.bad_request(
            f"Error: Invalid number of workers:{workers}. Workers must be greater than 0 and less "
            "than or equal to 10."
        )
    shown: Row = {"delete_untagged": given.get("delete_untagged") is True, "workers": workers}
    if call.settings.is_2_15:
        shown["delete_tag"] = given.get("delete_tag") is True
    return shown


@route("GET", "/system/gc/schedule")
def gc_get(call: Call) -> Answer:
    access.need_system(call.who, _GC.right, "read")
    return _shown(call, _GC)


@route("PUT", "/system/gc/schedule", _BODY)
def gc_update(call: Call) -> Answer:
    return _set(call, _GC, "update", _gc_parameters)


@route("POST", "/system/gc/schedule", _BODY)
def gc_create(call: Call) -> Answer:
    return _set(call, _GC, "create", _gc_parameters)


@route("GET", "/system/gc")
def gc_history(call: Call) -> Answer:
    access.need_system(call.who, _GC.right, "list")
    return _history(call, _GC, "GARBAGE_COLLECTION")


def _history(call: Call, kind: _Kind, job: str) -> Answer:
    rows = [row for row in call.world.table("cleanings").values() if row["kind"] == kind.key]
    rows.sort(key=lambda row: -row["id"])
    shown = [
        {
            "creation_time": row["creation_time"],
            "id": row["id"],
            "job_kind": "MANUAL",
            "job_name": job,
            "job_parameters": _as_text(row["parameters"]),
            "job_status": row.get("status", "Success"),
            "schedule": {"next_scheduled_time": NEVER, "type": "Manual"},
            "update_time": row["update_time"],
        }
        for row in rows
    ]
    return lists.page(call.path, call.query, shown)


# Purge of the audit log ------------------------------------------------------------------------


def _purge_parameters(call: Call) -> Row:
    given: Any = call.body.get("parameters") or {}
    if not given:
        raise answers.bad_request("bad request: schedule parameter cann't be empty")
    hours = given.get("audit_retention_hour")
    if hours is None:
        raise answers.bad_request("bad request: audit_retention_hour should provide")
    if isinstance(hours, int | float) and hours > 240000:
        raise answers.bad_request("bad request: audit_retention_hour should be less than 240000")
    if given.get("include_event_types") is None:
        raise answers.bad_request("bad request: include_event_types should provide")
    return dict(given)


@route("GET", "/system/purgeaudit/schedule")
def purge_get(call: Call) -> Answer:
    access.need_system(call.who, _PURGE.right, "read")
    return _shown(call, _PURGE)


@route("PUT", "/system/purgeaudit/schedule", _BODY)
def purge_update(call: Call) -> Answer:
    return _set(call, _PURGE, "update", _purge_parameters)


@route("POST", "/system/purgeaudit/schedule", _BODY)
def purge_create(call: Call) -> Answer:
    return _set(call, _PURGE, "create", _purge_parameters)


@route("GET", "/system/purgeaudit")
def purge_history(call: Call) -> Answer:
    access.need_system(call.who, _PURGE.right, "list")
    return _history(call, _PURGE, "PURGE_AUDIT_LOG")


@route("GET", "/auditlog-exts/events")
def event_types(call: Call) -> Answer:
    access.need_login(call.who)
    return Answer(200, [{"event_type": name} for name in _EVENTS])


_EVENTS = (
    "create_artifact",
    "delete_artifact",
    "pull_artifact",
    "create_project",
    "delete_project",
    "delete_repository",
    "login_user",
    "logout_user",
    "create_user",
    "delete_user",
    "update_user",
    "create_robot",
    "delete_robot",
    "update_configuration",
)


# Scans of everything ---------------------------------------------------------------------------


def _need_scanner(call: Call) -> None:
    if not any(row["is_default"] for row in call.world.table("scanners").values()):
        raise answers.precondition("no scanner is configured, it's not possible to scan")


@route("GET", "/system/scanAll/schedule")
def scan_get(call: Call) -> Answer:
    access.need_system(call.who, _SCAN.right, "read")
    _need_scanner(call)
    kept = call.world["schedules"].get(_SCAN.key)
    if kept is None:
        return OK
    return Answer(
        200,
        {
            "creation_time": kept["creation_time"],
            "id": kept["id"],
            "schedule": {
                "cron": kept["cron"],
                "next_scheduled_time": NEVER,
                "type": kept["type"],
            },
            "status": "Running",
            "update_time": kept["update_time"],
        },
    )


@route("GET", "/scans/all/metrics")
def scan_metrics(call: Call) -> Answer:
    """Of the last scan of everything; `scan_metrics` of the world has them."""
    access.need_system(call.who, _SCAN.right, "read")
    _need_scanner(call)
    return Answer(200, call.world["schedules"].get("scan_metrics") or {"ongoing": False})


@route("PUT", "/system/scanAll/schedule", _BODY)
def scan_update(call: Call) -> Answer:
    return _scan_set(call, "update")


@route("POST", "/system/scanAll/schedule", _BODY)
def scan_create(call: Call) -> Answer:
    return _scan_set(call, "create")


def _scan_set(call: Call, action: str) -> Answer:
    access.need_system(call.who, _SCAN.right, action)
    _need_scanner(call)
    name, text = _schedule(call, _SCAN)
    done = Answer(201) if call.method == "POST" else OK
    schedules = call.world["schedules"]
    kept = schedules.get(_SCAN.key)
    if name == "Manual":
        if schedules.get("scanning_until", 0) > time.time():
            raise answers.conflict("a previous scan all job aleady exits, its status is Running")
        schedules["scanning_until"] = time.time() + call.settings.seconds_until_final
        return done
    if name in ("", "Schedule"):
        return done
    if call.method == "POST" and kept is not None:
        raise answers.precondition(
            "fail to set schedule for scan all as always had one, please delete it firstly then to "
            "re-schedule"
        )
    if name == "None":
        schedules.pop(_SCAN.key, None)
        return done
    _check_cron(_SCAN, text)
    if kept is not None and (kept["type"], kept["cron"]) == (name, text):
        return done
    _refuse_unless_jobs_run(call, _SCAN, text)
    moment = now()
    schedules[_SCAN.key] = {
        "id": kept["id"] if kept else call.world.next_id("schedules"),
        "type": name,
        "cron": text,
        "creation_time": kept["creation_time"] if kept else moment,
        "update_time": moment,
    }
    return done
