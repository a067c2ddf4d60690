"""Replication policies and their runs. Nothing is copied: a run ends with what Harbor would say."""

from __future__ import annotations

import re
import time
from typing import Any

from sandbox.fake_harbor import access, answers, cron, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import ListOf, Struct, body
from sandbox.fake_harbor.kinds import registries
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import NEVER, Row, now

_REGISTRY = Struct("Registry", {"id": "int64"})
_BODY = body(
    "policy",
    "ReplicationPolicy",
    name="string",
    description="string",
    src_registry=_REGISTRY,
    dest_registry=_REGISTRY,
    dest_namespace="string",
    dest_namespace_replace_count="int8",
    trigger=Struct(
        "ReplicationTrigger",
        {
            "type": "string",
            "trigger_settings": Struct("ReplicationTriggerSettings", {"cron": "string"}),
        },
    ),
    filters=ListOf(
        Struct("ReplicationFilter", {"type": "string", "value": "any", "decoration": "string"})
    ),
    replicate_deletion="bool",
    deletion="bool",
    override="bool",
    enabled="bool",
    speed="int32",
    copy_by_chunk="bool",
    single_active_replication="bool",
)
_NAMESPACE = re.compile(r"[a-z0-9]+(?:(?:[._-]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*")
_BOTH = "either src_registry or dest_registry should be empty and the other one shouldn't be empty"


def _shown(call: Call, policy: Row) -> Row:
    view: Row = {
        "copy_by_chunk": policy["copy_by_chunk"],
        "creation_time": policy["creation_time"],
        "dest_namespace_replace_count": policy["dest_namespace_replace_count"],
        "dest_registry": _side(call, policy["dest_registry"]),
        "filters": policy["filters"] or None,
        "id": policy["id"],
        "name": policy["name"],
        "single_active_replication": policy["single_active_replication"],
        "speed": policy["speed"],
        "src_registry": _side(call, policy["src_registry"]),
        "update_time": policy["update_time"],
    }
    for key in ("description", "dest_namespace", "enabled", "override", "trigger"):
        if policy[key]:
            view[key] = policy[key]
    if policy["deletion"]:
        view |= {"deletion": True, "replicate_deletion": True}
    return view


def _side(call: Call, number: int) -> Row:
    if number == 0:
        return registries.local(call)
    return registries.shown(call.world.table("registries")[number])


def _checked(call: Call) -> Row:
    """The policy of the body, with Harbor's defaults for what is left out. Raises Refused."""
    given = call.body
    name: str = given.get("name", "")
    if not name:
        raise answers.bad_request("empty name")
    source = given.get("src_registry", {}).get("id", 0)
    target = given.get("dest_registry", {}).get("id", 0)
    if (source > 0) == (target > 0):
        raise answers.bad_request(_BOTH)
    filters = [_filter(item) for item in given.get("filters", [])]
    namespace: str = given.get("dest_namespace", "")
    if namespace and not _NAMESPACE.fullmatch(namespace):
        raise answers.bad_request(f"invalid destination namespace: {namespace}")
    trigger = _trigger(given.get("trigger"))
    number = source or target
    if number not in call.world.table("registries"):
        raise answers.not_found(f"registry {number} not found")
    single = given.get("single_active_replication", False)
    if len(name) > 256 or (single and trigger and trigger["type"] == "event_based"):
        raise answers.internal_error()
    enabled = given.get("enabled", False)
    scheduled = enabled and trigger is not None and trigger["type"] == "scheduled"
    if scheduled and "jobservice" in call.settings.down:
        raise answers.internal_error()
    return {
        "name": name,
        "description": given.get("description", ""),
        "src_registry": source,
        "dest_registry": target,
        "dest_namespace": namespace,
        "dest_namespace_replace_count": given.get("dest_namespace_replace_count", -1),
        "trigger": trigger,
        "filters": filters,
        "deletion": given.get("deletion", given.get("replicate_deletion", False)),
        "override": given.get("override", False),
        "enabled": enabled,
        "speed": max(given.get("speed", 0), 0),
        "copy_by_chunk": given.get("copy_by_chunk", False),
        "single_active_replication": single,
    }


