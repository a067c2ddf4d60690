"""Tag retention: one policy a project, hardly checked by Harbor."""

from __future__ import annotations

from typing import Any

from sandbox.fake_harbor import access, answers, cron, images, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import ListOf, MapOf, Struct, body
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row, now

_SELECTOR = Struct(
    "RetentionSelector",
    {"kind": "string", "decoration": "string", "pattern": "string", "extras": "string"},
)
_BODY = body(
    "policy",
    "RetentionPolicy",
    id="int64",
    algorithm="string",
    rules=ListOf(
        Struct(
            "RetentionRule",
            {
                "id": "int64",
                "priority": "int64",
                "disabled": "bool",
                "action": "string",
                "template": "string",
                "params": "any",
                "tag_selectors": ListOf(_SELECTOR),
                "scope_selectors": MapOf(ListOf(_SELECTOR)),
            },
        )
    ),
    trigger=Struct(
        "RetentionRuleTrigger", {"kind": "string", "settings": "any", "references": "any"}
    ),
    scope=Struct("RetentionPolicyScope", {"level": "string", "ref": "int64"}),
)


def _shown(policy: Row) -> Row:
    trigger: Row = {"kind": policy["trigger"].get("kind", "")}
    settings = policy["trigger"].get("settings")
    if settings is not None:
        text = settings.get("cron", "")
        trigger["settings"] = dict(settings)
        if text:
            trigger["settings"]["next_scheduled_time"] = cron.next_time(text)
    return {
        "algorithm": policy["algorithm"],
        "id": policy["id"],
        "rules": [_rule_shown(rule) for rule in policy["rules"]],
        "scope": {"level": "project", "ref": policy["project"]},
        "trigger": trigger,
    }


def _rule_shown(rule: Row) -> Row:
    return {key: value for key, value in rule.items() if value not in (None, False, {}, "", 0)}


def _checked(call: Call) -> Row:
    """Rules, trigger and project of the body. Raises Refused where Harbor looks at all."""
    given = call.body
    if "trigger" not in given or "scope" not in given:
        raise answers.panic()
    rules: list[Row] = given.get("rules", [])
    if given["scope"].get("level") != "project":
        raise answers.bad_request(
            f"bad request: scope {given['scope'].get('level', '')} is not support"
        )
    if len(rules) > 15:
        raise answers.bad_request("bad request: only 15 rules are allowed at most")
    for number, rule in enumerate(rules):
        for earlier in range(number):
            if _essence(rule) == _essence(rules[earlier]):
                raise answers.conflict(
                    f"resource conflict: rule {number} is conflict with rule {earlier}"
                )
    settings: Any = given["trigger"].get("settings")
    text = settings.get("cron", "") if isinstance(settings, dict) else ""
    if text:
        problem = cron.problem(text) or cron.seconds_problem(text)
        if problem is not None:
            raise answers.bad_request(
                f"invalid cron string for scheduled tag retention: {text}, error: {problem}"
            )
        if "jobservice" in call.settings.down:
            raise answers.internal_error()
    return {
        "algorithm": given.get("algorithm", ""),
        "rules": rules,
        "trigger": given["trigger"],
        "project": given["scope"].get("ref", 0),
    }


def _essence(rule: Row) -> Row:
    return {key: value for key, value in rule.items() if key not in ("id", "priority", "disabled")}


@route("POST", "/retentions", _BODY)
def create(call: Call) -> Answer:
    access.need_login(call.who)
    policy = _checked(call)
    world = call.world
    project = world.table("projects").get(policy["project"])
    access.need_project(world, call.who, project, "tag-retention", "create")
    if project is None:
        raise answers.bad_request(f"bad request: invalid Project id {policy['project']}")
    present = project["metadata"].get("retention_id")
    if present:
        raise answers.bad_request(
            f"bad request: project {project['id']} already has retention policy {present}"
        )
    row = world.insert("retentions", policy)
    project["metadata"]["retention_id"] = str(row["id"])
    return answers.created(f"/retentions/{row['id']}")


def _needed(call: Call, action: str, absent: answers.Refused) -> Row:
    access.need_login(call.who)
    policy = call.world.table("retentions").get(call.number("id"))
    if policy is None:
        raise absent
    project = call.world.table("projects").get(policy["project"])
    access.need_project(call.world, call.who, project, "tag-retention", action)
    return policy


