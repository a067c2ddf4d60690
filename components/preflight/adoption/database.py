"""Whether a CloudNativePG Cluster that exists keeps its data when this stack adopts it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.commands import set_value
from components.data_services.postgres import CLUSTER, DATABASE, OWNER, SECRET
from components.harbor.recovery import RUNBOOK
from components.kubernetes.client import dig

KEPT_ONLY_BY_ITS_OWNER: Final = (
    "backup",
    "certificates",
    "externalClusters",
    "imageCatalogRef",
    "managed",
    "plugins",
    "replica",
    "tablespaces",
)
"""Parts of a Cluster's spec that this program does not write, so that adopting it removes them."""

WRITTEN: Final = (
    "bootstrap",
    "enablePDB",
    "imageName",
    "inheritedMetadata",
    "instances",
    "primaryUpdateMethod",
    "primaryUpdateStrategy",
    "resources",
    "storage",
    "walStorage",
)
"""Parts of a Cluster's spec that this program writes whole."""

USE_AS_SHARED: Final = (
    "leave the Cluster to whoever made it: database.mode shared with its host, "
    f"{CLUSTER}-rw, and its Secret, see {RUNBOOK}"
)


def is_ours(spec: Mapping[str, Any]) -> bool:
    """Whether this program wrote that spec, in this run or another."""
    made_by = ("initdb", "recovery")
    return any(dig(spec, "bootstrap", how, "secret", "name") == SECRET for how in made_by)


def foreign_cluster(namespace: str, stack: str) -> str:
    """The message about a Cluster that this program did not make."""
    return (
        f"Cluster {CLUSTER} exists already in namespace {namespace} and was not made by this "
        "stack\n"
        "  fix: to adopt it as it is, with all that it holds: "
        f"{set_value('database.adopt', 'true', stack)}, see {RUNBOOK}; or {USE_AS_SHARED}"
    )


def cluster_problems(spec: Mapping[str, Any], image: str, stack: str) -> Iterator[str]:
    """What adopting a Cluster would lose, or Kubernetes would refuse in the middle of the run.

    `spec`: its spec as it is. `image`: the PostgreSQL image that it would get.
    """
    initdb: Mapping[str, Any] = dig(spec, "bootstrap", "initdb") or {}
    if (initdb.get("database"), initdb.get("owner")) != (DATABASE, OWNER):
        yield (
            f"Cluster {CLUSTER} was not bootstrapped by initdb with database {DATABASE} and owner "
            f"{OWNER}, which is what this program declares\n  fix: {USE_AS_SHARED}"
        )
    held = [part for part in KEPT_ONLY_BY_ITS_OWNER if spec.get(part)]
    if held:
        yield (
            f"Cluster {CLUSTER} has {', '.join(held)}, which this program does not write and would "
            f"take away\n  fix: {USE_AS_SHARED}"
        )
    runs: str = spec.get("imageName") or ""
    if _major(runs) != _major(image):
        yield (
            f"Cluster {CLUSTER} runs image {runs or '(not said)'}, this stack would give it "
            f"{image}: another major version of PostgreSQL is a migration of its own\n"
            f"  fix: {set_value('database.image', runs or '<its image>', stack)}"
        )


def unwritten(spec: Mapping[str, Any]) -> list[str]:
    """The parts of a Cluster's spec that this program does not write.

    What kubectl set there is removed: the Kubernetes provider treats kubectl's fields as its own,
    and removes those that the program does not write.
    """
    postgresql: Mapping[str, Any] = spec.get("postgresql") or {}
    parameters: Mapping[str, Any] = postgresql.get("parameters") or {}
    return [
        *(part for part in spec if part not in (*WRITTEN, "postgresql")),
        *(f"postgresql.{part}" for part in postgresql if part != "parameters"),
        *(f"postgresql.parameters.{key}" for key in parameters if key != "max_connections"),
    ]


def _major(image: str) -> str:
    tag = re.search(r":(\d+)", image.rpartition("/")[2])
    return tag[1] if tag else ""
