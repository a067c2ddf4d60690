"""Rights in a cluster, collected from objects and calls, and the manifests that grant them. Pure.

`needs.py` collects those of one stack from its settings; tests/unit/operations/deployer compares
them with what the program does. docs/howto/deployer.yaml has those of many stacks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from components.delivery.objects import proof_name
from components.kubernetes.naming import PART_OF

NAME: Final = "sovereign-harbor-deployer"
SUBJECT: Final = {"kind": "ServiceAccount", "name": NAME, "namespace": NAME}
RBAC: Final = "rbac.authorization.k8s.io"

_CLUSTER_SCOPED: Final = re.compile(r"Cluster(?:Policy)$|.*(?:Validating|Mutating)Policy$")
_READ: Final = ("get", "list", "watch")
# The engine's provider and Helm patch. `update` is for Helm's records; elsewhere it is no more than
# `patch` allows.
_CHANGE: Final = ("patch", "update", "delete")
_WRITE: Final = (*_READ, "create", *_CHANGE)
# Helm's own wait, and the engine's for a StatefulSet or a Service, look at what belongs to them.
_AWAITED: Final = (
    ("", "pods"),
    ("", "events"),
    ("", "endpoints"),
    ("discovery.k8s.io", "endpointslices"),
    ("apps", "replicasets"),
    ("apps", "controllerrevisions"),
)

Rules = dict[tuple[str, str], set[str]]
"""(API group, resource) → verbs."""
NamedRules = dict[tuple[str, str, str], set[str]]
"""(API group, resource, name) → verbs."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object that is written; `namespace` is empty where it is in none. `retain`: whether it
    stays where the stack is destroyed."""

    group: str
    kind: str
    namespace: str
    name: str
    retain: bool = True


def plural(kind: str) -> str:
    """The resource of a kind, as paths of the API name it."""
    lower = kind.lower()
    if lower.endswith("y"):
        return f"{lower[:-1]}ies"
    return f"{lower}es" if lower.endswith(("s", "ss")) else f"{lower}s"


def _rules() -> defaultdict[str, Rules]:
    return defaultdict(lambda: defaultdict(set))


def _named_rules() -> defaultdict[str, NamedRules]:
    return defaultdict(lambda: defaultdict(set))


@dataclass(kw_only=True)
class Rights:
    """What one account may do; "" stands for the cluster in place of a namespace.

    `harbor`: Harbor's namespace. `is_shared`: whether others live in it. `by_name`: whether objects
    in places of others are changed by their names only, as the names of one stack's are known.
    """

    harbor: str
    is_shared: bool = False
    by_name: bool = True
    rules: defaultdict[str, Rules] = field(default_factory=_rules)
    named: defaultdict[str, NamedRules] = field(default_factory=_named_rules)

    def write(self, each: Object) -> None:
        """What the engine and Helm do with an object, and the program with what comes of it."""
        home, resource = each.namespace, plural(each.kind)
        if each.kind == "Namespace":
            self._write_namespace(each)
        elif each.kind.endswith("Patch"):
            # It changes an object that somebody else made.
            resource = plural(each.kind.removesuffix("Patch"))
            self.named[home][each.group, resource, each.name] |= {"get", "patch"}
        else:
            assert home or _CLUSTER_SCOPED.match(each.kind), each
            self._write(each, resource)
            self._await(each)

    def _write_namespace(self, each: Object) -> None:
        # Not `create`, which no name can restrict: the namespace is made with these manifests.
        verbs = {*_READ, "patch", "update"}
        if not each.retain:
            verbs.add("delete")
            self.rules[""]["", "namespaces"] |= {"list", "watch"}
        self.named[""]["", "namespaces", each.name] |= verbs

    def _write(self, each: Object, resource: str) -> None:
        home, key = each.namespace, (each.group, resource)
        is_secret = key == ("", "secrets")
        # Helm keeps its records in Secrets, whose names have numbers.
        is_own = home == self.harbor and (is_secret or not self.is_shared)
        if is_own or not self.by_name:
            self.rules[home][key] |= set(_WRITE)
        else:
            # The provider waits for a deletion by a list of all, and for ever where it may not make
            # it (pulumi-kubernetes 4.27, await/informers/factory.go): so for Secrets, too.
            self.rules[home][key] |= {*_READ, "create"}
            self.named[home][*key, each.name] |= set(_CHANGE)

    def _await(self, each: Object) -> None:
        """What dynamic providers do about an object (components/sealing, components/delivery)."""
        secrets = self.named[each.namespace]
        if each.kind in ("SealedSecret", "ExternalSecret"):
            # `up` waits until the controller, or the operator, has made it.
            secrets["", "secrets", each.name].add("get")
        if each.kind == "ExternalSecret":
            self.rules[each.namespace]["", "events"].add("list")
        if each.kind == "PushSecret":
            # By an ExternalSecret for moments the operator says what the store has.
            proof = proof_name(each.name)
            self.named[each.namespace][each.group, "externalsecrets", proof].add("delete")
            secrets["", "secrets", proof] |= {"get", "delete"}

    def reach_harbor(self, *, by_forward: bool) -> None:
        """What Helm's wait needs; `by_forward`: Harbor's API through the API server, as `kubectl
        port-forward` does."""
        for key in _AWAITED:
            self.rules[self.harbor][key] |= set(_READ)
        if by_forward:
            self.rules[self.harbor]["", "pods/portforward"].add("create")

    def read(self, path: str) -> None:
        """A path of the API that is got; `*` stands for any name."""
        if path == "/version" or path.startswith("/openapi/"):
            return  # discovery, which every authenticated user may read
        bare, _, _ = path.partition("?")
        match = re.fullmatch(r"/(?:api|apis/([^/]+))/[^/]+(?:/(.+))?", bare)
        assert match, path
        group, rest = match[1] or "", (match[2] or "").split("/")
        if rest == [""]:
            return  # discovery, which every authenticated user may read
        if rest[0] != "namespaces":
            self._read("", group, rest[0], rest[1] if len(rest) > 1 else None)
        elif len(rest) == 2:
            # There is nothing secret in a namespace.
            self._read("", "", "namespaces", rest[1])
        elif len(rest) == 3:
            self.rules[rest[1]][group, rest[2]].add("list")
        elif rest[2] == "pods" and len(rest) > 4:
            # Nobody knows their names beforehand.
            self.rules[rest[1]][group, f"pods/{rest[4]}"].add("get")
        else:
            resource = rest[2] if len(rest) == 4 else f"{rest[2]}/{rest[4]}"
            self.named[rest[1]][group, resource, rest[3]].add("get")

    def _read(self, home: str, group: str, resource: str, name: str | None) -> None:
        if name is None:
            self.rules[home][group, resource].add("list")
        elif self.by_name and name != "*":
            self.named[home][group, resource, name].add("get")
        else:
            self.rules[home][group, resource].add("get")

    def grant(self, role: Mapping[str, Any]) -> None:
        """The rules of a Role or a ClusterRole besides."""
        home = role["metadata"].get("namespace", "")
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", []):
                        self.named[home][group, resource, name] |= set(rule["verbs"])
                    if "resourceNames" not in rule:
                        self.rules[home][group, resource] |= set(rule["verbs"])

    def roles(self) -> list[dict[str, Any]]:
        """The ClusterRole and the Roles, each with its binding."""
        documents: list[dict[str, Any]] = []
        for home in sorted({*self.rules, *self.named}):
            documents += _role(home, self.rules.get(home, {}), self.named.get(home, {}))
        return documents

    def documents(self, prepared: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
        """The account, Harbor's namespace unless it is shared, and the roles. `prepared`: further
        namespaces that are made beforehand."""
        own: list[dict[str, Any]] = [
            # Labelled as this program's own: it refuses to take a namespace of somebody else.
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": self.harbor, "labels": dict([PART_OF])},
            }
        ]
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(NAME)},
            *([] if self.is_shared else own),
            *(dict(each) for each in prepared),
            *self.roles(),
        ]


def as_yaml(documents: Iterable[Mapping[str, Any]], *, header: str) -> str:
    """The YAML. `header`: lines of comments."""
    return header + yaml.safe_dump_all(
        documents, sort_keys=False, default_flow_style=None, width=100
    )


def _role(home: str, rules: Rules, named: NamedRules) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    for (group, resource), verbs in sorted(rules.items()):
        if verbs:
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
    kind = "Role" if home else "ClusterRole"
    return [
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": kind,
            "metadata": metadata,
            "rules": _joined(listed),
        },
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": NAME},
            "subjects": [dict(SUBJECT)],
        },
    ]


def _joined(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rules in fewer: resources of a group with the same verbs in one; names too."""
    whole: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    by_name: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for rule in rules:
        (group,), (resource,), verbs = rule["apiGroups"], rule["resources"], tuple(rule["verbs"])
        if "resourceNames" in rule:
            by_name[group, resource, verbs] += rule["resourceNames"]
        else:
            whole[group, verbs].append(resource)
    return [
        *(
            {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
            for (group, verbs), resources in whole.items()
        ),
        *(
            {
                "apiGroups": [group],
                "resources": [resource],
                "resourceNames": names,
                "verbs": list(verbs),
            }
            for (group, resource, verbs), names in by_name.items()
        ),
    ]


def _metadata(home: str) -> dict[str, str]:
    return {"name": NAME, **({"namespace": home} if home else {})}


def _ordered(verbs: set[str]) -> list[str]:
    return [verb for verb in _WRITE if verb in verbs]
