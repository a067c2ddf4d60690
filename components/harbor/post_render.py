"""Helm post-renderer: gives Trivy its Valkey URL from a Secret instead of from the chart's.

Chart 1.18.3 writes Trivy's URL into a Secret of its own, with the password only if the values have
it. A variable of the same name in `extraEnvVars` would be a duplicate, which Helm's patches may
drop. So the three references are pointed to our Secret after rendering; nothing else is changed.
Reads manifests from stdin, writes them to stdout (docs/decisions/0005).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import yaml
from yaml import CSafeDumper, CSafeLoader, MappingNode, Node, SequenceNode

from components.harbor.values import VALKEY_SECRET_ANNOTATION

VARIABLES = frozenset(
    {"SCANNER_REDIS_URL", "SCANNER_STORE_REDIS_URL", "SCANNER_JOB_QUEUE_REDIS_URL"}
)
ANNOTATION = VALKEY_SECRET_ANNOTATION
"""On Trivy's pods: the name of the Secret to read. Helm calls a post-renderer without arguments."""

KEY = "trivyRedisUrl"

# PyYAML's functions over nodes come without types.
untyped: Any = yaml


def post_render(manifests: str) -> str:
    """The same manifests; in a StatefulSet whose pods carry ANNOTATION the references are set.

    Scalars are kept as written, quotes included, and never turned into values: Helm's YAML and
    Python's disagree on some, such as 1e3, which is a number to Helm alone. The parser is libyaml,
    because PyYAML's own scanner refuses the tab that the chart leaves behind an apiVersion.
    """
    composed: Iterator[Node | None] = untyped.compose_all(manifests, Loader=CSafeLoader)
    documents = [node for node in composed if isinstance(node, MappingNode)]
    for document in documents:
        kind, template = _at(document, "kind"), _at(document, "spec", "template")
        secret = _at(template, "metadata", "annotations", ANNOTATION)
        if kind is None or kind.value != "StatefulSet" or secret is None:
            continue
        for variable in _variables(template):
            kept = [pair for pair in variable.value if pair[0].value not in ("value", "valueFrom")]
            variable.value = [*kept, *_reference(secret.value).value]
    return untyped.serialize_all(documents, Dumper=CSafeDumper, explicit_start=True)


def _at(node: Node | None, *path: str) -> Node | None:
    for key in path:
        if not isinstance(node, MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return node


def _items(node: Node | None) -> Iterator[MappingNode]:
    if isinstance(node, SequenceNode):
        yield from (item for item in node.value if isinstance(item, MappingNode))


def _variables(template: Node | None) -> Iterator[MappingNode]:
    for container in _items(_at(template, "spec", "containers")):
        for variable in _items(_at(container, "env")):
            name = _at(variable, "name")
            if name is not None and name.value in VARIABLES:
                yield variable


def _reference(secret: str) -> Node:
    reference = {"valueFrom": {"secretKeyRef": {"name": secret, "key": KEY}}}
    return untyped.compose(json.dumps(reference), Loader=CSafeLoader)


if __name__ == "__main__":
    sys.stdout.write(post_render(sys.stdin.read()))
