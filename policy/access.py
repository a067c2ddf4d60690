"""Rules over who may do what: IAM policies and the cluster's roles. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policy.resource import UNKNOWN, Problems, Resource, Sovereign

_OBJECTS_OF_A_BUCKET: Final = re.compile(r"arn:[^:*?]+:s3:::[^*?/]+/([^*?]+/)?\*")
"""All objects of one bucket, or of one folder in it: a policy cannot name them one by one."""


def no_wildcard_access(resource: Resource, _: Sovereign) -> Problems:
    """No `*` in what an IAM policy or a role allows, and nobody made cluster-admin."""
    for path, value in _documents(resource.props):
        yield from _iam(value, ".".join(path))
    if resource.kind in ("Role", "ClusterRole") and resource.is_kubernetes:
        for rule in _role_rules(resource):
            for key in ("apiGroups", "resources", "verbs"):
                if "*" in _many(rule.get(key)):
                    yield f"a rule's {key} contain '*'"
    is_binding = resource.kind in ("RoleBinding", "ClusterRoleBinding")
    if is_binding and resource.at("roleRef.name") == "cluster-admin":
        yield "it makes somebody cluster-admin"


def no_role_reads_all_secrets(resource: Resource, _: Sovereign) -> Problems:
    """No ClusterRole reads Secrets: it would read those of every namespace."""
    if resource.kind != "ClusterRole" or not resource.is_kubernetes:
        return
    for rule in _role_rules(resource):
        reads = {"get", "list", "watch", "*"} & set(_many(rule.get("verbs")))
        if reads and {"secrets", "*"} & set(_many(rule.get("resources"))):
            yield f"a rule lets it {', '.join(sorted(reads))} the Secrets of every namespace"


def _role_rules(resource: Resource) -> Iterator[Mapping[str, Any]]:
    rules = resource.at("rules", [])
    for rule in [] if rules is UNKNOWN else rules:
        if rule is not UNKNOWN:
            yield rule


def _documents(
    value: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Each IAM policy in a value, with its path; also one that is JSON in a string."""
    if isinstance(value, str) and '"Statement"' in value:
        try:
            value = json.loads(value)
        except ValueError:
            return
    if isinstance(value, Mapping):
        if "Statement" in value:
            yield path, value
        for key, item in value.items():
            yield from _documents(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _documents(item, (*path, str(index)))


def _iam(document: Mapping[str, Any], where: str) -> Problems:
    statements = document["Statement"]
    for statement in [statements] if isinstance(statements, Mapping) else statements or []:
        if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
            continue
        for key in ("NotAction", "NotResource", "NotPrincipal"):
            if key in statement:
                yield f"{where} allows by {key}, which is everything but"
        if any(map(_is_pattern, _many(statement.get("Action")))):
            yield f"{where} allows actions by a pattern: name each action"
        resources = _many(statement.get("Resource"))
        if any(
            _is_pattern(name) and not _OBJECTS_OF_A_BUCKET.fullmatch(name) for name in resources
        ):
            yield f"{where} allows it on resources by a pattern: name the bucket"
        principal = statement.get("Principal")
        named = principal.values() if isinstance(principal, Mapping) else [principal]
        if any("*" in _many(who) for who in named):
            yield f"{where} allows it to everybody"


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _many(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
