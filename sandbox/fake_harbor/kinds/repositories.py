"""Repositories and artifacts that the fake was told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sandbox.fake_harbor import answers, images, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.kinds import projects
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row, World, now


def put(
    world: World,
    project: str,
    repository: str,
    digest: str,
    tags: list[str],
    *,
    pushed: str = "",
    pulled: str = "",
    vulnerabilities: Mapping[str, str] | None = None,
) -> None:
    """Tells of an image, as a push would. Times are ISO 8601; "" is now. Raises KeyError.

    `vulnerabilities`: id → severity, as a scan has found them; None while nothing was scanned.
    """
    row = projects.by_name(world, project)
    if row is None:
        raise KeyError(project)
    name = f"{project}/{repository}"
    place = next((r for r in row["repositories"] if r["name"] == name), None)
    if place is None:
        place = {"id": world.next_id("repositories"), "name": name, "artifacts": []}
        row["repositories"].append(place)
    for artifact in place["artifacts"]:
        artifact["tags"] = [tag for tag in artifact["tags"] if tag not in tags]
    place["artifacts"] = [a for a in place["artifacts"] if a["digest"] != digest]
    place["artifacts"].append(
        {
            "digest": digest,
            "tags": tags,
            "pushed": pushed or now(),
            "pulled": pulled or now(),
            "vulnerabilities": None if vulnerabilities is None else dict(vulnerabilities),
        }
    )


def forget(world: World, project: str, repository: str, reference: str) -> None:
    """Forgets an image, as its deletion would; a repository without images is gone."""
    row = projects.by_name(world, project)
    for place in list(row["repositories"]) if row is not None else []:
        if row is None or place["name"] != f"{project}/{repository}":
            continue
        place["artifacts"] = [
            artifact
            for artifact in place["artifacts"]
            if reference != artifact["digest"] and reference not in artifact["tags"]
        ]
        if not place["artifacts"]:
            row["repositories"].remove(place)


def _repository(call: Call, resource: str, action: str) -> tuple[Row, Row]:
    project = projects.needed(call, resource, action)
    name = f"{project['name']}/{call.parts['repository'].replace('%2F', '/')}"
    for repository in project["repositories"]:
        if repository["name"] == name:
            return project, repository
    raise answers.not_found(f"repository {name} not found")


@route("GET", "/projects/{project}/repositories")
def listed(call: Call) -> Answer:
    project = projects.needed(call, "repository", "list")
    rows = [
        {
            "artifact_count": len(repository["artifacts"]),
            "id": repository["id"],
            "name": repository["name"],
            "project_id": project["id"],
            "pull_count": 0,
        }
        for repository in project["repositories"]
    ]
    return lists.page(call.path, call.query, rows)


@route("GET", "/projects/{project}/repositories/{repository}/artifacts")
def artifacts(call: Call) -> Answer:
    project, repository = _repository(call, "artifact", "list")
    rows = [
        _artifact_shown(call, project, repository, artifact) for artifact in repository["artifacts"]
    ]
    return lists.page(call.path, call.query, rows)


REPORT = "application/vnd.security.vulnerability.report; version=1.1"
"""The kind of a scan's report, under which Harbor shows it. (Of its API's description: scans were
not recorded.)"""

_SEVERITIES = ("None", "Unknown", "Negligible", "Low", "Medium", "High", "Critical")


def _artifact_shown(call: Call, project: Row, repository: Row, artifact: Row) -> Row:
    shown: Row = {
        "digest": artifact["digest"],
        "project_id": project["id"],
        "pull_time": artifact["pulled"],
        "push_time": artifact["pushed"],
        "repository_id": repository["id"],
        "repository_name": repository["name"],
        "tags": [
            {
                "name": tag,
                "immutable": call.query.get("with_immutable_status") == "true"
                and immutable_tag(call.world, project, repository["name"].partition("/")[2], [tag])
                is not None,
            }
            for tag in artifact["tags"]
        ]
        or None,
        "type": "IMAGE",
    }
    vulnerabilities = artifact.get("vulnerabilities")
    if call.query.get("with_scan_overview") == "true" and vulnerabilities is not None:
        worst = max((*vulnerabilities.values(), "None"), key=_SEVERITIES.index)
        shown["scan_overview"] = {
            REPORT: {
                "scan_status": "Success",
                "severity": worst,
                "summary": {
                    "total": len(vulnerabilities),
                    "summary": dict(Counter(vulnerabilities.values())),
                },
            }
        }
    return shown


@route("GET", "/projects/{project}/repositories/{repository}/artifacts/{reference}")
def artifact(call: Call) -> Answer:
    project, repository = _repository(call, "artifact", "read")
    return Answer(200, _artifact_shown(call, project, repository, _artifact(call, repository)))


@route(
    "GET",
    "/projects/{project}/repositories/{repository}/artifacts/{reference}/additions/vulnerabilities",
)
def vulnerabilities(call: Call) -> Answer:
    _, repository = _repository(call, "artifact-addition", "read")
    listed: dict[str, str] = _artifact(call, repository).get("vulnerabilities") or {}
    rows = [{"id": number, "severity": severity} for number, severity in listed.items()]
    return Answer(200, {REPORT: {"vulnerabilities": rows}})


def immutable_tag(world: World, project: Row, repository: str, tags: list[str]) -> str | None:
    """A tag of these that a rule in force keeps, None for none. `repository` has no project."""
    for rule in world.table("immutable_rules").values():
        if rule["project"] != project["id"] or rule["disabled"]:
            continue
        places = rule.get("scope_selectors", {}).get("repository", [])
        if not all(images.selects(place, repository) for place in places):
            continue
        for tag in tags:
            selectors = rule.get("tag_selectors") or []
            if selectors and all(images.selects(selector, tag) for selector in selectors):
                return tag
    return None


def _refuse_immutable(call: Call, project: Row, repository: Row, tags: list[str]) -> None:
    short = repository["name"].partition("/")[2]
    tag = immutable_tag(call.world, project, short, tags)
    if tag is not None:
        raise answers.precondition(f"the tag {tag} configured as immutable, cannot be deleted")


@route("DELETE", "/projects/{project}/repositories/{repository}")
def delete(call: Call) -> Answer:
    project, repository = _repository(call, "repository", "delete")
    tags = [tag for artifact in repository["artifacts"] for tag in artifact["tags"]]
    _refuse_immutable(call, project, repository, tags)
    project["repositories"].remove(repository)
    return OK


def _artifact(call: Call, repository: Row) -> Row:
    reference = call.parts["reference"]
    for artifact in repository["artifacts"]:
        if reference == artifact["digest"] or reference in artifact["tags"]:
            return artifact
    raise answers.not_found(f"artifact {repository['name']}:{reference} not found")


@route("DELETE", "/projects/{project}/repositories/{repository}/artifacts/{reference}")
def delete_artifact(call: Call) -> Answer:
    project, repository = _repository(call, "artifact", "delete")
    artifact = _artifact(call, repository)
    _refuse_immutable(call, project, repository, artifact["tags"])
    repository["artifacts"].remove(artifact)
    return OK


@route("DELETE", "/projects/{project}/repositories/{repository}/artifacts/{reference}/tags/{tag}")
def delete_tag(call: Call) -> Answer:
    project, repository = _repository(call, "tag", "delete")
    artifact = _artifact(call, repository)
    tag = call.parts["tag"]
    _refuse_immutable(call, project, repository, [tag])
    if tag not in artifact["tags"]:
        raise answers.not_found(f"tag {tag} not found")
    artifact["tags"].remove(tag)
    return OK