@route("GET", "/retentions/{id}")
def get(call: Call) -> Answer:
    return Answer(200, _shown(_needed(call, "read", answers.internal_error())))


@route("PUT", "/retentions/{id}", _BODY)
def update(call: Call) -> Answer:
    number = call.parts["id"]
    policy = _needed(
        call, "update", answers.not_found(f"no such Retention policy with id {number}")
    )
    _refuse_without_settings(policy)
    changed = _checked(call)
    if changed["project"] != policy["project"]:
        raise answers.not_found(f"the retention policy id {number} does not match")
    policy.update(changed, update_time=now())
    return OK


@route("DELETE", "/retentions/{id}")
def delete(call: Call) -> Answer:
    number = call.parts["id"]
    absent = answers.bad_request(f"bad request: no such Retention policy with id {number}")
    policy = _needed(call, "delete", absent)
    _refuse_without_settings(policy)
    call.world.table("projects")[policy["project"]]["metadata"].pop("retention_id", None)
    del call.world.table("retentions")[policy["id"]]
    return OK


def _refuse_without_settings(policy: Row) -> None:
    """A trigger without `settings` makes the policy unchangeable: each handler panics."""
    if "settings" not in policy["trigger"]:
        raise answers.panic()


# Runs ------------------------------------------------------------------------------------------


@route("POST", "/retentions/{id}/executions", body("body", "RetentionExecution", dry_run="bool",
                                                   action="string"))  # fmt: skip
def run(call: Call) -> Answer:
    """A run ends at once. A dry one counts, the other deletes what no rule keeps."""
    policy = _needed(call, "update", answers.internal_error())
    dry = call.body.get("dry_run", False)
    project = call.world.table("projects")[policy["project"]]
    execution = call.world.insert(
        "retention_executions", {"policy": policy["id"], "dry_run": dry, "tasks": []}
    )
    for repository in project["repositories"]:
        kept = images.kept(policy["rules"], repository)
        task = {
            "id": call.world.next_id("retention_tasks"),
            "repository": repository["name"],
            "total": len(repository["artifacts"]),
            "retained": len(kept),
            "log": images.table(repository, kept),
        }
        execution["tasks"].append(task)
        if not dry:
            repository["artifacts"] = kept
    return answers.created(f"/retentions/{policy['id']}/executions/{execution['id']}")


def _execution_shown(execution: Row) -> Row:
    return {
        "dry_run": execution["dry_run"],
        "end_time": execution["update_time"],
        "id": execution["id"],
        "policy_id": execution["policy"],
        "start_time": execution["creation_time"],
        "status": "Succeed",
        "trigger": "MANUAL",
    }


@route("GET", "/retentions/{id}/executions")
def executions_listed(call: Call) -> Answer:
    policy = _needed(call, "list", answers.internal_error())
    rows = call.world.table("retention_executions").values()
    own = sorted((r for r in rows if r["policy"] == policy["id"]), key=lambda r: -r["id"])
    return lists.page(call.path, call.query, [_execution_shown(row) for row in own])


def _execution(call: Call) -> Row:
    _needed(call, "list", answers.internal_error())
    execution = call.world.table("retention_executions").get(call.number("execution"))
    if execution is None:
        raise answers.not_found(f"execution {call.parts['execution']} not found")
    return execution


@route("GET", "/retentions/{id}/executions/{execution}/tasks")
def tasks_listed(call: Call) -> Answer:
    execution = _execution(call)
    rows = [
        {
            "end_time": execution["update_time"],
            "execution_id": execution["id"],
            "id": task["id"],
            "job_id": f"{task['id']:024x}",
            "repository": task["repository"],
            "retained": task["retained"],
            "start_time": execution["creation_time"],
            "status": "Success",
            "status_code": 3,
            "total": task["total"],
        }
        for task in execution["tasks"]
    ]
    return lists.page(call.path, call.query, rows)


@route("GET", "/retentions/{id}/executions/{execution}/tasks/{task}")
def task_log(call: Call) -> Answer:
    for task in _execution(call)["tasks"]:
        if str(task["id"]) == call.parts["task"]:
            return Answer(200, task["log"], {"Content-Type": "text/plain"})
    raise answers.not_found(f"task {call.parts['task']} not found")