def _filter(item: Row) -> Row:
    kind, value, decoration = item.get("type", ""), item.get("value"), item.get("decoration", "")
    if kind not in ("name", "tag", "label", "resource"):
        raise answers.bad_request("invalid filter type")
    if decoration and kind not in ("tag", "label"):
        raise answers.bad_request("only tag and label filter support decoration")
    if decoration not in ("", "matches", "excludes"):
        raise answers.bad_request(f"invalid filter decoration, :{decoration}")
    if kind == "label":
        if not isinstance(value, list):
            raise answers.bad_request("the type of label filter value isn't string slice")
    elif not isinstance(value, str):
        raise answers.bad_request("the type of filter value isn't string")
    elif kind == "resource" and value not in ("image", "artifact"):
        raise answers.bad_request(f"invalid resource filter: {value}")
    kept: Row = {"type": kind, "value": value}
    if decoration:
        kept["decoration"] = decoration
    return kept


def _trigger(given: Row | None) -> Row | None:
    if given is None:
        return None
    kind = given.get("type", "")
    if kind not in ("manual", "scheduled", "event_based"):
        raise answers.bad_request("invalid trigger type")
    text: str = given.get("trigger_settings", {}).get("cron", "")
    if kind == "scheduled":
        _check_cron(text)
    return {"type": kind, "trigger_settings": {"cron": text} if text else {}}


def _check_cron(text: str) -> None:
    if not text:
        raise answers.bad_request(
            "the cron string cannot be empty when the trigger type is scheduled"
        )
    if cron.problem(text) is not None:
        raise answers.bad_request(f"invalid cron string for scheduled trigger: {text}")
    if cron.seconds_problem(text) is not None:
        raise answers.bad_request(cron.SECONDS)
    if text.split()[1] == "*":
        raise answers.bad_request(
            "* is not allowed for the Minutes field of the cron setting of replication policy"
        )


@route("POST", "/replication/policies", _BODY)
def create(call: Call) -> Answer:
    access.need_system(call.who, "replication-policy", "create")
    policy = _checked(call)
    rows = call.world.table("policies")
    number = call.world.next_id("policies")
    if any(row["name"] == policy["name"] for row in rows.values()):
        raise answers.conflict(f"replication policy {policy['name']} already exists")
    moment = now()
    rows[number] = {"id": number, **policy, "creation_time": moment, "update_time": moment}
    return answers.created(f"/replication/policies/{number}")


@route("GET", "/replication/policies")
def listed(call: Call) -> Answer:
    access.need_system(call.who, "replication-policy", "list")
    rows = list(call.world.table("policies").values())
    if "name" in call.query:
        rows = [row for row in rows if call.query["name"].lower() in row["name"].lower()]
    columns: lists.Columns = {"name": lambda row: row["name"], "id": lambda row: row["id"]}
    chosen = lists.choose(rows, call.query, columns)
    return lists.page(call.path, call.query, [_shown(call, row) for row in chosen])


def _needed(call: Call, action: str) -> Row:
    access.need_system(call.who, "replication-policy", action)
    number = call.number("id")
    policy = call.world.table("policies").get(number)
    if policy is None:
        raise answers.not_found(f"replication policy {number} not found")
    return policy


@route("GET", "/replication/policies/{id}")
def get(call: Call) -> Answer:
    return Answer(200, _shown(call, _needed(call, "read")))


@route("PUT", "/replication/policies/{id}", _BODY)
def update(call: Call) -> Answer:
    """Replaces everything: what is left out becomes Harbor's default."""
    policy = _needed(call, "update")
    changed = _checked(call)
    others = call.world.table("policies").values()
    if any(row["name"] == changed["name"] and row["id"] != policy["id"] for row in others):
        raise answers.conflict(f"replication policy {changed['name']} already exists")
    policy.update(changed, update_time=now())
    return OK


