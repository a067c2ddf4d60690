"""Repositories and artifacts that the fake was told of."""

from __future__ import annotations

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
) -> None:
    """Tells of an image, as a push would. Times are ISO 8601; "" is now. Raises KeyError."""
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
        {"digest": digest, "tags": tags, "pushed": pushed or now(), "pulled": pulled or now()}
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
        {
            "digest": artifact["digest"],
            "project_id": project["id"],
            "pull_time": artifact["pulled"],
            "push_time": artifact["pushed"],
            "repository_id": repository["id"],
            "repository_name": repository["name"],
            "tags": [{"name": tag} for tag in artifact["tags"]] or None,
            "type": "IMAGE",
        }
        for artifact in repository["artifacts"]
    ]
    return lists.page(call.path, call.query, rows)


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
