"""Helm post-renderer: gives Trivy its Valkey URL from a Secret instead of from the chart's.

Chart 1.18.3 writes Trivy's URL into a Secret of its own, without the password unless that stands
in the values, and a variable of the same name in `extraEnvVars` would be a duplicate, which Helm's
patches may drop. So the three references are pointed to our Secret after rendering; nothing else
is touched. Reads manifests from stdin, writes them to stdout (docs/decisions/0005).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import yaml

from components.harbor.values import VALKEY_SECRET_ANNOTATION

VARIABLES = frozenset(
    {"SCANNER_REDIS_URL", "SCANNER_STORE_REDIS_URL", "SCANNER_JOB_QUEUE_REDIS_URL"}
)
ANNOTATION = VALKEY_SECRET_ANNOTATION
"""On Trivy's pods: the Secret to read, so that this program needs no argument."""

KEY = "trivyRedisUrl"


def post_render(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same objects; in a StatefulSet whose pods carry ANNOTATION the references are set."""
    for workload in objects:
        if workload.get("kind") != "StatefulSet":
            continue
        template = workload["spec"]["template"]
        secret = (template["metadata"].get("annotations") or {}).get(ANNOTATION)
        if secret is None:
            continue
        for variable in _variables(template):
            variable.pop("value", None)
            variable["valueFrom"] = {"secretKeyRef": {"name": secret, "key": KEY}}
    return objects


def _variables(template: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for container in template["spec"]["containers"]:
        for variable in container.get("env", []):
            if variable["name"] in VARIABLES:
                yield variable


def main() -> None:
    objects = [found for found in yaml.safe_load_all(sys.stdin) if found]
    yaml.safe_dump_all(post_render(objects), sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