@route("DELETE", "/replication/policies/{id}")
def delete(call: Call) -> Answer:
    policy = _needed(call, "delete")
    executions = call.world.table("executions")
    own = [key for key, row in executions.items() if row["policy"] == policy["id"]]
    if any(executions[key]["final_at"] > time.time() for key in own):
        raise answers.precondition(
            "contains executions that aren't in final status, stop the execution first"
        )
    for key in own:
        del executions[key]
    del call.world.table("policies")[policy["id"]]
    return OK


# Runs ------------------------------------------------------------------------------------------


@route("POST", "/replication/executions", body("execution", "StartReplicationExecution",
                                               policy_id="int64"))  # fmt: skip
def run(call: Call) -> Answer:
    access.need_system(call.who, "replication", "create")
    number = call.body.get("policy_id", 0)
    policy = call.world.table("policies").get(number)
    if policy is None:
        raise answers.not_found(f"replication policy {number} not found")
    if not policy["enabled"]:
        raise answers.precondition(f"the policy {number} is disabled")
    moment = now()
    problem = _run_problem(call, policy)
    execution = call.world.insert(
        "executions",
        {
            "policy": number,
            "final_at": time.time() + (0 if problem else call.settings.seconds_until_final),
            "status": "Failed" if problem else "Succeed",
            "status_text": problem,
            "start_time": moment,
            "end_time": moment,
        },
    )
    return answers.created(f"/replication/executions/{execution['id']}")


def _run_problem(call: Call, policy: Row) -> str:
    """What a run ends with; "" when it succeeds. Only the wildcards of ghcr are known to fail."""
    source = call.world.table("registries").get(policy["src_registry"])
    if source is None or source["type"] != "github-ghcr":
        return ""
    names = [f["value"] for f in policy["filters"] if f["type"] == "name"]
    if not names or any(re.search(r"[*?\[]", name) for name in names):
        return "failed to fetch artifacts: only support specific repository name"
    return ""


def _execution_shown(execution: Row) -> Row:
    final = execution["final_at"] <= time.time()
    return {
        "end_time": execution["end_time"] if final else NEVER,
        "failed": 0,
        "id": execution["id"],
        "in_progress": 0,
        "policy_id": execution["policy"],
        "start_time": execution["start_time"],
        "status": execution["status"] if final else "InProgress",
        "status_text": execution["status_text"],
        "stopped": 0,
        "succeed": 0,
        "total": 0,
        "trigger": "manual",
    }


@route("GET", "/replication/executions")
def executions_listed(call: Call) -> Answer:
    access.need_system(call.who, "replication", "list")
    rows = list(call.world.table("executions").values())
    policy = call.query.get("policy_id")
    if policy is not None:
        rows = [row for row in rows if str(row["policy"]) == policy]
    rows.sort(key=lambda row: -row["id"])
    return lists.page(call.path, call.query, [_execution_shown(row) for row in rows])


def _execution(call: Call) -> Row:
    number = call.number("id")
    execution: Any = call.world.table("executions").get(number)
    if execution is None:
        raise answers.not_found(f"replication execution {number} not found")
    return execution


@route("GET", "/replication/executions/{id}")
def execution_get(call: Call) -> Answer:
    access.need_system(call.who, "replication", "read")
    return Answer(200, _execution_shown(_execution(call)))


@route("PUT", "/replication/executions/{id}")
def execution_stop(call: Call) -> Answer:
    access.need_system(call.who, "replication", "create")
    _execution(call)["final_at"] = 0
    return OK


@route("GET", "/replication/executions/{id}/tasks")
def execution_tasks(call: Call) -> Answer:
    access.need_system(call.who, "replication", "list")
    _execution(call)
    return lists.page(call.path, call.query, [])
