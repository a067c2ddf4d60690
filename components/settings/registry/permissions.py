"""What a robot may do: Harbor's dictionary of permissions, and presets. Pure.

The dictionary is the answer of a v2.14.3 to GET /permissions. Harbor refuses what is not in it with
400 `bad request permission: …`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from components.settings.schema.rules import SettingRule

_ALL = "create read update list delete"


def _dictionary(lines: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    return {resource: tuple(actions.split()) for resource, actions in lines.items()}


PROJECT: Final = _dictionary(
    {
        "accessory": "list",
        "artifact": "create read list delete",
        "artifact-addition": "read",
        "artifact-label": "create delete",
        "export-cve": "create read",
        "immutable-tag": "create list update delete",
        "label": _ALL,
        "log": "list",
        "member": _ALL,
        "metadata": _ALL,
        "notification-policy": _ALL,
        "preheat-policy": _ALL,
        "project": "read update delete",
        "quota": "read",
        "repository": "read update delete list pull push",
        "robot": "create read list delete",
        "sbom": "create read stop",
        "scan": "create read stop",
        "scanner": "create read",
        "tag": "create list delete",
        "tag-retention": _ALL,
    }
)
"""Resource → actions, of a project."""
SYSTEM: Final = _dictionary(
    {
        "audit-log": "list",
        "catalog": "read",
        "garbage-collection": "create read update list stop",
        "jobservice-monitor": "list stop",
        "label": "create read update delete",
        "ldap-user": "create list",
        "preheat-instance": _ALL,
        "project": "create list",
        "purge-audit": "create read update list stop",
        "quota": "read list update",
        "registry": _ALL,
        "replication": "create read list",
        "replication-adapter": "list",
        "replication-policy": _ALL,
        "robot": "create read list delete",
        "scan-all": "create read update stop",
        "scanner": _ALL,
        "security-hub": "read list",
        "system-volumes": "read",
        "user": _ALL,
        "user-group": _ALL,
    }
)
"""Resource → actions, of the whole registry."""


def _every(dictionary: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(
        f"{resource}:{action}" for resource in dictionary for action in dictionary[resource]
    )


PRESETS: Final[Mapping[str, tuple[str, ...]]] = {
    "pull": ("repository:pull",),
    "push": ("repository:pull", "repository:push"),
    "scan": (
        *("artifact:list", "artifact:read", "artifact-addition:read", "repository:list"),
        *("repository:read", "scan:create", "scan:read", "scan:stop"),
    ),
    "admin": _every(PROJECT),
}
"""Word of the stack's file → permissions in a project. Docker pulls before it pushes."""


def _problem(text: str, dictionary: Mapping[str, tuple[str, ...]], where: str) -> str | None:
    resource, _, action = text.partition(":")
    if "*" in text:
        return "no wildcard: Harbor refuses *; the preset admin is all of a project"
    if resource not in dictionary:
        other = {"labels": "label", "helm-chart": "", "configuration": ""}.get(resource)
        if resource in PROJECT or resource in SYSTEM:
            return f"{resource} is no resource of {where}"
        return f"Harbor 2.14 knows no resource {resource}" + (f"; {other} is one" if other else "")
    if action not in dictionary[resource]:
        return f"{resource} of {where} has the actions {', '.join(dictionary[resource])}"
    return None


def _in_project(text: str) -> str | None:
    return None if text in PRESETS else _problem(text, PROJECT, "a project")


def _in_system(text: str) -> str | None:
    if text.partition(":")[0] == "user":
        return (
            "who may create and update users may make an administrator: a robot with user:… is one"
        )
    return _problem(text, SYSTEM, "the whole registry")


IN_PROJECT: Final = SettingRule(
    allowed=f"{', '.join(PRESETS)}, or RESOURCE:ACTION of a project as Harbor's dictionary of "
    "permissions has it",
    example="pull",
    check=_in_project,
)
IN_SYSTEM: Final = SettingRule(
    allowed="RESOURCE:ACTION of the whole registry as Harbor's dictionary of permissions has it",
    example="project:list",
    check=_in_system,
)
ProjectPermission = Annotated[str, IN_PROJECT]
SystemPermission = Annotated[str, IN_SYSTEM]


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """What a robot may do in one namespace. `access`: "resource:action", sorted, each once."""

    kind: Literal["project", "system"]
    namespace: str
    """Name of the project; "/" for the whole registry."""
    access: tuple[str, ...]


def in_project(project: str, words: Iterable[str]) -> Permissions:
    """Presets and single permissions of a project, expanded."""
    access = {each for word in words for each in PRESETS.get(word, (word,))}
    return Permissions(kind="project", namespace=project, access=tuple(sorted(access)))


def in_projects(
    permissions: Mapping[str, Sequence[str]], declared: Iterable[str]
) -> tuple[Permissions, ...]:
    """Of a robot over several projects; `*` stands for each declared project.

    Harbor's own `*` would grant everything below a project with the first right on `project`, and
    makes it forget the rights on projects that are named beside it (harbor #20186).
    """
    words: dict[str, list[str]] = {}
    for project, given in permissions.items():
        for name in sorted(declared) if project == "*" else (project,):
            words.setdefault(name, []).extend(given)
    return tuple(in_project(name, words[name]) for name in sorted(words))
