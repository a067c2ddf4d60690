"""The least rights in the cluster with which a Sovereign is deployed and previewed. Pure.

The rules are made from the types of objects that the program registers, the paths that it and the
doctor read, the kinds of Harbor's chart, and the rights of a restore drill
(docs/howto/restore-drill.yaml). tests/unit/test_least_privilege.py collects these, and compares
what is made with docs/howto/deployer.yaml; `UPDATE_GOLDEN=1` writes it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from components.kubernetes.naming import PART_OF

NAME: Final = "sovereign-harbor-deployer"
SUBJECT: Final = {"kind": "ServiceAccount", "name": NAME, "namespace": NAME}
RBAC: Final = "rbac.authorization.k8s.io"

_CLUSTER_SCOPED: Final = re.compile(r"Cluster(?:Policy)$|.*(?:Validating|Mutating)Policy$")
_WRITE: Final = ("get", "list", "watch", "create", "patch", "update", "delete")
# Helm's own wait, and the engine's for a StatefulSet or a Service, look at what belongs to them.
_AWAITED: Final = (
    ("", "pods"),
    ("", "events"),
    ("", "endpoints"),
    ("discovery.k8s.io", "endpointslices"),
    ("apps", "replicasets"),
    ("apps", "controllerrevisions"),
)
_HEADER: Final = """\
# The rights of whoever runs `pulumi preview`, `pulumi up`, `make doctor` and `make restore-drill`
# for one Sovereign. Written by
#   UPDATE_GOLDEN=1 .venv/bin/pytest tests/unit/test_least_privilege.py
# from what the program does; docs/howto/least-privilege.md says how to use it.
"""

Rules = dict[tuple[str, str], set[str]]
"""(API group, resource) → verbs."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object that the program registers; `namespace` is empty where it is in none."""

    group: str
    kind: str
    namespace: str
    name: str


def plural(kind: str) -> str:
    """The resource of a kind, as paths of the API name it."""
    lower = kind.lower()
    if lower.endswith("y"):
        return f"{lower[:-1]}ies"
    return f"{lower}es" if lower.endswith(("s", "ss")) else f"{lower}s"


def manifests(
    objects: Iterable[Object],
    paths: Iterable[str],
    chart_kinds: Iterable[tuple[str, str]],
    *,
    namespace: str,
    drill: Iterable[Mapping[str, Any]],
) -> str:
    """The YAML. `paths`: those that are read; `chart_kinds`: (group, kind); `drill`: the documents
    with the namespace and the rights of a restore drill, of which other kinds are left out."""
    cluster: Rules = defaultdict(set)
    spaces: dict[str, Rules] = defaultdict(lambda: defaultdict(set))
    named: dict[str, dict[tuple[str, str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    for each in objects:
        home, resource = each.namespace, plural(each.kind)
        if each.kind == "Namespace":
            # Not `create`, which no name can restrict: the namespace is made with this file.
            verbs = {"get", "list", "watch", "patch", "update"}
            named[""]["", "namespaces", namespace] |= verbs
        elif each.kind.endswith("Patch"):
            # It changes an object that somebody else made.
            resource = plural(each.kind.removesuffix("Patch"))
            named[home][each.group, resource, each.name] |= {"get", "patch"}
        elif home:
            spaces[home][each.group, resource] |= set(_WRITE)
            if each.kind == "SealedSecret":
                # `up` waits until the controller has unsealed it.
                named[home]["", "secrets", each.name].add("get")
        else:
            assert _CLUSTER_SCOPED.match(each.kind), each
            cluster[each.group, resource] |= set(_WRITE)
    for group, kind in chart_kinds:
        spaces[namespace][group, plural(kind)] |= set(_WRITE)
    for group, resource in _AWAITED:
        spaces[namespace][group, resource] |= {"get", "list", "watch"}
    # Harbor's API is reached through the API server, as `kubectl port-forward` does.
    spaces[namespace]["", "pods/portforward"].add("create")
    for path in paths:
        _read(path, cluster, spaces, named)
    drill = [*drill]
    for document in drill:
        if document["kind"] in ("Role", "ClusterRole"):
            home = document["metadata"].get("namespace", "")
            _granted(document["rules"], spaces[home] if home else cluster, named[home])
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(NAME)},
        # Labelled as this program's own: it refuses to take a namespace of somebody else.
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": dict([PART_OF])},
        },
        *(dict(document) for document in drill if document["kind"] == "Namespace"),
        *_role("ClusterRole", "", cluster, named.get("", {})),
    ]
    for home in sorted({*spaces, *named} - {""}):
        documents += _role("Role", home, spaces.get(home, {}), named.get(home, {}))
    return _HEADER + yaml.safe_dump_all(documents, sort_keys=False)


def _read(
    path: str,
    cluster: Rules,
    spaces: Mapping[str, Rules],
    named: Mapping[str, dict[tuple[str, str, str], set[str]]],
) -> None:
    """A path that the program gets."""
    if path == "/version" or path.startswith("/openapi/"):
        return  # discovery, which every authenticated user may read
    bare, _, _ = path.partition("?")
    match = re.fullmatch(r"/(?:api|apis/([^/]+))/[^/]+(?:/(.+))?", bare)
    assert match, path
    group, rest = match[1] or "", (match[2] or "").split("/")
    if rest == [""]:
        return  # discovery, which every authenticated user may read
    if rest[0] != "namespaces":
        verb = "get" if len(rest) > 1 else "list"
        cluster[group, rest[0]].add(verb)
    elif len(rest) == 2:
        # Which ones are read depends on the settings, and there is nothing secret in a namespace.
        cluster["", "namespaces"].add("get")
    elif len(rest) == 3:
        spaces[rest[1]][group, rest[2]].add("list")
    elif rest[2] == "pods" and len(rest) > 4:
        # Nobody knows their names beforehand.
        spaces[rest[1]][group, f"pods/{rest[4]}"].add("get")
    else:
        resource = rest[2] if len(rest) == 4 else f"{rest[2]}/{rest[4]}"
        named[rest[1]][group, resource, rest[3]].add("get")


def _granted(
    rules: Iterable[Mapping[str, Any]], all_of: Rules, named: dict[tuple[str, str, str], set[str]]
) -> None:
    """Rules of a Role, added to those of a namespace or of the cluster."""
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", []):
                    named[group, resource, name] |= set(rule["verbs"])
                if "resourceNames" not in rule:
                    all_of[group, resource] |= set(rule["verbs"])


def _role(
    kind: str,
    home: str,
    rules: Rules,
    named: Mapping[tuple[str, str, str], set[str]],
) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    for (group, resource), verbs in sorted(rules.items()):
        listed.append({"apiGroups": [group], "resources": [resource], "verbs": _ordered(verbs)})
    for (group, resource, name), verbs in sorted(named.items()):
        more = verbs - rules.get((group, resource), set())
        if not more:
            continue
        listed.append(
            {
                "apiGroups": [group],
                "resources": [resource],
                "resourceNames": [name],
                "verbs": _ordered(more),
            }
        )
    if not listed:
        return []
    metadata = _metadata(home)
    binding = "ClusterRoleBinding" if kind == "ClusterRole" else "RoleBinding"
    return [
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": kind,
            "metadata": metadata,
            "rules": listed,
        },
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": binding,
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": NAME},
            "subjects": [dict(SUBJECT)],
        },
    ]


def _metadata(home: str) -> dict[str, str]:
    return {"name": NAME, **({"namespace": home} if home else {})}


def _ordered(verbs: set[str]) -> list[str]:
    return [verb for verb in _WRITE if verb in verbs]
